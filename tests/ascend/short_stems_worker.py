"""Compiles jobs with stems of fewer stages. Every kind of unit is there once, with and without its shortcut."""

import sys
from pathlib import Path

from mindvit.dry_run_worker import worker
from mindvit.models import efficientnet, stems

if __name__ == "__main__":
    stems.RESNETS["r26"] = (2, 1)
    # The two sizes of kernels; no expansion in the first stage.
    efficientnet.STAGES = ((1, 3, 1, 16, 1), (6, 3, 2, 24, 1), (6, 5, 2, 40, 2))
    stems._SHAPES |= {"r26": (8, 512), "efficientnet_b0": (8, 40)}
    worker.run_jobs(*map(Path, sys.argv[1:4]))

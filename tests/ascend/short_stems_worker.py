"""Compiles jobs with stems of fewer units. Every kind of unit is there once, with and without its shortcut."""

import sys
from pathlib import Path

from mindvit.dry_run_worker import worker
from mindvit.models import efficientnet, stems

if __name__ == "__main__":
    stems.RESNETS["r26"] = (2, 1, 1, 1)
    # The second and the third stage have the two sizes of kernels.
    efficientnet.STAGES = tuple(
        (*stage, 2 if index in (1, 2) else 1) for index, (*stage, _) in enumerate(efficientnet.STAGES)
    )
    worker.run_jobs(*map(Path, sys.argv[1:4]))

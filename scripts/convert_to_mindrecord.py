"""Writes an image folder or ImageNet into MindRecord shards, which train.py and eval.py read as the source mindrecord:
python scripts/convert_to_mindrecord.py --source folder --path DIR --output OUT"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from mindvit.program import run

_FLAGS = {
    "download": "Fetch the tutorial's part of ImageNet where --source imagenet has no folder.",
    "overwrite": "Write anew what another conversion left in --output.",
}


def main() -> None:
    """Converts or verifies."""
    from mindvit.config import parse
    from mindvit.data.mindrecord.conversion import MindRecordSettings, convert_to_mindrecord

    settings, flags = parse(MindRecordSettings, __doc__, flags=_FLAGS)
    convert_to_mindrecord(settings, **dict.fromkeys(flags, True))


if __name__ == "__main__":
    run(main)

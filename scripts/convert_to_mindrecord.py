"""Converts images to MindRecord: python scripts/convert_to_mindrecord.py --source folder --path DIR --output OUT"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from mindvit.cli import run_command

if __name__ == "__main__":
    run_command("convert-to-mindrecord")

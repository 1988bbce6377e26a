"""Fuzzing by hand: ``python -m tests.fuzz --seconds 1800 --seed 0 [--target images]``.

Binary files and JSON are mutated from intact ones by a seeded generator, at thousands of cases per minute; settings,
command lines and names are generated and shrunk by hypothesis. atheris does not earn its place: it needs code that is
instrumented, and cannot instrument the decoders of Pillow, MindSpore and SQLite, where the content is parsed.
"""

import argparse
import sys
from pathlib import Path

from tests.fuzz.campaign import Campaign
from tests.fuzz.targets import TARGETS


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz the readers of untrusted files.")
    parser.add_argument("--seconds", type=float, default=60, help="time for all targets together")
    parser.add_argument("--seed", type=int, default=0, help="what determines the cases")
    parser.add_argument("--target", action="append", choices=TARGETS, help="a target; all by default")
    parser.add_argument("--findings", type=Path, default=Path("output/fuzz"), help="folder for findings")
    options = parser.parse_args()
    targets = dict.fromkeys(options.target or TARGETS, 0)
    campaign = Campaign(targets, options.seed, options.seconds, options.findings)
    found = 0
    for name, counts in campaign.run().items():
        found += counts.num_findings
        print(
            f"{name:<18} {counts.cases:>8,} cases {counts.refused:>8,} refused {counts.accepted:>8,} accepted "
            f"{counts.num_findings:>4} findings ({len(counts.findings)} places), slowest {counts.slowest:.1f} s"
        )
    print(f"{sum(counts.cases for counts in campaign.counts.values()):,} cases, {found} findings", end="")
    print(f" in {options.findings}" if found else "", f"; peak memory {campaign.peak / 2**30:.1f} GiB", sep="")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()

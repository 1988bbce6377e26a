"""Prints the models with their parameters and multiply-adds: python scripts/list_models.py ["deit*"]"""

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("GLOG_v", "3")
sys.path.insert(0, str(Path(__file__).parent.parent))

from mindvit.analysis.counting import forward_flops, parameter_count
from mindvit.models.variants import list_models, model_config


def table(pattern: str = "*") -> str:
    """The models whose names match a shell pattern, with parameters and multiply-adds, as a Markdown table."""
    lines = ["| model | parameters, M | GMACs | blocks | width | heads |", "|---|---|---|---|---|---|"]
    for name in list_models(pattern):
        config = model_config(name)
        millions, gmacs = parameter_count(config) / 1e6, forward_flops(config) / 2e9
        lines.append(
            f"| `{name}` | {millions:.2f} | {gmacs:.2f} | {config.depth} | {config.embed_dim} | {config.num_heads} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pattern", nargs="?", default="*", help="shell pattern of model names (default: all)")
    print(table(parser.parse_args().pattern))

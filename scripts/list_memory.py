"""Prints the memory and communication of a training step, by formula.

Usage: python scripts/list_memory.py ["vit_b*"] [options]
Values are in MB of 10^6 bytes per device. docs/distributed.md describes what is counted and what is not.
"""

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("GLOG_v", "3")
sys.path.insert(0, str(Path(__file__).parent.parent))

from mindvit.analysis.memory import MemoryEstimate, StepConfig, estimate_memory
from mindvit.models.variants import list_models, model_config

WORLD_SIZES = (1, 8, 64, 1024)


def table(pattern: str = "*", world_sizes: tuple[int, ...] = WORLD_SIZES, **settings) -> str:
    """Memory of each device, and bytes that each rank sends per step, in MB, as a Markdown table.

    Args:
        pattern: shell pattern of model names.
        world_sizes: numbers of ranks, one row each for every model.
        settings: other fields of ``StepConfig``.
    """
    lines = [
        "| model | NPUs | weights | optimizer states | EMA | AMP copies | gradients | activations | peak | sent |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name in list_models(pattern):
        for world_size in world_sizes:
            estimate = estimate_memory(model_config(name), StepConfig(world_size=world_size, **settings))
            lines.append(f"| `{name}` | {world_size:,} | {' | '.join(_columns(estimate))} |")
    return "\n".join(lines)


def _columns(estimate: MemoryEstimate) -> list[str]:
    values = (
        *(estimate.weights, estimate.optimizer_states, estimate.ema, estimate.amp_copies),
        estimate.gradient_sums + estimate.gradients,
        None if estimate.activations is None else estimate.images + estimate.activations,
        *(estimate.total, estimate.communication),
    )
    return ["" if value is None else f"{value / 1e6:,.0f}" for value in values]


def main(arguments: list[str] | None = None) -> None:
    """Prints the table for the given command line, by default that of the process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pattern", nargs="?", default="*", help="shell pattern of model names (default: all)")
    parser.add_argument("--batch_size", type=int, default=64, help="images per forward pass on each NPU (default: 64)")
    parser.add_argument("--optimizer", choices=("adamw", "adam", "lamb", "sgd"), default="adamw", help="default: adamw")
    parser.add_argument("--amp_level", choices=("O0", "O2"), default="O2", help="default: O2")
    parser.add_argument("--accumulate_steps", type=int, default=1, help="micro-batches per step (default: 1)")
    parser.add_argument("--ema", action="store_true", help="keep an exponential moving average of the weights")
    parser.add_argument("--shard_states", action="store_true", help="shard the optimizer states (ZeRO stage 1)")
    parser.add_argument("--recompute", action="store_true", help="recompute the blocks in the backward pass")
    parser.add_argument("--clips", action="store_true", help="clip the norm of the gradient")
    settings = vars(parser.parse_args(arguments))
    try:
        print(table(settings.pop("pattern"), **settings))
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()

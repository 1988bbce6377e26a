"""Prints what a training step takes of each device, by formula: python scripts/list_memory.py ["vit_b*"] [options]

In MB of 10^6 bytes. docs/distributed.md says what is counted, and what is not.
"""

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("GLOG_v", "3")
sys.path.insert(0, str(Path(__file__).parent.parent))

from mindvit.analysis.memory import Footprint, Job, footprint
from mindvit.models.variants import list_models, model_config

WORKERS = (1, 8, 64, 1024)


def table(pattern: str = "*", workers: tuple[int, ...] = WORKERS, **settings) -> str:
    """Memory of each device, and what each worker sends in a step, in MB, as Markdown.

    Args:
        pattern: shell pattern of model names.
        workers: numbers of workers, a line each for every model.
        settings: of ``Job``, but for ``workers``.
    """
    lines = [
        "| model | NPUs | weights | gradients | optimizer | EMA | half copies | activations | sum | sent |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name in list_models(pattern):
        for count in workers:
            taken = footprint(model_config(name), Job(workers=count, **settings))
            lines.append(f"| `{name}` | {count:,} | {' | '.join(_columns(taken))} |")
    return "\n".join(lines)


def _columns(taken: Footprint) -> list[str]:
    model = (taken.weights, taken.gradients, taken.optimizer, taken.ema, taken.half_copies)
    values = (*model, taken.activations, taken.total, taken.communication)
    return ["" if value is None else f"{value / 1e6:,.0f}" for value in values]


def main(arguments: list[str] | None = None) -> None:
    """Prints the table that the arguments, by default the command line's, ask for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pattern", nargs="?", default="*", help="shell pattern of names")
    parser.add_argument("--batch_size", type=int, default=64, help="images at once on each NPU (64)")
    parser.add_argument("--optimizer", choices=("adamw", "adam", "lamb", "sgd"), default="adamw", help="(adamw)")
    parser.add_argument("--precision", choices=("O0", "O2"), default="O2", help="(O2)")
    parser.add_argument("--accumulate_steps", type=int, default=1, help="parts of a step's batch (1)")
    parser.add_argument("--ema", action="store_true", help="with an exponential average of the weights")
    parser.add_argument("--shard_states", action="store_true", help="the optimizer's state divided over the NPUs")
    parser.add_argument("--recompute", action="store_true", help="blocks computed once more in the backward pass")
    settings = vars(parser.parse_args(arguments))
    try:
        print(table(settings.pop("pattern"), **settings))
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()

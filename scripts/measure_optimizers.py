"""Measures one update of each optimizer, compared to the stock Adam and AdamWeightDecay of MindSpore.

Usage, from the project's folder: python scripts/measure_optimizers.py [--model vit_s_16_224] [--rounds 15]
All run alternately in one process, on the weights of a model and random gradients. The script prints the medians and
their ratios to the stock Adam.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("GLOG_v", "3")
sys.path.insert(0, str(Path(__file__).parent.parent))

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn

from mindvit import create_model
from mindvit.training.optimizer_settings import OptimizerSettings
from mindvit.training.optimizers import make_optimizer
from mindvit.training.param_groups import make_rules, resolve_param_groups

NAMES = ("adamw", "adam", "sgd", "lamb")


def weights_of(network: nn.Cell) -> list[Parameter]:
    """Copies of the weights of the network, for one optimizer."""
    return [Parameter(weight.value().copy(), name=weight.name) for weight in network.trainable_params()]


def make_updates(name: str, gradients: tuple[Tensor, ...]) -> dict[str, Callable[[], None]]:
    """Functions that run one update of each optimizer and wait for its result."""
    network = create_model(name)

    def mindvit_update(name: str) -> Callable[[], None]:
        settings, weights = OptimizerSettings(name), weights_of(network)
        options = resolve_param_groups(weights, make_rules(settings, network.config.depth))
        optimizer = make_optimizer(settings, weights, options)
        lr = Tensor(1e-3, ms.float32)
        return lambda: (optimizer(gradients, lr), weights[-1].asnumpy())

    def stock_update(kind: type[nn.Optimizer]) -> Callable[[], None]:
        weights = weights_of(network)
        optimizer = kind(weights, 1e-3)
        return lambda: (optimizer(gradients), weights[-1].asnumpy())

    updates = {"nn.Adam": stock_update(nn.Adam), "nn.AdamWeightDecay": stock_update(nn.AdamWeightDecay)}
    return updates | {name: mindvit_update(name) for name in NAMES}


def main() -> None:
    """Measures and prints the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="vit_s_16_224", help="model name (default: vit_s_16_224)")
    parser.add_argument("--rounds", type=int, default=15, help="measurements (default: 15)")
    arguments = parser.parse_args()

    ms.set_context(mode=ms.GRAPH_MODE)
    generator = np.random.default_rng(0)
    shapes = [weight.shape for weight in create_model(arguments.model).trainable_params()]
    gradients = tuple(Tensor(generator.standard_normal(shape).astype(np.float32)) for shape in shapes)
    updates = make_updates(arguments.model, gradients)
    for update in updates.values():
        update()  # The first call compiles the update.
    seconds: dict[str, list[float]] = {name: [] for name in updates}
    for _ in range(arguments.rounds):
        for name, update in updates.items():
            started = time.perf_counter()
            update()
            seconds[name].append(time.perf_counter() - started)

    print(f"{arguments.model}: {sum(map(np.prod, shapes)):,} weights, medians of {arguments.rounds} rounds")
    base = statistics.median(seconds["nn.Adam"])
    for name, times in seconds.items():
        median = statistics.median(times)
        print(f"{name:<20} {1e3 * median:6.1f} ms, {median / base:4.2f} of nn.Adam, min {1e3 * min(times):.1f} ms")


if __name__ == "__main__":
    main()

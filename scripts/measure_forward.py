"""Measures the forward pass of a model, compared to MindSpore's stock patch convolution and GELU.

Usage, from the project's folder: python scripts/measure_forward.py [--model vit_b_16_224] [--batch_size 8]
Both networks run alternately in one process on random images. The script prints the medians and their ratio.
"""

import argparse
import os
import statistics
import sys
import time
from pathlib import Path

os.environ.setdefault("GLOG_v", "3")
sys.path.insert(0, str(Path(__file__).parent.parent))

import mindspore as ms
import numpy as np
from mindspore import nn

from mindvit import create_model
from mindvit.models import PatchEmbedding


class StockPatchEmbedding(PatchEmbedding):
    """Patch embedding with the stock ``nn.Conv2d``."""

    def construct(self, x):
        x = self.conv(x)
        return x.reshape(x.shape[0], self.embed_dim, self.num_patches).transpose(0, 2, 1)


def make_stock(name: str) -> nn.Cell:
    """Creates the model with the stock patch convolution and GELU."""
    network = create_model(name)
    config = network.config
    network.patch_embedding = StockPatchEmbedding(
        config.image_size, config.patch_size, config.in_channels, config.embed_dim
    )
    for block in network.transformer.layers:
        block[1].cell[1].activation = nn.GELU()
    return network


def main() -> None:
    """Measures and prints the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="vit_b_16_224", help="model name (default: vit_b_16_224)")
    parser.add_argument("--batch_size", type=int, default=8, help="images per forward pass (default: 8)")
    parser.add_argument("--rounds", type=int, default=7, help="measurements (default: 7)")
    arguments = parser.parse_args()

    ms.set_context(mode=ms.GRAPH_MODE)
    ms.set_seed(0)
    networks = {"mindvit": create_model(arguments.model), "stock": make_stock(arguments.model)}
    size = networks["mindvit"].config.image_size
    generator = np.random.default_rng(0)
    stock = networks["stock"].parameters_dict()
    for name, weight in networks["mindvit"].parameters_dict().items():
        values = generator.standard_normal(weight.shape) * 0.02 + name.endswith("gamma")
        for parameter in (weight, stock[name]):
            parameter.set_data(ms.Tensor(values.astype(np.float32)))
    images = ms.Tensor(generator.standard_normal((arguments.batch_size, 3, size, size)).astype(np.float32))

    outputs = {name: network.set_train(False)(images).asnumpy() for name, network in networks.items()}
    seconds: dict[str, list[float]] = {name: [] for name in networks}
    for _ in range(arguments.rounds):
        for name, network in networks.items():
            started = time.perf_counter()
            network(images).asnumpy()
            seconds[name].append(time.perf_counter() - started)

    for name, times in seconds.items():
        speed = arguments.batch_size / statistics.median(times)
        print(f"{name:<8} median {statistics.median(times):.3f} s, {speed:.2f} images/s")
    ratios = [stock / mindvit for mindvit, stock in zip(seconds["mindvit"], seconds["stock"], strict=True)]
    print(f"ratio    median {statistics.median(ratios):.2f}, min {min(ratios):.2f}, max {max(ratios):.2f}")
    difference = np.abs(outputs["mindvit"] - outputs["stock"]).max()
    print(f"max difference of the logits {difference:.1e}, standard deviation {outputs['stock'].std():.2f}")


if __name__ == "__main__":
    main()

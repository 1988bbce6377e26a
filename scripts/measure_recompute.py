"""Measures a training step with and without train.recompute, each in a separate process.

Usage, from the project's folder: python scripts/measure_recompute.py [--model vit_s_16_224] [--batch_size 16]
The script prints the peak of MindSpore's memory pool (on an accelerator, the device memory), the peak memory of the
process, and the median duration of a step.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

os.environ.setdefault("GLOG_v", "3")
sys.path.insert(0, str(Path(__file__).parent.parent))

import mindspore as ms
import numpy as np
from mindspore import Tensor

from mindvit.data.sampling import SamplingPlan
from mindvit.factory import create_model
from mindvit.runtime import Runtime
from mindvit.training.recipe import Recipe, TrainSettings
from mindvit.training.setup import build


def take_steps(arguments: argparse.Namespace) -> None:
    """Trains for a few steps, and prints the median duration in seconds and the peak memory of the process in MB."""
    ms.set_context(mode=ms.GRAPH_MODE)
    network = create_model(arguments.model, num_classes=10, drop_path=0.1, depth=arguments.depth)
    accumulate_steps, samples = arguments.accumulate_steps, arguments.batch_size * arguments.accumulate_steps
    recipe = Recipe(train=TrainSettings(recompute=arguments.recompute == "true", accumulate_steps=accumulate_steps))
    plan = SamplingPlan(num_images=100 * arguments.batch_size, batch_size=samples, seed=0)
    step = build(recipe, Runtime("CPU", arguments.amp_level), network, plan, 100).step.set_train()
    generator = np.random.default_rng(0)
    images = generator.standard_normal((samples, 3, *network.config.image_shape)).astype(np.float32)
    labels, rng_keys = (generator.integers(0, 10, samples).astype(np.int32) for _ in range(2))
    batch = [Tensor(values) for values in (images, labels, rng_keys, np.zeros(6, np.float32))]
    seconds = []
    for _ in range(arguments.steps):
        started = time.perf_counter()
        step(*batch)[0].asnumpy()
        seconds.append(time.perf_counter() - started)
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    print(f"seconds {statistics.median(seconds[1:])} process {int(peak[1]) // 1000}")


def measure(recompute: bool, *options: str) -> dict[str, float]:
    """Duration of a step in seconds, and peak memory of the process and of MindSpore's memory pool in MB."""
    command = [sys.executable, __file__, "--recompute", str(recompute).lower(), *options]
    environment = {**os.environ, "MS_DEV_RUNTIME_CONF": "memory_statistics:True"}
    text = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=1200).stdout
    times = re.search(r"seconds (\S+) process (\d+)", text)
    return {
        "seconds": float(times[1]),
        "process": float(times[2]),
        "pool": float(re.search(r"actual peak used mem:(\d+)M", text)[1]),
    }


def main() -> None:
    """Measures and prints the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="vit_s_16_224", help="model name (default: vit_s_16_224)")
    parser.add_argument("--depth", type=int, default=12, help="number of blocks (default: 12)")
    parser.add_argument("--batch_size", type=int, default=16, help="images per micro-batch (default: 16)")
    parser.add_argument("--accumulate_steps", type=int, default=1, help="micro-batches per step (default: 1)")
    parser.add_argument("--amp_level", default="O0", help="O0, O2 or O3 (default: O0)")
    parser.add_argument("--steps", type=int, default=6, help="training steps (default: 6)")
    parser.add_argument("--recompute", choices=("true", "false"), help="measure only this case, in this process")
    arguments = parser.parse_args()
    if arguments.recompute:
        return take_steps(arguments)
    for recompute in (False, True):
        found = measure(recompute, *sys.argv[1:])
        print(
            f"recompute {recompute!s:<5} pool {found['pool']:,.0f} MB, process {found['process']:,.0f} MB, "
            f"{found['seconds']:.2f} s per step"
        )
    return None


if __name__ == "__main__":
    main()

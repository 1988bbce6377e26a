"""Measures the speed of infer.py on a folder of images, compared to its network alone.

Usage, from the project's folder: python scripts/measure_inference.py --images FOLDER [--model vit_s_16_224]
python -m tests.data.mixed_images FOLDER makes a folder of 200 files of all kinds, 10 of them unreadable. A pass over
the files (read, decode, preprocess, classify, rank) and the network alone, on as many batches that are ready in memory,
run alternately in one process after compilation. The weights are random. The script prints each round and the medians.
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

from mindvit.data.settings import CORES
from mindvit.factory import TrainedModel, create_model
from mindvit.inference.batched_pass import Answer, classify_files
from mindvit.inference.image_inputs import find_inputs
from mindvit.inference.predictor import Predictor
from mindvit.inference.video_frames import Interval
from mindvit.weights.metadata import CheckpointMetadata


def main() -> None:
    """Measures and prints the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", required=True, help="folder of images")
    parser.add_argument("--model", default="vit_s_16_224", help="model name (default: vit_s_16_224)")
    parser.add_argument("--batch_size", type=int, default=16, help="images per batch (default: 16)")
    parser.add_argument("--num_workers", type=int, default=min(8, CORES), help="data workers (default: one per core)")
    parser.add_argument("--rounds", type=int, default=5, help="measurements (default: 5)")
    arguments = parser.parse_args()

    ms.set_context(mode=ms.GRAPH_MODE)
    ms.set_seed(0)
    network = create_model(arguments.model)
    metadata = CheckpointMetadata(arguments.model, network.config, None)
    predictor = Predictor(TrainedModel(network, metadata), arguments.batch_size)
    files, _ = find_inputs([arguments.images])

    def run_pass() -> tuple[int, int]:
        answers = list(classify_files(files, predictor, 5, Interval(seconds=1), arguments.num_workers))
        answered = sum(isinstance(answer, Answer) for answer in answers)
        return answered, len(answers) - answered

    answered, refused = run_pass()
    print(f"{answered} images classified, {refused} unreadable; {arguments.model}, batches of {arguments.batch_size}")
    ready = ms.Tensor(np.random.default_rng(0).standard_normal(predictor.blank.shape).astype(np.float32))
    batches = -(-answered // arguments.batch_size)

    def run_network() -> None:
        for _ in range(batches):
            network(ready).asnumpy()

    rates: dict[str, list[float]] = {"pass": [], "network": []}
    processor: dict[str, list[float]] = {"pass": [], "network": []}
    for number in range(arguments.rounds):
        for name, run in sorted({"pass": run_pass, "network": run_network}.items(), reverse=number % 2 == 1):
            started, used = time.perf_counter(), time.process_time()
            run()
            rates[name].append(answered / (time.perf_counter() - started))
            processor[name].append(time.process_time() - used)
        print(f"pass {rates['pass'][-1]:.2f} images/s, network {rates['network'][-1]:.2f}, processor time "
              f"{processor['pass'][-1]:.1f} s and {processor['network'][-1]:.1f} s", flush=True)  # fmt: skip
    ratio = statistics.median(one / other for one, other in zip(*rates.values(), strict=True))
    # Of a machine that others use too, the processor time says more.
    share = statistics.median(other / one for one, other in zip(*processor.values(), strict=True))
    print(f"medians of {arguments.rounds} rounds: {ratio:.3f} of the network's images/s, the network takes {share:.3f} "
          "of the processor time")  # fmt: skip


if __name__ == "__main__":
    main()

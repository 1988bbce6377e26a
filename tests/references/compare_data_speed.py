"""Compares the speed of the training pipeline with torchvision's: images/s of the same work, in turns.

Both read a folder of class folders and make float32 batches of 32 x 3 x 224 x 224: random resized crop (bilinear),
random flip, normalization. torchvision runs with each number of ``--torch_workers``, and its best one counts.

    python tests/references/compare_data_speed.py FOLDER --torch_python TORCH/bin/python

TORCH is an environment with torch and torchvision; it needs neither this project nor MindSpore.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
BATCH, SIDE, WARMUP = 32, 224, 8


def images_per_second(batches, count):
    """Images/s of ``count`` batches after the first ones."""
    for _ in range(WARMUP):
        next(batches)
    start = time.perf_counter()
    for _ in range(count):
        next(batches)
    return count * BATCH / (time.perf_counter() - start)


def own(folder, workers, count, native, cache):
    """Of the pipeline of this project."""
    sys.path.insert(0, str(ROOT))
    from mindvit.data.folder import read_split
    from mindvit.data.image_cache import cache_images
    from mindvit.data.pipeline import train_pipeline
    from mindvit.data.sampling import SamplingPlan
    from mindvit.data.settings import AugmentSettings
    from mindvit.data.split import Source
    from mindvit.models import Preprocessing, ViTConfig

    split = read_split(Path(folder))
    if cache:
        split = cache_images(Source(split, None)).train
        for index in range(len(split)):
            split.read(index)
    model = ViTConfig(image_size=SIDE, preprocessing=Preprocessing(interpolation="bilinear"))
    plan = SamplingPlan(len(split), BATCH, 0)
    epochs = -(-(count + WARMUP) // plan.steps_per_epoch)
    dataset = train_pipeline(split, model, AugmentSettings(flip=True), plan, workers, native=native)
    iterator = dataset.create_tuple_iterator(num_epochs=epochs)
    return images_per_second((batch for _ in range(epochs) for batch in iterator), count)


def theirs(folder, workers, count):
    """Of torchvision's ImageFolder and PyTorch's DataLoader."""
    import torch
    from torch import library

    torch.set_num_threads(1)
    operators = library.Library("torchvision", "DEF")  # Its compiled operators do not load beside a CPU build.
    for name in ("nms", "qnms"):
        operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    from torchvision import datasets, transforms

    steps = [
        transforms.RandomResizedCrop(SIDE),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ]
    images = datasets.ImageFolder(folder, transforms.Compose(steps))
    options = {"persistent_workers": True} if workers else {}
    loader = torch.utils.data.DataLoader(images, BATCH, True, num_workers=workers, drop_last=True, **options)
    epochs = -(-(count + WARMUP) // len(loader))
    return images_per_second((batch for _ in range(epochs) for batch in loader), count)


def measure(python, folder, **options):
    """Measures in a process of its own."""
    command = [python, __file__, folder, "--measure", json.dumps(options)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    return float(done.stdout.split()[-1])


def main():
    """Measures in rounds, and prints medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--torch_python", default=sys.executable)
    parser.add_argument("--torch_workers", type=int, nargs="+", default=[0, 2, 4])
    parser.add_argument("--batches", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        options = json.loads(arguments.measure)
        print((theirs if options.pop("is_torch") else own)(arguments.folder, **options))
        return
    cores, count = os.cpu_count(), arguments.batches
    contestants = {
        "torchvision": [(arguments.torch_python, {"is_torch": True, "workers": n}) for n in arguments.torch_workers],
        "mindvit, portable": [(sys.executable, {"is_torch": False, "workers": cores, "native": False, "cache": False})],
        "mindvit": [(sys.executable, {"is_torch": False, "workers": cores, "native": True, "cache": False})],
        "mindvit, data.cache ram": [
            (sys.executable, {"is_torch": False, "workers": cores, "native": True, "cache": True})
        ],
    }
    found = {name: [] for name in contestants}
    for _ in range(arguments.rounds):
        for name, choices in contestants.items():
            speeds = [measure(python, arguments.folder, count=count, **options) for python, options in choices]
            found[name].append(max(speeds))
            print(f"{name:25} {' '.join(f'{speed:.0f}' for speed in speeds)}", flush=True)
    base = statistics.median(found["torchvision"])
    for name, speeds in found.items():
        print(f"{name:25} {statistics.median(speeds):6.0f} images/s  {statistics.median(speeds) / base:.2f}")


if __name__ == "__main__":
    main()

"""Measures what int8 costs and gains: accuracy on images, and time on this machine."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mindvit.data.corrupt_images import CorruptImageLog, reraise_decode_errors
from mindvit.data.pipeline import eval_pipeline
from mindvit.data.settings import EvalDataSettings
from mindvit.data.split import PADDING_LABEL, Split
from mindvit.errors import UserError
from mindvit.export.export_comparison import run_in_batches
from mindvit.models.vit_config import Preprocessing, ViTConfig

Run = Callable[[np.ndarray], np.ndarray]
_ROUNDS = 25
_SECONDS = 20.0
"""Longest time of a measurement of speed, after three rounds."""


@dataclass(frozen=True)
class Accuracy:
    """The classes that two files give the same images."""

    num_images: int
    agreement: float
    """Percentage of the images for which both files give the same class."""
    top1: tuple[float, float]
    """Top-1 accuracy of the float32 and of the int8 file, in percent."""


def read_inputs(
    split: Split, count: int, config: ViTConfig, data: EvalDataSettings, pixel_input: bool
) -> tuple[np.ndarray, np.ndarray]:
    """The inputs of a file for images that are evenly spaced over a split, and their labels.

    Args:
        split: the images.
        count: greatest number of images.
        config: configuration of the network.
        data: batch size, data workers, and what happens at a corrupt image.
        pixel_input: whether the file takes RGB pixels, and not normalized images.

    Raises:
        UserError: if an image is corrupt, or all are.
    """
    if len(split) > count:
        split = split.take(np.arange(count) * len(split) // count)
    corrupt = CorruptImageLog() if data.on_corrupt == "skip" else None
    batches = eval_pipeline(split, config, min(data.batch_size, count), data.num_workers, corrupt=corrupt)
    inputs, labels = [], []
    with reraise_decode_errors(split):
        for images, targets in batches.create_tuple_iterator(num_epochs=1, output_numpy=True):
            real = targets != PADDING_LABEL
            inputs.append(to_pixels(images[real], config.preprocessing) if pixel_input else images[real])
            labels.append(targets[real])
    if not sum(map(len, labels)):
        raise UserError(f"{split.origin} has no image that can be decoded")
    return np.concatenate(inputs), np.concatenate(labels)


def to_pixels(images: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """The RGB pixels of normalized images: float32 (n, 3, height, width) to uint8 (n, height, width, 3)."""
    mean, std = (np.array(values, np.float32) for values in (preprocessing.mean, preprocessing.std))
    return np.rint(255 * (images.transpose(0, 2, 3, 1) * std + mean)).clip(0, 255).astype(np.uint8)


def measure_accuracy(float32: Run, int8: Run, inputs: np.ndarray, labels: np.ndarray, batch_size: int) -> Accuracy:
    """Compares the classes that the two files give the images."""
    found = [run_in_batches(run, inputs, batch_size).argmax(1) for run in (float32, int8)]
    percent = [
        100.0 * float(np.mean(one == other)) for one, other in ((*found,), (found[0], labels), (found[1], labels))
    ]
    return Accuracy(len(labels), percent[0], (percent[1], percent[2]))


def measure_speed(float32: Run, int8: Run, batch: np.ndarray) -> tuple[float, float]:
    """Median seconds of the two files for one batch, in turns, so that other load of the machine hits both alike."""
    seconds: list[list[float]] = [[], []]
    for run in (float32, int8):
        run(batch)
    started = time.perf_counter()
    while len(seconds[0]) < _ROUNDS and (len(seconds[0]) < 3 or time.perf_counter() - started < _SECONDS):
        for times, run in zip(seconds, (float32, int8), strict=True):
            begun = time.perf_counter()
            run(batch)
            times.append(time.perf_counter() - begun)
    return float(np.median(seconds[0])), float(np.median(seconds[1]))

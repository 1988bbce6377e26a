"""The int8 part of an export: calibration, quantization, and what it costs and gains."""

import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mindvit.data.folder import open_unlabelled
from mindvit.data.settings import EvalDataSettings
from mindvit.errors import UserError
from mindvit.evaluation.eval_data import open_eval_data
from mindvit.export.export_comparison import batches_of
from mindvit.export.int8_measurement import Accuracy, measure_accuracy, measure_speed, read_inputs
from mindvit.export.onnx_file import onnx_runner
from mindvit.weights.metadata import CheckpointMetadata

_WARN_LOSS = 1.0
"""Points of Top-1, or percent of the images with another class, that a note is worth."""
_DYNAMIC_BATCH = 8
"""Images per batch in calibration and measurement of accuracy, where the batch is dynamic."""


@dataclass(frozen=True)
class Int8Settings:
    """Calibration and measurement of int8."""

    calibration: str | None = None
    """Folder of images like those that the network will see, subfolders included."""
    calibration_images: int = 100
    """Number of calibration images, evenly spaced over the folder."""
    evaluation_images: int = 1000
    """Number of images of --data, evenly spaced, on which the accuracy of int8 is measured."""
    data: EvalDataSettings = field(default_factory=EvalDataSettings)

    def __post_init__(self) -> None:
        for name in ("calibration_images", "evaluation_images"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")


class Int8Export:
    """Quantizes an exported file, and measures the result. The images are read when it is created.

    Args:
        settings: the settings.
        metadata: the metadata of the checkpoint.
        name: name of the checkpoint, for messages.
        batch_size: images per batch of the file; None: any number.
        pixel_input: whether the file takes RGB pixels.

    Raises:
        UserError: if a folder is missing or an image is corrupt, or if the data in the settings cannot be opened.
    """

    def __init__(
        self, settings: Int8Settings, metadata: CheckpointMetadata, name: str, batch_size: int | None, pixel_input: bool
    ) -> None:
        self.folder, self.batch_size = settings.calibration, batch_size
        images = open_unlabelled(Path(settings.calibration))
        options = (metadata.model, settings.data, pixel_input)
        self.calibration, _ = read_inputs(images, settings.calibration_images, *options)
        self.evaluated, self.reason = None, ""
        try:
            self.evaluated = open_eval_data(settings.data, metadata, name, download=False).labelled
        except UserError as error:
            # The data of the training may be on another machine. Data that the settings name must be there.
            if settings.data.path is not None or settings.data.source is not None:
                raise
            self.reason = str(error)
        if self.evaluated is not None:
            self.inputs, self.labels = read_inputs(self.evaluated, settings.evaluation_images, *options)

    def quantize(self, path: Path) -> dict[str, str]:
        """Replaces a float32 file by its int8 copy. Returns what was measured, in words."""
        from mindvit.export.quantize import quantize_onnx

        source = path.with_name(f"float32-{path.name}")
        path.rename(source)
        size = self.batch_size or _DYNAMIC_BATCH
        chosen, products = quantize_onnx(source, path, batches_of(self.calibration, size))
        runs = onnx_runner(source), onnx_runner(path)
        source_bytes = source.stat().st_size
        has_labels = self.evaluated is not None
        inputs = self.inputs if has_labels else self.calibration
        labels = self.labels if has_labels else np.zeros(len(inputs), np.int64)
        accuracy = measure_accuracy(*runs, inputs, labels, size)
        timed = self.batch_size or 1
        seconds = measure_speed(*runs, next(batches_of(inputs, timed)))
        source.unlink()
        return {
            "int8": f"{chosen} of {products} products with a weight, scales from {len(self.calibration):,} images of "
            f"{self.folder}; {source_bytes / 1e6:,.1f} MB as float32",
            "accuracy": self._accuracy(accuracy),
            "speed": _speed(*seconds, timed),
        }

    def _accuracy(self, found: Accuracy) -> str:
        if self.evaluated is None:
            if found.agreement < 100 - _WARN_LOSS:
                warnings.warn(
                    f"int8 gives another class than float32 for {100 - found.agreement:.1f} % of the calibration "
                    "images; measure the accuracy with --data.path, and use float32 if it loses too much",
                    stacklevel=2,
                )
            return (
                f"same class as float32 for {found.agreement:.1f} % of the {found.num_images:,} calibration images; "
                f"Top-1 is not known: {self.reason}"
            )
        before, after = found.top1
        if before - after > _WARN_LOSS:
            warnings.warn(
                f"int8 loses {before - after:.1f} points of Top-1; try more --calibration_images, or use float32",
                stacklevel=2,
            )
        return (
            f"Top-1 {before:.2f} % as float32, {after:.2f} % as int8, on {found.num_images:,} images of "
            f"{self.evaluated.origin}; same class for {found.agreement:.1f} %"
        )


def _speed(before: float, after: float, batch_size: int) -> str:
    if after > before:
        warnings.warn(
            f"int8 is slower than float32 on this machine ({before / after:.2f} times its speed); "
            "use float32 here, and measure on the machine that will run the file",
            stacklevel=2,
        )
    return (
        f"{1e3 * before:.2f} ms as float32, {1e3 * after:.2f} ms as int8 at batch {batch_size} on this machine: "
        f"{before / after:.2f} times the speed (medians, run in turns)"
    )

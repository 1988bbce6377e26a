"""The command export: writes a network as a file for deployment, after running it and comparing it with the network."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from mindvit.errors import UserError
from mindvit.export.deployment_metadata import INPUT, OUTPUT, PROBABILITIES, describe
from mindvit.export.export_comparison import (
    DYNAMIC_BATCHES,
    comparison_images,
    expected_outputs,
    max_difference,
    network_inputs,
)
from mindvit.export.exportable import ExportedNetwork, make_exportable
from mindvit.export.int8_export import Int8Export, Int8Settings
from mindvit.export.mindir_file import mindir_runner, move_variables, variables_folder, write_mindspore_file
from mindvit.export.onnx_file import build_onnx, check_size, onnx_runner, require_onnx
from mindvit.export.plain_path import check_plain_name
from mindvit.factory import TrainedModel, load_trained
from mindvit.files import make_folder, replacing, write_text
from mindvit.ops.operation import PORTABLE, forms_of
from mindvit.printable import printable
from mindvit.runtime import RuntimeSettings, device_counts, init_runtime

_ENDINGS = {"ONNX": ".onnx", "MINDIR": ".mindir", "AIR": ".air"}


@dataclass(frozen=True, kw_only=True)
class ExportSettings(Int8Settings):
    """An export."""

    ckpt: str
    """Checkpoint: a path, or the name of a file in ckpt/."""
    output: str
    """File to write: .onnx, .mindir or .air."""
    format: Literal["ONNX", "MINDIR", "AIR"] = "ONNX"
    """Format of the file. ONNX: for onnxruntime and others; MINDIR: for MindSpore and its Lite; AIR: for Ascend's ATC,
    written only on an Ascend."""
    batch_size: int | Literal["dynamic"] | None = None
    """Images per batch, or dynamic for any number. null: dynamic for ONNX, 1 for MINDIR and AIR."""
    opset: int = 17
    """ONNX opset, 11 to 17. Ascend's ATC reads 11 to 15, in which a layer norm is several operators."""
    pixel_input: bool = False
    """Take RGB pixels, uint8 (batch, height, width, 3), and normalize them inside the file."""
    probabilities: bool = False
    """Return the softmax of the logits."""
    int8: bool = False
    """Quantize matrix products to int8, with scales from the images of --calibration (ONNX only)."""
    download: bool = False
    """Download published weights that are missing."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.batch_size, int) and self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, or dynamic, not {self.batch_size}")
        if not 11 <= self.opset <= 17:
            raise ValueError(f"opset must be from 11 to 17, not {self.opset}")
        if self.int8 and self.opset < 13:
            raise ValueError(f"int8 needs opset 13 or above, not {self.opset}")
        ending = _ENDINGS[self.format]
        if not self.output.endswith(ending):
            raise ValueError(f"output must end in {ending} with --format {self.format}, not {self.output}")
        if self.int8 and self.format != "ONNX":
            raise ValueError(f"int8 applies to --format ONNX, not {self.format}")
        if self.int8 and self.calibration is None:
            raise ValueError("int8 needs --calibration, a folder of images like those that the network will see")
        if not self.int8 and (self.calibration is not None or self.data != Int8Settings().data):
            raise ValueError("calibration and data apply only with --int8 true, which measures the accuracy")
        if self.format == "AIR" and self.batch_size == "dynamic":
            raise ValueError("batch_size dynamic is not supported by AIR; choose a number")

    @property
    def fixed_batch(self) -> int | None:
        """Images per batch; None: any number."""
        if self.batch_size is None:
            return None if self.format == "ONNX" else 1
        return None if self.batch_size == "dynamic" else self.batch_size


def export(settings: ExportSettings) -> None:
    """Writes the file, and prints a summary. If the file differs from the network, it is not written.

    Raises:
        UserError: for a mistake in the settings or the checkpoint, a network that cannot be exported, or a file whose
            outputs differ from those of the network by more than 1e-4.
    """
    output = Path(settings.output)
    if settings.format == "ONNX":
        require_onnx()
    else:
        check_plain_name(output, settings.format)
    if settings.format == "AIR" and not device_counts()["Ascend"]:
        raise UserError(
            "--format AIR needs an Ascend NPU, and this machine has none; export MINDIR or ONNX, which ATC and "
            "MindSpore Lite convert too"
        )
    init_runtime(RuntimeSettings(device="Ascend" if settings.format == "AIR" else "CPU", amp_level="O0"))
    make_folder(output.parent)
    # The portable forms: the operators of one device would not be understood by another.
    with forms_of(PORTABLE):
        trained = load_trained(settings.ckpt, settings.download)
        rows = {"checkpoint": settings.ckpt, "model": trained.metadata.model_name}
        rows |= _write(settings, trained, output)
    print("\n".join(f"{key:<11} {printable(value)}" for key, value in rows.items()))


def _write(settings: ExportSettings, trained: TrainedModel, output: Path) -> dict[str, str]:
    network, config = trained.network.set_train(False), trained.metadata.model
    batch_size, kind = settings.fixed_batch, settings.format
    if settings.pixel_input and config.in_channels != 3:
        raise UserError(f"--pixel_input true needs RGB images, but the network takes {config.in_channels} channels")
    if kind == "ONNX":
        check_size(network)
    int8 = None
    if settings.int8:
        int8 = Int8Export(settings, trained.metadata, settings.ckpt, batch_size, settings.pixel_input)
    precision = "int8" if settings.int8 else "float32"
    description = describe(trained.metadata, settings.pixel_input, settings.probabilities, precision)
    images = comparison_images(config)
    inputs = network_inputs(images, config)
    expected = expected_outputs(network, inputs, settings.probabilities)
    given = images if settings.pixel_input else inputs
    sizes = DYNAMIC_BATCHES if batch_size is None else (batch_size,)
    cell = ExportedNetwork(make_exportable(network), settings.pixel_input, settings.probabilities).set_train(False)

    about, size, compared = {"format": kind}, 0, "no: only the tools of Ascend run AIR"
    with replacing(output) as temporary:
        if kind == "ONNX":
            _write_onnx(settings, cell, description, temporary)
            compared = _compare(onnx_runner(temporary), given, expected, sizes)
            measured = int8.quantize(temporary) if int8 is not None else {}
            about = _about_onnx(temporary) | measured
        else:
            write_mindspore_file(cell, batch_size, kind, temporary)
            if kind == "MINDIR":
                with mindir_runner(temporary) as run:
                    compared = _compare(run, given, expected, sizes)
            size = sum(file.stat().st_size for file in variables_folder(temporary).glob("*"))
            move_variables(temporary, output)
    if kind != "ONNX":
        write_text(output.with_name(f"{output.name}.json"), description + "\n")
    batch = "batch" if batch_size is None else str(batch_size)
    shape = ", ".join([batch, *map(str, given.shape[1:])])
    return {
        "format": about.pop("format"),
        "input": f"{INPUT}, {given.dtype} ({shape})",
        "output": f"{PROBABILITIES if settings.probabilities else OUTPUT}, float32 ({batch}, {config.num_classes})",
        **about,
        "compared": f"before int8, {compared}" if settings.int8 else compared,
        "file": f"{output}, {(size + output.stat().st_size) / 1e6:,.1f} MB",
    }


def _compare(
    run: Callable[[np.ndarray], np.ndarray], inputs: np.ndarray, expected: np.ndarray, sizes: Sequence[int]
) -> str:
    difference = max_difference(run, inputs, expected, sizes)
    batches = ", ".join(map(str, sizes))
    return f"{len(inputs)} images at batch {batches}: greatest difference from the network {difference:.1e}"


def _write_onnx(settings: ExportSettings, cell: ExportedNetwork, description: str, path: Path) -> None:
    import onnx

    output = PROBABILITIES if settings.probabilities else OUTPUT
    onnx.save(build_onnx(cell, settings.fixed_batch, settings.opset, description, output), path)


def _about_onnx(path: Path) -> dict[str, str]:
    import onnx

    from mindvit.export.onnx_graph import operators

    model = onnx.load(path)
    opset = next(item.version for item in model.opset_import if not item.domain)
    counts = ", ".join(f"{name} {count}" for name, count in operators(model))
    return {"format": f"ONNX, opset {opset}, IR version {model.ir_version}", "operators": counts}

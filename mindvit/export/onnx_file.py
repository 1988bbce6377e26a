"""Exports a network as ONNX, and runs ONNX files."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import mindspore as ms
import numpy as np
from mindspore import nn

from mindvit.errors import UserError
from mindvit.export.deployment_metadata import INPUT, KEY
from mindvit.export.exportable import ExportedNetwork, input_tensor

if TYPE_CHECKING:
    import onnx

MAX_BYTES = 2**31 - 2**26
"""Greatest size of the weights: protobuf ends at 2 GB, and the graph needs some of it."""


def require_onnx() -> None:
    """Checks that the packages for ONNX are installed.

    Raises:
        UserError: naming those that are missing, and the command that installs them.
    """
    missing = []
    for name in ("onnx", "onnxruntime"):
        try:
            __import__(name)
        except ImportError:
            missing.append(name)
    if missing:
        raise UserError(
            f"--format ONNX needs {' and '.join(missing)}: pip install -r requirements/export.txt, or pip install "
            '"mindvit[export]"'
        )


def check_size(network: nn.Cell) -> None:
    """Checks that the weights fit into an ONNX file.

    Raises:
        UserError: if they do not.
    """
    size = sum(parameter.nbytes for parameter in network.get_parameters())
    if size > MAX_BYTES:
        raise UserError(
            f"the weights take {size / 1e9:.1f} GB, and an ONNX file holds at most 2 GB; use --format MINDIR"
        )


def build_onnx(
    cell: ExportedNetwork, batch_size: int | None, opset: int, description: str, output: str
) -> "onnx.ModelProto":
    """The ONNX model of a network, checked by ``onnx.checker``.

    Args:
        cell: the exportable network.
        batch_size: images per batch; None: any number.
        opset: one of ``OPSETS``.
        description: what ``describe`` returned, for the metadata of the file.
        output: name of the output.

    Raises:
        UserError: if MindSpore cannot export an operator, or if the batch cannot be made dynamic.
    """
    import onnx

    import mindvit
    from mindvit.export.onnx_graph import MARKED_BATCH, make_batch_dynamic, modernize

    model = modernize(export_graph(cell, input_tensor(cell, batch_size or MARKED_BATCH), output), opset)
    if batch_size is None:
        try:
            make_batch_dynamic(model)
        except ValueError as error:
            raise UserError(f"the batch cannot be dynamic ({error}); choose a fixed --batch_size") from error
    model.producer_name, model.producer_version = "mindvit", mindvit.__version__
    onnx.helper.set_model_props(model, {KEY: description})
    onnx.checker.check_model(model, full_check=True)
    return model


def onnx_runner(path: Path | str) -> Callable[[np.ndarray], np.ndarray]:
    """Loads an ONNX file into onnxruntime, on the CPU. The result maps a batch of inputs to the outputs."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda inputs: session.run(None, {INPUT: inputs})[0]


def export_graph(cell: nn.Cell, inputs: ms.Tensor, output: str) -> "onnx.ModelProto":
    """The ONNX model of a cell with one input and one output, as MindSpore exports it.

    Raises:
        UserError: if MindSpore cannot export an operator.
    """
    import onnx
    from mindspore import onnx as exporter

    with tempfile.TemporaryDirectory(prefix="mindvit-") as folder:
        file = Path(folder) / "network.onnx"
        try:
            exporter.export(cell, inputs, file_name=str(file), input_names=[INPUT], output_names=[output])
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(f"MindSpore cannot export this network as ONNX: {reason}; use --format MINDIR") from error
        return onnx.load(file)

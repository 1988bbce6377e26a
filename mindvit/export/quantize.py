"""Quantizes an ONNX file to int8 with onnxruntime's static quantization."""

import logging
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from mindvit.export.deployment_metadata import INPUT

OPERATORS = ("Gemm", "MatMul", "Conv")
"""Operators whose weights and inputs become int8. Softmax, layer norms and GELU stay float32: they take a small part of
the time, and a scale per tensor does not fit their results."""
_KEPT_FLOAT = ("patch_embedding.conv.weight", "dense.weight", "dense_distillation.weight")
"""Weights that stay float32: the first and the last layer take a small part of the time, and lose most."""


def quantize_onnx(source: Path, target: Path, batches: Iterable[np.ndarray]) -> tuple[int, int]:
    """Writes an int8 copy of an ONNX file, in the QDQ format.

    A weight has one scale for each output channel. It uses 7 of the 8 bits: without VNNI instructions, products of
    8 bits overflow on x86 processors. An input has one scale, from its least and greatest value over the calibration
    images. Products of two inputs, in attention, stay float32.

    Args:
        source: the float32 file, of opset 13 or above.
        target: the file to write.
        batches: inputs to calibrate with.

    Returns:
        The number of products with a weight that are int8, and of all.
    """
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        prepared = Path(folder) / "prepared.onnx"
        with _quiet():
            quant_pre_process(source, prepared, skip_symbolic_shape=True)
            chosen, others, products = _divide_products(onnx.load(prepared))
            quantize_static(
                prepared,
                target,
                _Batches(batches),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=list(OPERATORS),
                per_channel=True,
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                nodes_to_exclude=others,
                # The sum of a residual connection, and the input of a GELU or softmax, stay float32.
                extra_options={"OpTypesToExcludeOutputQuantization": list(OPERATORS)},
            )
    model = onnx.load(target)
    original = onnx.load(source, load_external_data=False)
    onnx.helper.set_model_props(model, {entry.key: entry.value for entry in original.metadata_props})
    model.producer_name, model.producer_version = original.producer_name, original.producer_version
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, target)
    return len(chosen), products


def _divide_products(model: onnx.ModelProto) -> tuple[list[str], list[str], int]:
    """The names of the products that become int8, of those that stay float32, and the number of those with a weight."""
    weights = {weight.name for weight in model.graph.initializer}
    nodes = [node for node in model.graph.node if node.op_type in OPERATORS]
    weighted = [node for node in nodes if node.input[1] in weights]
    chosen = [node.name for node in weighted if node.input[1] not in _KEPT_FLOAT]
    return chosen, [node.name for node in nodes if node.name not in chosen], len(weighted)


class _Batches(CalibrationDataReader):
    def __init__(self, batches: Iterable[np.ndarray]) -> None:
        self.batches = iter(batches)

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self.batches, None)
        return None if batch is None else {INPUT: batch}


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences the warnings of onnxruntime about its own steps."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    onnxruntime.set_default_logger_severity(3)
    try:
        yield
    finally:
        logging.disable(before)
        onnxruntime.set_default_logger_severity(2)

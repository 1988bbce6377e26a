"""What a program needs to know beside an exported network: the preprocessing of images, and the classes."""

from dataclasses import asdict
from typing import Any

from mindvit.strict_json import dump_json
from mindvit.weights.metadata import CheckpointMetadata

KEY = "mindvit"
"""Name of the description among the metadata of an ONNX file."""
INPUT, OUTPUT = "images", "logits"
"""Names of the input, and of the output without softmax."""
PROBABILITIES = "probabilities"
"""Name of the output with softmax."""
_FORMAT = 1


def describe(metadata: CheckpointMetadata, pixel_input: bool, probabilities: bool, precision: str) -> str:
    """The description as one line of JSON; docs/deployment.md lists its fields.

    Args:
        metadata: the metadata of the checkpoint.
        pixel_input: whether the file takes RGB pixels and normalizes them itself.
        probabilities: whether it returns probabilities instead of logits.
        precision: ``"float32"`` or ``"int8"``.
    """
    model = metadata.model
    height, width = model.image_shape
    sizes = {"height": height, "width": width, "channels": model.in_channels}
    form = {"layout": "NHWC", "dtype": "uint8"} if pixel_input else {"layout": "NCHW", "dtype": "float32"}
    content: dict[str, Any] = {
        "format": _FORMAT,
        "model": metadata.model_name,
        "precision": precision,
        "input": {"name": INPUT, **form, **sizes, "normalized": not pixel_input},
        "output": {"name": PROBABILITIES if probabilities else OUTPUT, "classes": model.num_classes},
        "preprocessing": asdict(model.preprocessing),
        "classes": asdict(metadata.classes) if metadata.classes else None,
    }
    return dump_json(content)

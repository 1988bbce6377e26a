"""The metadata of a checkpoint: what evaluation and inference need to know beside the weights."""

import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from mindvit.classes import Classes
from mindvit.data.settings import SourceName, check_hold_out
from mindvit.errors import UserError
from mindvit.json_schema import decode
from mindvit.models.variants import list_models
from mindvit.models.vit_config import ViTConfig
from mindvit.printable import printable
from mindvit.strict_json import dump_json, parse_json

METADATA_KEY = "mindvit.metadata"
"""Name of the metadata among the texts of a ``.ckpt``."""
_FORMAT = 3
_OMITTED = ("data_labels", "val_fraction", "split_seed", "divided_data")
"""Fields that are left out if they are None, so that earlier versions with format 3 can read the metadata."""

# Format 3 says how images are resized for evaluation. Before it, all were resized in a way that is no longer there.
_MINDSPORE_ORIGINS = ("tutorial", "mindcv", "mindcv (before 0.3)")
FORMER_RESIZE_NOTE = (
    "its recorded metrics were measured by mindvit 0.2 or before, which resized images for evaluation in another way; "
    "they may differ from those of an evaluation now"
)

_MAX_PATH = 4096
"""Greatest length of a path, in bytes, on Linux."""

# Files of format 1, which versions before 0.2 wrote, have other names.
OLD_METADATA_KEY = "mindvit.passport"
"""``METADATA_KEY`` in files of format 1."""
_OLD_FIELDS = {"is_part": "is_class_subset"}
_OLD_MODEL_FIELDS = {
    "positions": "pos_embed",
    "prefix_positions": "prefix_pos_embed",
    "layer_dropout": "block_dropout",
    "window": "window_size",
}


@dataclass(frozen=True)
class CheckpointMetadata:
    """What a checkpoint says about its weights."""

    model_name: str
    """Model name, one of ``mindvit.list_models()``."""
    model: ViTConfig
    """Configuration of the network, preprocessing included."""
    classes: Classes | None = None
    """Classes of the outputs; None if they are not known."""
    data_source: SourceName = "folder"
    """Kind of data source it was trained on, as ``data.source``."""
    data_path: str | None = None
    """Folder of that source, as ``data.path``."""
    data_labels: str | None = None
    """CSV file with the labels of the images, as ``data.labels``."""
    val_fraction: float | None = None
    """Fraction of the images that was held out for validation, as ``data.val_fraction``."""
    split_seed: int | None = None
    """Seed of the choice of these images, as ``data.split_seed``; None if none were held out."""
    divided_data: str | None = None
    """Fingerprint of the images that were divided into train and val, as ``Source.divided``; None if none were."""
    is_class_subset: bool = False
    """Whether it was trained on a subset of that source's classes."""
    epoch: int = 0
    """Epochs trained."""
    metrics: dict[str, float] = field(default_factory=dict)
    """Metrics of the last evaluation. Those that are not finite are not stored."""
    former_resize: bool = False
    """Whether the metrics were measured with the resize of mindvit 0.2 or before, which had slightly other pixels."""
    origin: str | None = None
    """Layout of the file that it was converted from; None for weights trained here."""

    def to_json(self) -> str:
        """The metadata as one line of JSON."""
        fields = {name: value for name, value in asdict(self).items() if value is not None or name not in _OMITTED}
        return dump_json({"format": _FORMAT, **fields, "metrics": _finite(self.metrics)})

    @classmethod
    def from_json(cls, text: str) -> "CheckpointMetadata":
        """Reads the text that ``to_json`` wrote, in this version or an earlier one.

        Raises:
            UserError: if it is not metadata, or was written by a newer version.
        """
        try:
            stored = parse_json(text)
            if not isinstance(stored, dict):
                raise ValueError("it must be a JSON object")
            version = stored.pop("format", None)
            if type(version) is not int or version < 1:
                raise ValueError("format must be an integer, 1 or more")
            if version > _FORMAT:
                raise UserError(f"a newer version of mindvit wrote it (metadata format {version}); update mindvit")
            metadata = decode(cls, _in_current_format(stored, version))
            _check_ranges(metadata)
            return metadata
        except UserError:
            raise
        except ValueError as error:
            raise UserError(f"its metadata cannot be read ({error}); use another copy of the file") from error


def read_metadata(texts: Mapping[str, str]) -> CheckpointMetadata | None:
    """The metadata among the texts of a ``.ckpt``; None if it has none.

    Raises:
        UserError: as ``CheckpointMetadata.from_json``.
    """
    text = texts.get(METADATA_KEY, texts.get(OLD_METADATA_KEY))
    return None if text is None else CheckpointMetadata.from_json(text)


def _in_current_format(stored: dict[str, Any], version: int) -> dict[str, Any]:
    """The fields of an earlier format under the names of this one. Values of a wrong type stay, for ``decode``."""
    model, metrics = stored.get("model"), stored.get("metrics")
    if isinstance(metrics, dict):
        stored = {**stored, "metrics": _finite(metrics)}
    if not isinstance(model, dict):
        return stored
    if version == 1:
        stored, model = _renamed(stored, _OLD_FIELDS), _renamed(model, _OLD_MODEL_FIELDS)
    preprocessing = model.get("preprocessing", {})
    if version < 3 and isinstance(preprocessing, dict):
        resize = "mindspore" if stored.get("origin") in _MINDSPORE_ORIGINS else "timm"
        model = {**model, "preprocessing": {**preprocessing, "resize": resize}}
        stored = {**stored, "former_resize": bool(stored.get("metrics"))}
    return {**stored, "model": model}


def _renamed(settings: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in settings.items()}


def _finite(metrics: dict[str, Any]) -> dict[str, Any]:
    """The metrics without None, NaN and infinity, which earlier versions stored for a run that diverged."""
    return {
        name: value
        for name, value in metrics.items()
        if value is not None and not (isinstance(value, float) and not math.isfinite(value))
    }


def _check_ranges(metadata: CheckpointMetadata) -> None:
    """Checks what the types of the fields and their constructors do not.

    Raises:
        ValueError: naming the field and what is expected.
    """
    if metadata.model_name not in list_models():
        raise ValueError(f"model_name must be one of mindvit.list_models(), not {printable(metadata.model_name, 40)!r}")
    outputs = metadata.model.num_classes
    if metadata.classes is not None and len(metadata.classes) != outputs:
        raise ValueError(f"classes must be as many as model.num_classes, {outputs}, not {len(metadata.classes)}")
    if metadata.epoch < 0:
        raise ValueError(f"epoch must be 0 or more, not {metadata.epoch}")
    for name in ("data_path", "data_labels"):
        if getattr(metadata, name) is not None and len(os.fsencode(getattr(metadata, name))) > _MAX_PATH:
            raise ValueError(f"{name} must have at most {_MAX_PATH} bytes")
    check_hold_out(metadata.val_fraction, metadata.split_seed, group="")
    if (metadata.val_fraction is None) != (metadata.split_seed is None):
        raise ValueError("val_fraction and split_seed must be given together")

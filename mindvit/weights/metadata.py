"""The metadata of a checkpoint: what evaluation and inference need to know beside the weights."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from mindvit.classes import Classes
from mindvit.errors import UserError
from mindvit.models.vit_config import ViTConfig

METADATA_KEY = "mindvit.metadata"
"""Name of the metadata among the texts of a ``.ckpt``."""
_FORMAT = 2

# Files of format 1, which versions before 0.2 wrote, have other names.
_OLD_KEY = "mindvit.passport"
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
    data_source: str = "folder"
    """Kind of data source it was trained on, as ``data.source``."""
    data_path: str | None = None
    """Folder of that source, as ``data.path``."""
    is_class_subset: bool = False
    """Whether it was trained on a subset of that source's classes."""
    epoch: int = 0
    """Epochs trained."""
    metrics: dict[str, float] = field(default_factory=dict)
    """Metrics of the last evaluation."""
    origin: str | None = None
    """Layout of the file that it was converted from; None for weights trained here."""

    def to_json(self) -> str:
        """The metadata as one line of JSON."""
        return json.dumps({"format": _FORMAT, **asdict(self)}, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> "CheckpointMetadata":
        """Reads the text that ``to_json`` wrote, in this version or an earlier one.

        Raises:
            UserError: if it is not metadata, or was written by a newer version.
        """
        try:
            stored = json.loads(text)
            version = stored.pop("format")
            if version > _FORMAT:
                raise UserError(f"a newer version of mindvit wrote it (metadata format {version}); update mindvit")
            model, classes = stored.pop("model"), stored.pop("classes")
            if version == 1:
                stored, model = _renamed(stored, _OLD_FIELDS), _renamed(model, _OLD_MODEL_FIELDS)
            return cls(
                model=ViTConfig.from_dict(model),
                classes=classes and Classes(tuple(classes["ids"]), tuple(classes["names"])),
                **stored,
            )
        except UserError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"its metadata cannot be read ({error})") from error


def read_metadata(texts: Mapping[str, str]) -> CheckpointMetadata | None:
    """The metadata among the texts of a ``.ckpt``; None if it has none.

    Raises:
        UserError: as ``CheckpointMetadata.from_json``.
    """
    text = texts.get(METADATA_KEY, texts.get(_OLD_KEY))
    return None if text is None else CheckpointMetadata.from_json(text)


def _renamed(settings: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in settings.items()}

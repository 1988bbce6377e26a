"""What travels inside a checkpoint beside its weights."""

import json
from dataclasses import asdict, dataclass, field

from mindvit.data.split import Classes
from mindvit.errors import UserError
from mindvit.models.config import ViTConfig

_FORMAT = 1


@dataclass(frozen=True)
class Passport:
    """All that evaluation and inference need to know of a checkpoint."""

    model_name: str
    """Name in the table of variants."""
    model: ViTConfig
    """The network's settings, the preparation of its pictures included."""
    classes: Classes | None = None
    """The classes of its outputs; None where nobody knows them."""
    data_source: str = "folder"
    """Kind of source it was trained on, as data.source."""
    data_path: str | None = None
    """Folder of that source, as data.path."""
    is_part: bool = False
    """Whether it was trained on a part of that source's classes."""
    epoch: int = 0
    """Epochs trained."""
    metrics: dict[str, float] = field(default_factory=dict)
    """The last evaluation's figures."""
    origin: str | None = None
    """Layout of another program's file that it was converted from."""

    def to_json(self) -> str:
        """The passport as one line of JSON."""
        return json.dumps({"format": _FORMAT, **asdict(self)}, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> "Passport":
        """Reads what ``to_json`` wrote.

        Raises:
            UserError: if it is no passport, or one of a newer version.
        """
        try:
            stored = json.loads(text)
            version = stored.pop("format")
            if version > _FORMAT:
                raise UserError(f"it was written by a newer version (passport format {version}); update this one")
            classes = stored.pop("classes")
            return cls(
                model=ViTConfig.from_dict(stored.pop("model")),
                classes=classes and Classes(tuple(classes["ids"]), tuple(classes["names"])),
                **stored,
            )
        except UserError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"its passport cannot be read ({error})") from error

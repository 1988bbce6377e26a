"""Reading and writing checkpoint files."""

from dataclasses import dataclass
from pathlib import Path

import mindspore as ms
from mindspore import Parameter, nn

from mindvit.errors import UserError
from mindvit.files import replacing
from mindvit.weights.passport import Passport

_PASSPORT_KEY = "mindvit.passport"


@dataclass(frozen=True)
class Checkpoint:
    """The content of a checkpoint file."""

    path: Path
    tensors: dict[str, Parameter]
    """Weights by name."""
    passport: Passport | None
    """None in files that another program wrote."""


def write_checkpoint(path: Path, network: nn.Cell, passport: Passport) -> None:
    """Writes a network's weights and passport, with checksums, whole or not at all.

    Raises:
        UserError: if the file cannot be written.
    """
    with replacing(path) as temporary:
        ms.save_checkpoint(network, str(temporary), append_dict={_PASSPORT_KEY: passport.to_json()}, crc_check=True)


def read_checkpoint(path: Path) -> Checkpoint:
    """Reads a checkpoint file, ``.ckpt``, checking its checksums where it carries them. Nothing in it is executed.

    Raises:
        UserError: if the file cannot be read, is damaged, or is no checkpoint.
    """
    path = Path(path)
    try:
        with open(path, "rb"):
            pass
        content = ms.load_checkpoint(str(path), crc_check=True)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, RuntimeError, TypeError) as error:
        raise UserError(f"{path} is damaged, or is no MindSpore checkpoint; get it anew") from error
    text = content.pop(_PASSPORT_KEY, None)
    try:
        passport = None if text is None else Passport.from_json(str(text))
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    tensors = {name: value for name, value in content.items() if isinstance(value, Parameter)}
    return Checkpoint(path, tensors, passport)

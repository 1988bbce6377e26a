"""Reading and writing checkpoint files."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn

from mindvit.errors import UserError
from mindvit.files import replacing
from mindvit.weights.formats.ckpt_sizes import check_ckpt_sizes
from mindvit.weights.formats.values import as_float32
from mindvit.weights.layouts.layout import Layout
from mindvit.weights.passport import Passport

STATE_KEY = "mindvit.state"
"""The text that marks a file as a state of a run, which holds more than weights."""

_PASSPORT_KEY = "mindvit.passport"
_ENDING = ".ckpt"


@dataclass(frozen=True)
class Checkpoint:
    """The content of a file of weights."""

    path: Path
    tensors: dict[str, np.ndarray]
    """Weights by our names; floating point, bfloat16 too, as float32."""
    passport: Passport | None
    """None in files that another program wrote."""
    layout: Layout | None = None
    """How another program's file named them; None in our own."""


def write_checkpoint(path: Path, weights: nn.Cell | dict[str, Parameter], passport: Passport) -> None:
    """Writes weights (a network's, or by name) and a passport, with checksums, whole or not at all.

    Raises:
        UserError: if the file cannot be written.
    """
    write_tensors(path, weights, {_PASSPORT_KEY: passport.to_json()})


def read_checkpoint(path: Path) -> Checkpoint:
    """Reads a checkpoint file, ``.ckpt``, checking its checksums where it carries them. Nothing in it is executed.

    Raises:
        UserError: if the file cannot be read, is damaged, is no checkpoint, or is a state of a run.
    """
    tensors, texts = read_tensors(path)
    if STATE_KEY in texts:
        raise UserError(
            f"{path} is a state that a run goes on from (--resume); for use take best.ckpt or last.ckpt of its folder"
        )
    text = texts.get(_PASSPORT_KEY)
    try:
        passport = None if text is None else Passport.from_json(text)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    return Checkpoint(Path(path), {name: _array(tensor) for name, tensor in tensors.items()}, passport)


def is_checkpoint(path: Path) -> bool:
    """Whether a file begins as MindSpore's checkpoints do: with the first field of a protobuf message."""
    with open(path, "rb") as file:
        return file.read(1) == b"\x0a"


def write_tensors(path: Path, tensors: nn.Cell | dict[str, Parameter | Tensor], texts: dict[str, str]) -> None:
    """Writes tensors (a network's, or by name) and texts by name, with checksums, whole or not at all.

    Raises:
        UserError: if the file cannot be written.
    """
    content = [{"name": n, "data": t} for n, t in tensors.items()] if isinstance(tensors, dict) else tensors
    with replacing(path) as temporary:
        ms.save_checkpoint(content, str(temporary), append_dict=dict(texts), crc_check=True)


def read_tensors(path: Path) -> tuple[dict[str, Parameter], dict[str, str]]:
    """Reads what ``write_tensors`` wrote, or another MindSpore checkpoint: its tensors, and its texts.

    Raises:
        UserError: if the file cannot be read, is damaged, or is no checkpoint.
    """
    try:
        with open(path, "rb"):
            pass
        check_ckpt_sizes(Path(path))
        content = _load(Path(path))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    except UserError:
        raise
    except (ValueError, RuntimeError, TypeError) as error:
        raise UserError(f"{path} is damaged, or is no MindSpore checkpoint; get it anew") from error
    tensors = {name: value for name, value in content.items() if isinstance(value, Parameter)}
    return tensors, {name: str(value) for name, value in content.items() if name not in tensors}


def _load(path: Path) -> dict[str, Parameter | str]:
    if path.suffix == _ENDING:
        return ms.load_checkpoint(str(path), crc_check=True)
    # MindSpore takes nothing for a checkpoint that is not called one.
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / f"link{_ENDING}"
        link.symlink_to(path.resolve())
        return ms.load_checkpoint(str(link), crc_check=True)


def _array(tensor: Parameter) -> np.ndarray:
    if tensor.dtype == ms.bfloat16:
        return tensor.astype(ms.float32).asnumpy()
    return as_float32(tensor.asnumpy())

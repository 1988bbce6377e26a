"""MindSpore's ``.ckpt``: protobuf, with tensors and texts by name. Nothing in it is executed."""

import tempfile
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn

from mindvit.errors import UserError
from mindvit.files import replacing
from mindvit.weights.formats.ckpt_sizes import check_ckpt_sizes
from mindvit.weights.formats.values import as_float32

_ENDING = ".ckpt"


def starts_ckpt(start: bytes) -> bool:
    """Whether a file that starts with these bytes is a MindSpore checkpoint: the first field of a protobuf message."""
    return start[:1] == b"\x0a"


def read_ckpt(path: Path) -> tuple[dict[str, Parameter], dict[str, str]]:
    """Reads the tensors and the texts of a checkpoint, and verifies its checksums where it has them.

    Raises:
        UserError: if the file cannot be read, is corrupt, or is not a checkpoint.
    """
    path = Path(path)
    try:
        with open(path, "rb"):
            pass
        check_ckpt_sizes(path)
        content = _load(path)
        tensors = {name: value for name, value in content.items() if isinstance(value, Parameter)}
        return tensors, {name: _text(value) for name, value in content.items() if name not in tensors}
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    except UserError:
        raise
    except (ValueError, RuntimeError, TypeError) as error:
        raise UserError(f"{path} is corrupt, or is not a MindSpore checkpoint; use another copy of it") from error


def ckpt_arrays(tensors: dict[str, Parameter]) -> dict[str, np.ndarray]:
    """The tensors of ``read_ckpt`` as arrays; floating point, bfloat16 included, as float32."""
    return {name: _array(tensor) for name, tensor in tensors.items()}


def write_ckpt(path: Path, tensors: nn.Cell | dict[str, Parameter | Tensor], texts: dict[str, str]) -> None:
    """Writes tensors (of a network, or by name) and texts by name, with checksums, atomically.

    Raises:
        UserError: if the file cannot be written.
    """
    content = [{"name": n, "data": t} for n, t in tensors.items()] if isinstance(tensors, dict) else tensors
    with replacing(path) as temporary:
        ms.save_checkpoint(content, str(temporary), append_dict=dict(texts), crc_check=True)


def _load(path: Path) -> dict[str, Parameter | str]:
    if path.suffix == _ENDING:
        return ms.load_checkpoint(str(path), crc_check=True)
    # MindSpore refuses a checkpoint whose name does not end in .ckpt.
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / f"link{_ENDING}"
        link.symlink_to(path.resolve())
        return ms.load_checkpoint(str(link), crc_check=True)


def _text(value: Any) -> str:
    """A text of a checkpoint. MindSpore's may hold numbers that are no characters, on which string methods fail.

    Raises:
        ValueError: if it is not valid Unicode.
    """
    return str(value).encode().decode()


def _array(tensor: Parameter) -> np.ndarray:
    if tensor.dtype == ms.bfloat16:
        return tensor.astype(ms.float32).asnumpy()
    return as_float32(tensor.asnumpy())

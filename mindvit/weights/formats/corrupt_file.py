"""Turns the exceptions of readers into error messages that name the file."""

import lzma
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from mindvit.errors import UserError

# Everything that readers raise on corrupt content: zipfile, NumPy and safetensors each raise other exceptions.
_READER_ERRORS = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
    SafetensorError,
    lzma.LZMAError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


@contextmanager
def reraise_corrupt_file(path: Path) -> Iterator[None]:
    """Raises exceptions of a reader again as a ``UserError`` that names the file; a ``UserError`` stays as it is.

    Raises:
        UserError: if the file cannot be read, is corrupt, or does not fit into memory.
    """
    try:
        yield
    except UserError:
        raise
    except MemoryError as error:
        raise UserError(f"there is not enough memory for {path}") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    except _READER_ERRORS as error:
        raise UserError(f"{path} is corrupt or incomplete; download it again") from error


def check_size(path: Path, num_bytes: int) -> None:
    """Checks the declared size of a file's content, before memory is allocated for it.

    Compression hardly reduces the size of weights. The limit is 20 times the size of the file, and at least 64 MiB.

    Args:
        path: the file.
        num_bytes: declared size of the uncompressed content, in bytes.

    Raises:
        UserError: if the size is above the limit.
    """
    size = path.stat().st_size
    if num_bytes > max(20 * size, 64 * 2**20):
        raise UserError(
            f"{path} has {size} bytes but declares tensors of {num_bytes} bytes, which is not plausible for weights; "
            "download it again, from a source that you trust"
        )

"""What is wrong with a file, in a sentence that names it."""

import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from mindvit.errors import UserError

# All that readers raise on bytes that do not fit together: zipfile, NumPy and safetensors have each their own set.
_DAMAGE = (
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
    zipfile.BadZipFile,
    zlib.error,
)


@contextmanager
def reraise_corrupt_file(path: Path) -> Iterator[None]:
    """Turns whatever a reader stumbles over into a ``UserError`` that names the file; a ``UserError`` stays as it is.

    Raises:
        UserError: if the file cannot be read, is damaged, or is larger than the memory.
    """
    try:
        yield
    except UserError:
        raise
    except MemoryError as error:
        raise UserError(f"there is not enough memory for {path}") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    except _DAMAGE as error:
        raise UserError(f"{path} is damaged, or not all of it has arrived; get it anew") from error


def check_size(path: Path, num_bytes: int) -> None:
    """Checks, before any of it is allocated, that what a file says it holds can be in it.

    Weights hardly shrink by compression; 20 times the file, or 64 MiB, is more than any file of weights needs.

    Args:
        path: the file.
        num_bytes: size of its unpacked content, in bytes.

    Raises:
        UserError: if it is out of all proportion to the file.
    """
    size = path.stat().st_size
    if num_bytes > max(20 * size, 64 * 2**20):
        raise UserError(
            f"{path} has {size} bytes and says that it holds tensors of {num_bytes}, which no file of weights does; "
            "get it anew, from a source that you trust"
        )

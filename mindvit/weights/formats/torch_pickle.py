"""Reads PyTorch's pickles: tensors and storages become descriptions of where their elements are in the file."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

from mindvit.weights.formats.pickle_machine import ForbiddenError, GlobalName, read_pickle


@dataclass(frozen=True)
class Storage:
    """A block of elements in the file."""

    dtype: str
    """PyTorch's name of the data type; uint8 for an untyped storage."""
    key: str | int
    """Key of the storage in the file."""
    numel: int
    """Number of elements."""
    start: int = 0
    """Index of the first element of a view; offsets of tensors count from there."""


@dataclass(frozen=True)
class TensorView:
    """A tensor as the file describes it. It may exceed its storage. Offset and strides are in elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str


def read_torch_pickle(file: BinaryIO) -> tuple[Any, dict[str | int, Storage]]:
    """Reads one pickle of ``torch.save``.

    It supports what ``torch.load(weights_only=True)`` supports, except quantized, sparse and nested tensors and
    subclasses of tensors; and also NumPy scalars.

    Returns:
        Dictionaries, lists and tuples of ``TensorView`` and plain data, with None for objects other than tensors,
        numbers and strings; and all storages by key.

    Raises:
        ForbiddenError: if the pickle requires anything else.
        ValueError, TypeError, LookupError, AttributeError: if it is corrupt.
    """
    storages: dict[str | int, Storage] = {}

    def load_persistent(persistent_id: tuple) -> Storage:
        storage = _storage(persistent_id)
        storages.setdefault(storage.key, storage)
        return storage

    return read_pickle(file, _ALLOWED, load_persistent), storages


def _storage(persistent_id: tuple) -> Storage:
    kind, name, key, _location, numel, *view = persistent_id
    if kind != "storage" or type(key) not in (str, int):
        raise ValueError("a persistent id that is not a storage")
    start = 0
    if view and view[0]:  # Files of the old format may have views of a storage.
        _key, start, _numel = view[0]
    return Storage(_STORAGES[name.text], key, _count(numel), _count(start))


def _count(number: Any) -> int:
    if type(number) is not int or number < 0:
        raise ValueError("not a count")
    return number


def _tensor(
    storage: Storage, offset: int, shape: tuple, strides: tuple, _grad: Any = None, _hooks: Any = None, bits: Any = None
) -> TensorView:
    return _tensor_of_dtype(storage, offset, shape, strides, None, None, GlobalName(f"torch {storage.dtype}"), bits)


def _tensor_of_dtype(
    storage: Storage,
    offset: int,
    shape: tuple,
    strides: tuple,
    _grad: Any,
    _hooks: Any,
    dtype: GlobalName,
    bits: Any = None,
) -> TensorView:
    if bits:
        raise ForbiddenError("a lazy negation or conjugation")
    if not (type(storage) is Storage and type(shape) is type(strides) is tuple):
        raise TypeError("not a tensor")
    shape, strides = tuple(map(_count, shape)), tuple(map(_count, strides))
    if len(shape) != len(strides):
        raise ValueError("strides and dimensions differ in number")
    return TensorView(storage, _count(offset), shape, strides, dtype.text.removeprefix("torch "))


def _parameter(tensor: TensorView, *_: Any) -> TensorView:
    return tensor


def _size(shape: tuple) -> tuple:
    return shape


def _ignored(*_: Any) -> None:
    return None


_STORAGES = {
    "torch BFloat16Storage": "bfloat16",
    "torch BoolStorage": "bool",
    "torch ByteStorage": "uint8",
    "torch CharStorage": "int8",
    "torch ComplexDoubleStorage": "complex128",
    "torch ComplexFloatStorage": "complex64",
    "torch DoubleStorage": "float64",
    "torch FloatStorage": "float32",
    "torch HalfStorage": "float16",
    "torch IntStorage": "int32",
    "torch LongStorage": "int64",
    "torch ShortStorage": "int16",
    "torch.storage UntypedStorage": "uint8",
}
_DTYPES = (
    "bfloat16 bool complex32 complex64 complex128 float16 float32 float64 float8_e4m3fn float8_e4m3fnuz float8_e5m2 "
    "float8_e5m2fnuz float8_e8m0fnu int8 int16 int32 int64 uint8 uint16 uint32 uint64"
)
_ALLOWED: dict[str, Callable | None] = {
    **dict.fromkeys(_STORAGES),
    **dict.fromkeys(f"torch {name}" for name in _DTYPES.split()),
    "collections OrderedDict": lambda: {},
    "torch Size": _size,
    "torch._utils _rebuild_parameter": _parameter,
    "torch._utils _rebuild_parameter_with_state": _parameter,
    "torch._utils _rebuild_tensor": _tensor,
    "torch._utils _rebuild_tensor_v2": _tensor,
    "torch._utils _rebuild_tensor_v3": _tensor_of_dtype,
    # Common in training checkpoints, and ignored: accuracies as NumPy scalars, milestones of a schedule, a device.
    "__builtin__ bytearray": _ignored,
    "__builtin__ complex": _ignored,
    "__builtin__ set": _ignored,
    "_codecs encode": _ignored,
    "builtins bytearray": _ignored,
    "builtins complex": _ignored,
    "builtins set": _ignored,
    "collections Counter": _ignored,
    "numpy dtype": _ignored,
    "numpy._core.multiarray scalar": _ignored,
    "numpy.core.multiarray scalar": _ignored,
    "torch device": _ignored,
    "torch.serialization _get_layout": _ignored,
}

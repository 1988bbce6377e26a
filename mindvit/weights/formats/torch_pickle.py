"""What PyTorch pickles: tensors and their storages, read as descriptions of where their numbers lie."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

from mindvit.weights.formats.pickle_machine import ForbiddenError, Name, read_pickle


@dataclass(frozen=True)
class Storage:
    """A run of numbers somewhere in the file."""

    dtype: str
    """PyTorch's name of the kind of number; uint8 where the storage has none."""
    key: str | int
    """What the file calls it."""
    numel: int
    """Numbers in it."""
    start: int = 0
    """Its first number that tensors see, and from which their offsets count."""


@dataclass(frozen=True)
class TensorView:
    """A tensor as a file describes it, which may reach beyond its storage. Offset and strides count numbers."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str


def read_torch_pickle(file: BinaryIO) -> tuple[Any, dict[str | int, Storage]]:
    """Reads one pickle of ``torch.save``.

    It knows what ``torch.load(weights_only=True)`` knows, but for quantized, sparse and nested tensors and subclasses,
    and NumPy's single numbers besides.

    Returns:
        Dictionaries, lists and tuples of ``TensorView`` and plain data, with None for what is neither a tensor nor a
        number nor a text; and all storages by key.

    Raises:
        ForbiddenError: if the pickle asks for anything else.
        ValueError, TypeError, LookupError, AttributeError: if it is damaged.
    """
    storages: dict[str | int, Storage] = {}

    def load_persistent(persistent_id: tuple) -> Storage:
        storage = _storage(persistent_id)
        storages.setdefault(storage.key, storage)
        return storage

    return read_pickle(file, _NAMES, load_persistent), storages


def _storage(persistent_id: tuple) -> Storage:
    kind, name, key, _location, numel, *view = persistent_id
    if kind != "storage" or type(key) not in (str, int):
        raise ValueError("a persistent id that is no storage's")
    start = 0
    if view and view[0]:  # Files of the older format may cut a storage into parts.
        _key, start, _numel = view[0]
    return Storage(_STORAGES[name.text], key, _count(numel), _count(start))


def _count(number: Any) -> int:
    if type(number) is not int or number < 0:
        raise ValueError("no count")
    return number


def _tensor(
    storage: Storage, offset: int, shape: tuple, strides: tuple, _grad: Any = None, _hooks: Any = None, bits: Any = None
) -> TensorView:
    return _tensor_of_kind(storage, offset, shape, strides, None, None, Name(f"torch {storage.dtype}"), bits)


def _tensor_of_kind(
    storage: Storage, offset: int, shape: tuple, strides: tuple, _grad: Any, _hooks: Any, dtype: Name, bits: Any = None
) -> TensorView:
    if bits:
        raise ForbiddenError("a negation or conjugation that its numbers have yet to undergo")
    if not (type(storage) is Storage and type(shape) is type(strides) is tuple):
        raise TypeError("no tensor")
    shape, strides = tuple(map(_count, shape)), tuple(map(_count, strides))
    if len(shape) != len(strides):
        raise ValueError("as many strides as dimensions")
    return TensorView(storage, _count(offset), shape, strides, dtype.text.removeprefix("torch "))


def _parameter(tensor: TensorView, *_: Any) -> TensorView:
    return tensor


def _size(shape: tuple) -> tuple:
    return shape


def _nothing(*_: Any) -> None:
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
_NAMES: dict[str, Callable | None] = {
    **dict.fromkeys(_STORAGES),
    **dict.fromkeys(f"torch {name}" for name in _DTYPES.split()),
    "collections OrderedDict": lambda: {},
    "torch Size": _size,
    "torch._utils _rebuild_parameter": _parameter,
    "torch._utils _rebuild_parameter_with_state": _parameter,
    "torch._utils _rebuild_tensor": _tensor,
    "torch._utils _rebuild_tensor_v2": _tensor,
    "torch._utils _rebuild_tensor_v3": _tensor_of_kind,
    # Of no interest, but often there: the best accuracy as NumPy's number, milestones of a schedule, a device.
    "__builtin__ bytearray": _nothing,
    "__builtin__ complex": _nothing,
    "__builtin__ set": _nothing,
    "_codecs encode": _nothing,
    "builtins bytearray": _nothing,
    "builtins complex": _nothing,
    "builtins set": _nothing,
    "collections Counter": _nothing,
    "numpy dtype": _nothing,
    "numpy._core.multiarray scalar": _nothing,
    "numpy.core.multiarray scalar": _nothing,
    "torch device": _nothing,
    "torch.serialization _get_layout": _nothing,
}

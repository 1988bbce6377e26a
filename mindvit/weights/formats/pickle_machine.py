"""A restricted unpickler that makes plain data and calls only the functions that it is given.

A pickle is a program. Python's unpickler imports and calls what the program names, sets attributes of imported objects,
and allocates the sizes that the program states. This one imports nothing and sets no attributes, and its time and
memory are bounded by the length of the pickle.
"""

import pickletools
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO


class ForbiddenError(Exception):
    """A pickle requires something that is not allowed; the message completes "it requires"."""


@dataclass(frozen=True)
class GlobalName:
    """A class or function that a pickle names, such as ``"torch Size"``: module and name, separated by a space."""

    text: str


def read_pickle(file: BinaryIO, allowed: Mapping[str, Callable | None], load_persistent: Callable[[Any], Any]) -> Any:
    """Reads one pickle from the current position of a file.

    Dictionaries keep only entries with string keys. Sets become None.

    Args:
        file: a file whose ``read`` returns fewer bytes at the end of the file, such as ``BytesIO``.
        allowed: the names that a pickle may use, each with the function to call in its place, or None if it must not be
            called. A function must take time at most proportional to the length of its arguments; otherwise a short
            pickle could run without end.
        load_persistent: makes an object from a persistent id.

    Raises:
        ForbiddenError: if the pickle uses another name, or an operation that plain data does not need.
        ValueError, TypeError, LookupError, AttributeError: if the pickle is corrupt.
    """
    machine = _Machine(allowed, load_persistent)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about invalid escapes in strings
        for opcode, argument, _ in pickletools.genops(file):
            machine.step(opcode.name, argument)
    return machine.stack.pop()


_IGNORED = {"PROTO", "FRAME", "STOP"}
_CONSTANTS = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "BINUNICODE8", "SHORT_BINUNICODE"),
    *("BINBYTES", "BINBYTES8", "SHORT_BINBYTES", "BYTEARRAY8"),
}
_NEW_VALUES: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_SET": lambda: None,
}


class _Machine:
    """The stack since the last mark, the stacks below it, and the memo. Each method executes one kind of operation."""

    def __init__(self, allowed: Mapping[str, Callable | None], load_persistent: Callable[[Any], Any]) -> None:
        self._allowed = allowed
        self._load_persistent = load_persistent
        self.stack: list[Any] = []
        self._lower_stacks: list[list[Any]] = []
        self._memo: dict[int, Any] = {}

    def step(self, operation: str, argument: Any) -> None:
        if operation in _CONSTANTS:
            self.stack.append(argument)
        elif operation in _NEW_VALUES:
            self.stack.append(_NEW_VALUES[operation]())
        elif operation in _ACTIONS:
            _ACTIONS[operation](self, argument)
        elif operation not in _IGNORED:
            raise ForbiddenError(f"the pickle operation {operation}")

    def name(self, text: str) -> None:
        if text not in self._allowed:
            raise ForbiddenError(text.replace(" ", "."))
        self.stack.append(GlobalName(text))

    def name_from_stack(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if not (type(name) is str and type(module) is str):
            raise TypeError("a name must be a string")
        self.name(f"{module} {name}")

    def forbidden_name(self, text: str) -> None:
        raise ForbiddenError(text.replace(" ", "."))

    def call(self, _: Any) -> None:
        arguments, called = self.stack.pop(), self.stack.pop()
        function = self._allowed[called.text]
        if function is None:
            raise ForbiddenError(f"a call of {called.text.replace(' ', '.')}")
        self.stack.append(function(*arguments))

    def persistent(self, _: Any) -> None:
        self.stack.append(self._load_persistent(self.stack.pop()))

    def drop(self, _: Any) -> None:
        """Ignores BUILD, which sets the attributes of an object: the objects here have none."""
        self.stack.pop()

    def mark(self, _: Any) -> None:
        self._lower_stacks.append(self.stack)
        self.stack = []

    def since_mark(self, _: Any = None) -> list:
        items, self.stack = self.stack, self._lower_stacks.pop()
        return items

    def tuple_since_mark(self, _: Any) -> None:
        items = self.since_mark()
        self.stack.append(tuple(items))

    def tuple_of(self, count: int) -> None:
        self.stack.append(tuple([self.stack.pop() for _ in range(count)][::-1]))

    def list_since_mark(self, _: Any) -> None:
        items = self.since_mark()
        self.stack.append(items)

    def dict_since_mark(self, _: Any) -> None:
        items = self.since_mark()
        self.stack.append({})
        self._set(items)

    def set_since_mark(self, _: Any) -> None:
        self.since_mark()
        self.stack.append(None)

    def append(self, _: Any) -> None:
        item = self.stack.pop()
        self._extend([item])

    def extend(self, _: Any) -> None:
        self._extend(self.since_mark())

    def set_item(self, _: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set([key, value])

    def set_items(self, _: Any) -> None:
        self._set(self.since_mark())

    def memoize(self, _: Any) -> None:
        self._memo[len(self._memo)] = self.stack[-1]

    def put(self, index: int) -> None:
        self._memo[index] = self.stack[-1]

    def get(self, index: int) -> None:
        self.stack.append(self._memo[index])

    def _extend(self, items: list) -> None:
        if type(self.stack[-1]) is not list:
            raise TypeError("only a list can be appended to")
        self.stack[-1].extend(items)

    def _set(self, items: list) -> None:
        target = self.stack[-1]
        if target is None:  # an object that is ignored
            return
        if type(target) is not dict:
            raise TypeError("items can only be set in a dictionary")
        # Other keys do not name weights. Hashing a deeply nested tuple can overflow the C stack.
        target.update({key: value for key, value in zip(items[::2], items[1::2], strict=True) if type(key) is str})


_ACTIONS: dict[str, Callable[[_Machine, Any], Any]] = {
    "GLOBAL": _Machine.name,
    "STACK_GLOBAL": _Machine.name_from_stack,
    "INST": _Machine.forbidden_name,
    "REDUCE": _Machine.call,
    "BUILD": _Machine.drop,
    "BINPERSID": _Machine.persistent,
    "MARK": _Machine.mark,
    "TUPLE": _Machine.tuple_since_mark,
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    "LIST": _Machine.list_since_mark,
    "DICT": _Machine.dict_since_mark,
    "FROZENSET": _Machine.set_since_mark,
    "ADDITEMS": _Machine.since_mark,
    "APPEND": _Machine.append,
    "APPENDS": _Machine.extend,
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_items,
    "MEMOIZE": _Machine.memoize,
    "PUT": _Machine.put,
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "GET": _Machine.get,
    "BINGET": _Machine.get,
    "LONG_BINGET": _Machine.get,
}

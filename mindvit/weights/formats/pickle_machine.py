"""A pickle machine of our own, which can do nothing but make plain data and call the few functions it is given.

A pickle is a program. Python's own unpickler imports and calls what the program names, sets attributes of what it was
allowed to import, and allocates whatever sizes the program states. Here a name stays a name, no attribute is ever set,
and time and memory grow with the length of the pickle, whatever it says.
"""

import pickletools
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO


class ForbiddenError(Exception):
    """A pickle asks for something that is never done; the message completes "it asks for"."""


@dataclass(frozen=True)
class Name:
    """A class or function that a pickle names: its module and its name, with a blank between."""

    text: str


def read_pickle(file: BinaryIO, names: Mapping[str, Callable | None], load_persistent: Callable[[Any], Any]) -> Any:
    """Reads one pickle, from where the file stands to the pickle's end.

    Dictionaries keep the entries whose keys are strings; sets come back as None.

    Args:
        file: a file whose ``read`` returns what there is where it is asked for more, such as ``BytesIO``.
        names: what a pickle may name, each with what is called in its place, or None where it is only named.
            What is called must take no longer than its arguments are long, else a short pickle could take for ever.
        load_persistent: makes an object of a persistent id.

    Raises:
        ForbiddenError: if the pickle names anything else, or does what no pickle of plain data does.
        ValueError, TypeError, LookupError, AttributeError: if the pickle is damaged.
    """
    machine = _Machine(names, load_persistent)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd escapes in texts
        for opcode, argument, _ in pickletools.genops(file):
            machine.step(opcode.name, argument)
    return machine.stack.pop()


_IGNORED = {"PROTO", "FRAME", "STOP"}
_CONSTANTS = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "BINUNICODE8", "SHORT_BINUNICODE"),
    *("BINBYTES", "BINBYTES8", "SHORT_BINBYTES", "BYTEARRAY8"),
}
_FRESH: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_SET": lambda: None,
}


class _Machine:
    """The stack since the last mark, the stacks before it, and the memo. A method for each kind of operation."""

    def __init__(self, names: Mapping[str, Callable | None], load_persistent: Callable[[Any], Any]) -> None:
        self._names = names
        self._load_persistent = load_persistent
        self.stack: list[Any] = []
        self._before: list[list[Any]] = []
        self._memo: dict[int, Any] = {}

    def step(self, operation: str, argument: Any) -> None:
        if operation in _CONSTANTS:
            self.stack.append(argument)
        elif operation in _FRESH:
            self.stack.append(_FRESH[operation]())
        elif operation in _ACTIONS:
            _ACTIONS[operation](self, argument)
        elif operation not in _IGNORED:
            raise ForbiddenError(f"the pickle operation {operation}")

    def name(self, text: str) -> None:
        if text not in self._names:
            raise ForbiddenError(text.replace(" ", "."))
        self.stack.append(Name(text))

    def name_from_stack(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if not (type(name) is str and type(module) is str):
            raise TypeError("a name is a text")
        self.name(f"{module} {name}")

    def forbidden_name(self, text: str) -> None:
        raise ForbiddenError(text.replace(" ", "."))

    def call(self, _: Any) -> None:
        arguments, called = self.stack.pop(), self.stack.pop()
        function = self._names[called.text]
        if function is None:
            raise ForbiddenError(f"a call of {called.text.replace(' ', '.')}")
        self.stack.append(function(*arguments))

    def persistent(self, _: Any) -> None:
        self.stack.append(self._load_persistent(self.stack.pop()))

    def drop(self, _: Any) -> None:
        """BUILD sets the attributes of an object, and none of ours has any."""
        self.stack.pop()

    def mark(self, _: Any) -> None:
        self._before.append(self.stack)
        self.stack = []

    def since_mark(self, _: Any = None) -> list:
        items, self.stack = self.stack, self._before.pop()
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
        if target is None:  # stands for an object of no interest
            return
        if type(target) is not dict:
            raise TypeError("only a dictionary has items")
        # Other keys name no weights. To hash a tuple of tuples of tuples can overflow the C stack.
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

import io
import os
import pickle
import struct
import time

import numpy as np
import pytest

from mindvit.errors import UserError
from mindvit.weights.formats.pickle_machine import ForbiddenError
from mindvit.weights.formats.read_arrays import read_arrays
from mindvit.weights.formats.torch_pickle import Storage, TensorView, read_torch_pickle
from tests.weights.formats.pickles import (
    MAGIC,
    call,
    complete_pickle,
    entries,
    name,
    plain,
    storage,
    tensor,
    write_legacy,
    write_zip,
)

DATA = np.arange(6, dtype=np.float32).tobytes()


def read(operations):
    return read_torch_pickle(io.BytesIO(complete_pickle(operations)))[0]


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_plain_data_is_read(protocol):
    content = {
        "i": [1, -2, 300, 70_000, 2**40, -(2**80)],
        "f": 0.5,
        "s": "Katze 狗",
        "t": ((), (1,), (1, 2), (1, 2, 3), (1,) * 9),
    }
    content |= {"n": [None, True, False], "d": {"e": {}, "l": []}, "again": (content["i"], content["i"]), "empty": ""}
    content["cycle"] = content["d"]
    found, storages = read_torch_pickle(io.BytesIO(pickle.dumps(content, protocol)))
    assert found == content
    assert found["again"][0] is found["again"][1]
    assert found["cycle"] is found["d"]
    assert storages == {}


def test_entries_without_string_keys_are_skipped():
    assert read(plain({"a": {1: 2, (3,): 4, None: 5, "b": 6}})) == {"a": {"b": 6}}


def test_tensors_become_descriptions():
    operations = entries(
        a=tensor(),
        p=call("torch._utils _rebuild_parameter", tensor(storage("1", 1), 0, (), ()), plain(True), plain(None)),
        k=call(
            "torch._utils _rebuild_tensor_v3",
            storage("2", 8, "torch.storage UntypedStorage"),
            plain(1),
            plain((2,)),
            plain((1,)),
            plain(False),
            plain(None),
            name("torch uint16"),
        ),
    )
    found, storages = read_torch_pickle(io.BytesIO(complete_pickle(operations)))
    expected = [Storage("float32", "0", 6), Storage("float32", "1", 1), Storage("uint8", "2", 8)]
    assert list(storages.values()) == expected
    assert found == {
        "a": TensorView(expected[0], 0, (2, 3), (3, 1), "float32"),
        "p": TensorView(expected[1], 0, (), (), "float32"),
        "k": TensorView(expected[2], 1, (2,), (1,), "uint16"),
    }


def test_a_dictionary_with_attributes_is_read():
    """A state_dict() is an OrderedDict with an attribute _metadata."""
    ordered = call("collections OrderedDict") + b"(" + plain("a") + tensor() + b"u" + plain({"_metadata": {}}) + b"b"
    assert read(ordered).keys() == {"a"}


@pytest.mark.parametrize(
    "value",
    [
        call("numpy.core.multiarray scalar", call("numpy dtype", plain("f8")) + plain((3, "<")) + b"b", plain("x")),
        call("collections Counter", plain({"a": 1})),
        call("builtins set", plain([1])),
        call("__builtin__ set", plain([1])),
        call("torch device", plain("cpu")),
    ],
)
def test_other_common_objects_become_none(value):
    assert read(entries(a=plain(1), b=value, c=plain(2))) == {"a": 1, "b": None, "c": 2}


class Calls:
    """Pickles as a call of a function, as in an attack."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def attacks(made):
    command = f"touch {made}"
    text = plain(command)
    return {
        "posix.system": plain(Calls(os.system, command)),
        "os.system": call("os system", text),
        "__builtin__.eval": plain(Calls(eval, f"open({str(made)!r}, 'w')")),
        "builtins.exec": call("builtins exec", plain(f"open({str(made)!r}, 'w')")),
        "builtins.getattr": call("builtins getattr", name("torch Size"), plain("__class__")),
        "torch.load": call("torch load", plain(str(made))),
        "numpy.core.multiarray._reconstruct": plain(np.array([Calls(os.system, command)], object)),
        "torch._utils.os.system": call("torch._utils os.system", text),
        "torch._utils._rebuild_tensor_v2.__globals__": name("torch._utils _rebuild_tensor_v2.__globals__"),
        "collections.OrderedDict.fromkeys": call("collections OrderedDict.fromkeys", text),
        "torch.hub.load": plain("torch.hub") + plain("load") + b"\x93" + b"(" + text + b"tR",
        "subprocess.Popen": b"(" + text + b"isubprocess\nPopen\n",
        "argparse.Namespace": name("argparse Namespace") + b")\x81}b",
    }


ATTACKS = list(attacks(""))


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("place", ["zip", "legacy", "magic", "keys"])
def test_nothing_is_executed(tmp_path, attack, place):
    made, path = tmp_path / "made", tmp_path / "w.pth"
    evil = attacks(made)[attack]
    content = entries(a=tensor(), b=evil)
    if place == "zip":
        write_zip(path, content, {"0": DATA})
    elif place == "legacy":
        write_legacy(path, content, {"0": (6, DATA)})
    elif place == "magic":
        path.write_bytes(complete_pickle(evil) + complete_pickle(plain(1001)))
    else:
        parts = (plain(MAGIC), plain(1001), plain({"little_endian": True}), entries(a=tensor()), evil)
        path.write_bytes(b"".join(map(complete_pickle, parts)))
    with pytest.raises(UserError, match=f"has more than tensors: it requires {attack}, which is never executed"):
        read_arrays(path)
    assert not made.exists()


@pytest.mark.parametrize(
    "operations",
    [
        name("torch Size") + plain((1,)) + b"\x81",  # NEWOBJ
        name("torch FloatStorage") + plain((1,)) + b"R",
        name("torch float32") + b")R",
        b"\x82\x01",  # EXT1
        b"(" + name("torch Size") + plain(1) + b"o",  # OBJ
        tensor(bits=plain({"neg": True})),
    ],
)
def test_operations_that_tensors_do_not_need_are_refused(operations):
    with pytest.raises(ForbiddenError):
        read(operations)


@pytest.mark.parametrize(
    "state", [{"numel": 10**9, "text": "os system"}, (None, {"numel": 10**9, "text": "os system"})]
)
@pytest.mark.parametrize("target", [storage(), name("torch Size"), name("collections OrderedDict")])
def test_attributes_are_never_set(target, state):
    assert read(target + plain(state) + b"b") == read(target)


@pytest.mark.parametrize(
    "operations",
    [
        b"R",
        b"t",
        b"u",
        b"h\x05",
        plain(3) + plain("a") + plain("b") + b"s",
        plain((1, 2)) + plain(1) + b"a",
        b"}(" + plain("a") + b"u",
        plain(3) + b")R",
        plain(("storage", "torch FloatStorage", "0", "cpu", 6)) + b"Q",
        plain(("module", "x")) + b"Q",
        plain(3) + b"Q",
        storage(numel=-1),
        storage(numel=1.5),
        storage(numel="6"),
        storage(key=(1,)),
        storage(view=plain(("1", -1, 2))),
        tensor(plain(3)),
        tensor(offset=-1),
        tensor(shape=(2, -3)),
        tensor(shape=[2, 3]),
        tensor(shape=(2, True)),
        tensor(shape=(2,)),
        tensor(strides=(3, -1)),
        call("torch._utils _rebuild_tensor_v2", storage()),
        call("collections OrderedDict", plain([["a", 1]])),
    ],
)
def test_invalid_pickles_are_reported_as_corrupt(tmp_path, operations):
    write_zip(tmp_path / "w.pth", entries(a=tensor()) + operations, {"0": DATA})
    with pytest.raises(UserError, match=r"w\.pth is corrupt"):
        read_arrays(tmp_path / "w.pth")


@pytest.mark.parametrize(
    "operations",
    [
        b"r" + struct.pack("<I", 2**32 - 1),  # a memo of 32 GiB, if the memo is a list
        b"\x8e" + struct.pack("<Q", 2**40),  # BINBYTES8
        b"\x96" + struct.pack("<Q", 2**40),  # BYTEARRAY8
        b"\x8d" + struct.pack("<Q", 2**62),  # BINUNICODE8
        b"\x8b" + struct.pack("<i", 2**31 - 1),  # LONG4
        b"(" * 300_000,
    ],
)
def test_declared_sizes_are_not_allocated(operations):
    started = time.monotonic()
    with pytest.raises((ValueError, LookupError)):
        read(operations)
    assert time.monotonic() - started < 30


@pytest.mark.slow
def test_deep_nesting_is_handled(tmp_path):
    """Python's functions for hashing, comparing and printing nested tuples are recursive."""
    deep = b")" + b"\x85" * 200_000
    assert read(b"}" + deep + plain(1) + b"s") == {}
    write_zip(tmp_path / "w.pth", entries(a=tensor(), b=deep), {"0": DATA})
    assert list(read_arrays(tmp_path / "w.pth")) == ["a"]
    parts = (plain(MAGIC), plain(1001), plain({"little_endian": True}), entries(a=tensor()), b"](" + deep + b"e")
    for content, words in ((parts, "is corrupt"), ([deep], r"torch\.save did not write")):
        (tmp_path / "w.pth").write_bytes(b"".join(map(complete_pickle, content)))
        with pytest.raises(UserError, match=words):
            read_arrays(tmp_path / "w.pth")

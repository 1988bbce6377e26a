"""Builds pickles and PyTorch files by hand, also such that torch.save never writes."""

import pickle
import struct
import zipfile

MAGIC = 0x1950A86A20F9469CFC6C


def plain(value):
    """The operations that build a value of plain data."""
    return pickle.dumps(value, 2)[2:-1]


def name(text):
    """The operation that pushes a class or function, given as 'module name', on the stack."""
    return b"c" + text.replace(" ", "\n").encode() + b"\n"


def call(function, *arguments):
    return name(function) + b"(" + b"".join(arguments) + b"tR"


def storage(key="0", numel=6, kind="torch FloatStorage", view=b""):
    return b"(" + plain("storage") + name(kind) + plain(key) + plain("cpu") + plain(numel) + view + b"tQ"


def tensor(held=None, offset=0, shape=(2, 3), strides=(3, 1), bits=b""):
    numbers = plain(offset) + plain(shape) + plain(strides) + plain(False)
    return call("torch._utils _rebuild_tensor_v2", held or storage(), numbers, call("collections OrderedDict"), bits)


def entries(**values):
    """A dictionary of values, each given as operations."""
    return b"}(" + b"".join(plain(key) + value for key, value in values.items()) + b"u"


def complete_pickle(operations):
    """Adds header and end to the operations of a pickle."""
    return b"\x80\x02" + operations + b"."


def write_zip(path, operations, storages, byteorder=b"little", compression=zipfile.ZIP_STORED, prefix="archive/"):
    """Writes a file of the current format; storages are bytes by key."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr(f"{prefix}data.pkl", complete_pickle(operations))
        archive.writestr(f"{prefix}byteorder", byteorder)
        for key, data in storages.items():
            archive.writestr(f"{prefix}data/{key}", data)
    return path


def write_legacy(path, operations, storages, little_endian=True, magic=MAGIC, protocol=1001):
    """Writes a file of the format before 1.6; storages are (count, bytes) by key."""
    parts = [plain(magic), plain(protocol), plain({"little_endian": little_endian}), operations, plain(list(storages))]
    data = b"".join(map(complete_pickle, parts))
    for count, numbers in storages.values():
        data += struct.pack("<q", count) + numbers
    path.write_bytes(data)
    return path

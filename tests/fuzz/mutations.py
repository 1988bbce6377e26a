"""Random changes of JSON values, of bytes and of zip archives."""

import copy
import io
import json
import re
import struct
import zipfile

DEEP = json.loads("[" * 200 + "]" * 200)
VALUES = [
    *(None, True, False, 0, 1, -1, 7, 2**31, 2**53, 2**63, 10**100, 0.0, 0.5, -1.5, 1e300, float("nan"), float("inf")),
    *("", "x", "12", "\0", "\ud800", "\x1b[31m", "cls", "map", "learned2d", "x" * 10_000, "r26", "exact", "../x", "/x"),
    *([], [1], [1, 2], [224, 224], ["a", "b"], [None], [0.5, 0.5, 0.5], DEEP, {}, {"a": 1}, {"ids": ["a"]}),
]
_NUMBERS = (0, 1, 2, 3, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1)
_DIGITS = (b"0", b"-1", b"1", b"99999999999", b"4294967296", b"1e400", b"9" * 400)


def places(value, path=()):
    yield path
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(item, (*path, key))


def mutated_json(stored, random):
    """A copy of a JSON object with one to three changes: a value replaced, removed, renamed or moved."""
    stored = copy.deepcopy(stored)
    for _ in range(random.randint(1, 3)):
        paths = [path for path in places(stored) if path]
        if not paths:
            break
        path = random.choice(paths)
        inner = stored
        for key in path[:-1]:
            inner = inner[key]
        kind = random.choice(("replace", "replace", "replace", "remove", "rename", "move"))
        if kind == "replace":
            inner[path[-1]] = copy.deepcopy(random.choice(VALUES))
        elif kind == "move":
            inner[path[-1]] = copy.deepcopy(random.choice(list(stored.values())))
        else:
            value = inner.pop(path[-1])
            if kind == "rename" and isinstance(inner, dict):
                inner[random.choice(("depth", "format", "x\x1b", "model", ""))] = value
    return stored


def mutated_bytes(data, random):
    """A copy of bytes with one to four changes."""
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        data = _mutated_once(data, random)
    return data


def _mutated_once(data, random):
    if not data:
        return random.randbytes(random.randint(1, 40))
    # Headers are at the start and, in zip archives and checkpoints, at the end.
    span = random.choice((len(data), len(data), min(64, len(data)), min(512, len(data))))
    place = random.randrange(span) if random.random() < 0.7 else len(data) - 1 - random.randrange(span)
    kind = random.randrange(9)
    if kind == 0:
        return data[:place]
    if kind == 1:
        return data[:place] + bytes([data[place] ^ 1 << random.randrange(8)]) + data[place + 1 :]
    if kind == 2:
        return data[:place] + random.randbytes(4) + data[place + 4 :]
    if kind == 3:
        return data[:place] + data[place + random.randint(1, 20) :]
    if kind == 4:
        return data[:place] + random.randbytes(random.randint(1, 20)) + data[place:]
    if kind == 5:
        layout = random.choice(("<B", "<H", ">H", "<I", ">I", "<Q", ">Q"))
        number = random.choice(_NUMBERS) % 2 ** (8 * struct.calcsize(layout))
        return data[:place] + struct.pack(layout, number) + data[place + struct.calcsize(layout) :]
    if kind == 6:
        other, length = random.randrange(len(data)), random.randint(1, 200)
        return data[:place] + data[other : other + length] + data[place + (0 if random.random() < 0.5 else length) :]
    if kind == 7:
        numbers = list(re.finditer(rb"\d+", data[: 2**16]))
        if numbers:
            found = random.choice(numbers)
            return data[: found.start()] + random.choice(_DIGITS) + data[found.end() :]
    return data[:place] + bytes([random.choice((0, 0xFF, 0x7F, 0x80))]) + data[place + 1 :]


def mutated_zip(data, random):
    """An archive with intact checksums and one changed, removed, renamed or repeated member; links and folders too."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [
            (info.filename, archive.read(info), info.compress_type, info.external_attr) for info in archive.infolist()
        ]
    index = random.randrange(len(members))
    name, content, compression, attributes = members[index]
    kind = random.randrange(8)
    if kind < 3:
        members[index] = (name, mutated_bytes(content, random), compression, attributes)
    elif kind == 3:
        members.pop(index)
    elif kind == 4:
        members[index] = (_mutated_name(name, random), content, compression, attributes)
    elif kind == 5:
        members.append((_mutated_name(name, random), content, zipfile.ZIP_DEFLATED, attributes))
    elif kind == 6:
        mode = random.choice((0o120777, 0o010666, 0o020666, 0o040755, 0o140755, 0o104777))
        members[index] = (name, random.choice((b"/etc", b"..", content)), compression, mode << 16)
    else:
        members[index] = (name, bytes(random.choice((0, 10**5, 3 * 10**6))), zipfile.ZIP_DEFLATED, attributes)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content, compression, attributes in members:
            info = zipfile.ZipInfo(name)
            info.external_attr, info.compress_type = attributes, compression
            archive.writestr(info, content)
    return packed.getvalue()


def _mutated_name(name, random):
    parts = name.split("/")
    place = random.randrange(len(parts))
    parts[place] = random.choice(
        ("..", ".", "", "C:", "x" * 300, "a\x1b[2J", "a\\..\\..\\b", "\0x", "狗", *parts, *parts)
    )
    return random.choice(("/", "", "", "", "")) + "/".join(parts) or "x"

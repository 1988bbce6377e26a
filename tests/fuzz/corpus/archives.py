"""Zip archives with surprises."""

import io
import zipfile

from tests.fuzz.corpus.case import written


def _zip(*members):
    """Members are names, or (name, mode, content)."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for member in members:
            name, mode, content = member if isinstance(member, tuple) else (member, 0, b"an image")
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, content, zipfile.ZIP_DEFLATED)
    return written("x.zip", packed.getvalue())


_LINK, _FIFO = 0o120777, 0o010666
_ARCHIVES = {
    "empty archive": ("it has no files", _zip()),
    "only folders": ("it has no files", _zip(("a/", 0, b""))),
    "empty file": ("not an intact zip archive", written("x.zip", b"")),
    "member below a link": ("the link or device train", _zip(("train", _LINK, b"/etc"), "train/1.png")),
    "link out of the folder": ("the link or device x", _zip(("x", _LINK, b"../../x"))),
    "FIFO": ("the link or device x.jpg", _zip(("x.jpg", _FIFO, b""))),
    "member below a file": ("below a file", _zip("train", "train/1.png")),
    "parent folder": ("a file outside its folder", _zip("a/../../1.png")),
    "absolute path": ("a file outside its folder", _zip("/tmp/1.png")),
    "path of Windows": ("a file outside its folder", _zip("C:\\1.png")),
    "bomb": ("at most 2,000,000 are expected", _zip(("zeros", 0, bytes(3_000_000)))),
    "escape sequence": (r"outside its folder, \.\./\\x1b", _zip("../\x1b[2J")),
    "long name": ("cannot extract", _zip("x" * 300)),
}

TABLES = {
    "archives": _ARCHIVES,
}

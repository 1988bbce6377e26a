"""Zip archives from untrusted sources."""

import stat
import warnings
import zipfile

import pytest

from mindvit.download.archive import check_zip, extract_zip
from mindvit.errors import UserError


def write(path, *members, **options):
    """Writes an archive of (name, mode) or names."""
    with zipfile.ZipFile(path, "w", **options) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of a name that occurs twice.
        for member in members:
            name, mode = member if isinstance(member, tuple) else (member, 0)
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, "" if name.endswith("/") else "/etc" if stat.S_ISLNK(mode) else "image " * 100)
    return path


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([], "it has no files"),
        (["train/", "val/"], "it has no files"),
        (["train/a/1.png", "../1.png"], r"a file outside its folder, \.\./1\.png"),
        (["a/../../1.png"], "a file outside its folder"),
        (["a\\..\\..\\1.png"], "a file outside its folder"),
        (["/etc/1.png"], "a file outside its folder, /etc/1.png"),
        (["C:/1.png"], "a file outside its folder"),
        ([("train", stat.S_IFLNK | 0o777), "train/1.png"], "the link or device train"),
        ([("x.jpg", stat.S_IFIFO | 0o666)], r"the link or device x\.jpg"),
        (["train", "train/1.png"], r"train/1\.png below a file"),
        (["1.png", "1.png"], r"1\.png twice"),
        (["1.png", "./1.png"], r"1\.png twice"),
        (["a\x1b[2J/../../1.png"], r"outside its folder, a\\x1b\[2J"),
    ],
    ids=str,
)
def test_an_archive_with_surprises_is_refused(tmp_path, members, words):
    with pytest.raises(UserError, match=words):
        check_zip(write(tmp_path / "a.zip", *members), 10**6)


def test_an_archive_that_expands_too_far_is_refused(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros.jpg", bytes(10**6))
    assert path.stat().st_size < 2000
    with pytest.raises(UserError, match="1 files of 1,000,000 bytes together, and at most 999,999 are expected"):
        check_zip(path, 999_999)
    check_zip(path, 10**6)


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04" + bytes(100)])
def test_what_is_no_archive_is_refused(tmp_path, content):
    path = tmp_path / "a.zip"
    path.write_bytes(content)
    with pytest.raises(UserError, match="not an intact zip archive"):
        check_zip(path, 10**6)


def test_an_encrypted_archive_is_refused(tmp_path):
    path = write(tmp_path / "a.zip", "1.png")
    content = bytearray(path.read_bytes())
    for header, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(header) + flags] |= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"not an intact zip archive.*encrypted"):
        check_zip(path, 10**6)


def test_a_name_that_the_file_system_refuses_is_reported(tmp_path):
    path = write(tmp_path / "a.zip", "x" * 300 + ".png")
    check_zip(path, 10**6)
    with pytest.raises(UserError, match=r"cannot extract .*File name too long"):
        extract_zip(path, tmp_path / "out")

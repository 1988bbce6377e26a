import os

import pytest

from mindvit.files import FileError
from mindvit.user_cache import private_folder, user_cache_folder


def test_the_cache_is_where_the_system_keeps_caches(tmp_path, monkeypatch):
    assert user_cache_folder({"XDG_CACHE_HOME": "/caches"}).as_posix() == "/caches/mindvit"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_cache_folder({}) == tmp_path / ".cache/mindvit"
    assert user_cache_folder({"XDG_CACHE_HOME": ""}) == tmp_path / ".cache/mindvit"


def test_a_private_folder_is_for_its_owner_only(tmp_path):
    previous = os.umask(0)
    try:
        folder = private_folder(tmp_path / "mindvit/graphs")
    finally:
        os.umask(previous)
    assert [path.stat().st_mode & 0o777 for path in (folder, folder.parent)] == [0o700, 0o700]
    assert private_folder(folder) == folder


@pytest.mark.parametrize(("place", "mode"), [("a/b", 0o777), ("a/b", 0o770), ("a", 0o777)])
def test_a_folder_that_others_can_write_to_is_refused(tmp_path, place, mode):
    private_folder(tmp_path / "a/b")
    (tmp_path / place).chmod(mode)
    with pytest.raises(FileError, match=f"other users can write to {tmp_path / place}"):
        private_folder(tmp_path / "a/b")


@pytest.mark.parametrize("place", ["a/b", "a"])
def test_a_folder_of_another_user_is_refused(tmp_path, monkeypatch, place):
    private_folder(tmp_path / "a/b")
    if os.geteuid() == 0:
        os.chown(tmp_path / place, 65534, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 65534)
        place = "a/b"
    with pytest.raises(FileError, match=f"{tmp_path / place} belongs to another user"):
        private_folder(tmp_path / "a/b")


def test_a_link_is_refused(tmp_path):
    private_folder(tmp_path / "elsewhere")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileError, match="is not a folder"):
        private_folder(tmp_path / "link")


def test_a_folder_that_cannot_be_created_is_an_error_that_names_it(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match=r"cannot create the folder .*file/a"):
        private_folder(tmp_path / "file/a")

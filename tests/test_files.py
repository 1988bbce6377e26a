import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mindvit.errors import UserError
from mindvit.files import link, make_folder, remove_leftovers, replacing, write_text

ROOT = Path(__file__).parent.parent


def test_a_file_is_replaced_atomically(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with open(path) as reader:
        write_text(path, "new")
        assert reader.read() == "old", "an open reader keeps the old content"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_while_writing_keeps_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        temporary.with_suffix(".tmp").write_text("a temporary file of a library")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_a_user_error_and_keeps_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(UserError, match=r"cannot write .*a\.txt: No space left"), replacing(path):
        raise OSError(28, "No space left on device")
    assert path.read_text() == "old"


def test_an_unwritable_folder_is_a_user_error(tmp_path):
    (tmp_path / "file").touch()
    for attempt in (lambda: make_folder(tmp_path / "file/run"), lambda: write_text(tmp_path / "file/a.txt", "x")):
        with pytest.raises(UserError, match="cannot write"):
            attempt()


def test_written_files_have_the_default_permissions(tmp_path):
    write_text(tmp_path / "a.txt", "x")
    plain = tmp_path / "b.txt"
    plain.touch()
    assert (tmp_path / "a.txt").stat().st_mode == plain.stat().st_mode


def test_the_file_is_synced_before_the_rename_and_the_folder_after_it(tmp_path, monkeypatch):
    path, synced = tmp_path / "a.txt", []
    write_text(path, "old")

    def fsync(descriptor):
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        synced.append((kind, path.read_text()))

    monkeypatch.setattr(os, "fsync", fsync)
    write_text(path, "new")
    assert synced == [("file", "old"), ("folder", "new")]


def test_a_link_is_the_same_file(tmp_path):
    write_text(tmp_path / "target.ckpt", "content")
    write_text(tmp_path / "best.ckpt", "old")
    link(tmp_path / "best.ckpt", tmp_path / "target.ckpt")
    assert (tmp_path / "best.ckpt").samefile(tmp_path / "target.ckpt")
    (tmp_path / "target.ckpt").unlink()
    assert (tmp_path / "best.ckpt").read_text() == "content", "the link survives the removal of the target"


def refuse(*_):
    raise PermissionError(1, "Operation not permitted")


def test_without_hard_links_a_copy_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", refuse)
    write_text(tmp_path / "target.ckpt", "content")
    link(tmp_path / "best.ckpt", tmp_path / "target.ckpt")
    assert not (tmp_path / "best.ckpt").samefile(tmp_path / "target.ckpt")
    assert (tmp_path / "best.ckpt").read_text() == "content"


@pytest.mark.parametrize("has_links", [True, False])
def test_a_link_replaces_the_old_file_atomically(tmp_path, monkeypatch, has_links):
    if not has_links:
        monkeypatch.setattr(os, "link", refuse)
    write_text(tmp_path / "target.ckpt", "new")
    write_text(tmp_path / "best.ckpt", "old")
    with open(tmp_path / "best.ckpt") as reader:
        link(tmp_path / "best.ckpt", tmp_path / "target.ckpt")
        assert reader.read() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.ckpt", "target.ckpt"]


def test_a_link_to_a_missing_file_is_a_user_error_and_keeps_the_old_file(tmp_path):
    write_text(tmp_path / "best.ckpt", "old")
    with pytest.raises(UserError, match=r"cannot write .*best\.ckpt: No such file"):
        link(tmp_path / "best.ckpt", tmp_path / "target.ckpt")
    assert (tmp_path / "best.ckpt").read_text() == "old"


def test_only_the_temporary_files_of_a_killed_process_are_removed(tmp_path):
    write_text(tmp_path / "a.ckpt", "whole")
    (tmp_path / "notes").mkdir()
    code = "import os, sys; from mindvit.files import replacing\n"
    code += "with replacing(sys.argv[1]) as temporary: temporary.write_text('half'); os._exit(9)"
    assert subprocess.run([sys.executable, "-c", code, tmp_path / "b.ckpt"], cwd=ROOT).returncode == 9
    assert len(list(tmp_path.iterdir())) == 3
    remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.ckpt", "notes"]


def test_a_missing_folder_has_no_leftovers(tmp_path):
    remove_leftovers(tmp_path / "absent")
    assert list(tmp_path.iterdir()) == []

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mindvit.errors import UserError
from mindvit.files import delete, link, make_folder, os_error_message, remove_leftovers, replacing, write_text

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


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ESTALE, errno.EIO])
def test_a_file_system_that_turns_read_only_is_a_user_error_and_keeps_the_old_file(tmp_path, monkeypatch, number):
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def fail(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("tempfile.mkdtemp", fail)
    with pytest.raises(UserError, match=rf"cannot write .*a\.txt: {os.strerror(number)}"):
        write_text(path, "new")
    assert path.read_text() == "old"


def test_a_folder_that_was_deleted_does_not_come_back_with_a_part_of_its_files(tmp_path):
    for attempt in (
        lambda: write_text(tmp_path / "run/a.txt", "x"),
        lambda: make_folder(tmp_path / "run/checkpoints", parents=False),
    ):
        with pytest.raises(UserError, match=r"cannot write .*: its folder does not exist"):
            attempt()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "words"), [("x" * 5000, "File name too long"), ("a\0b", "cannot contain a NUL")])
def test_a_name_that_no_file_can_have_is_a_user_error_of_one_short_sentence(tmp_path, name, words):
    for attempt in (write_text, lambda path, _: make_folder(path), lambda path, _: delete(path / "a")):
        with pytest.raises(UserError, match=words) as raised:
            attempt(tmp_path / name, "x")
        assert len(str(raised.value)) < 400 and "\0" not in str(raised.value)


def test_a_file_or_a_link_without_target_is_no_folder(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("file", "link"):
        with pytest.raises(
            UserError, match=rf"cannot write into the folder .*{name}: a file or a broken link has this"
        ):
            make_folder(tmp_path / name)


def test_files_and_folders_are_deleted_and_missing_ones_are_no_error(tmp_path):
    write_text(make_folder(tmp_path / "folder/inner") / "a.txt", "x")
    write_text(tmp_path / "b.txt", "x")
    make_folder(tmp_path / "target")
    write_text(tmp_path / "target/c.txt", "x")
    (tmp_path / "link").symlink_to("target")
    (tmp_path / "broken").symlink_to("nowhere")
    for name in ("folder", "b.txt", "link", "broken", "absent"):
        delete(tmp_path / name)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["link", "target"]


def test_the_message_of_an_error_takes_the_path_from_the_error(tmp_path):
    error = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), b"a\x1b")
    assert os_error_message(error, "access") == "cannot access a\\x1b: No such file or directory"


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

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mindvit.errors import UserError
from mindvit.files import link, make_folder, remove_leftovers, replacing, write_text

ROOT = Path(__file__).parent.parent


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with open(path) as reader:
        write_text(path, "new")
        assert reader.read() == "old", "who is reading sees one content or the other"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_while_writing_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        temporary.with_suffix(".tmp").write_text("what a library keeps beside it")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_told_in_a_sentence_and_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(UserError, match=r"cannot write .*a\.txt: No space left"), replacing(path):
        raise OSError(28, "No space left on device")
    assert path.read_text() == "old"


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    for attempt in (lambda: make_folder(tmp_path / "file/run"), lambda: write_text(tmp_path / "file/a.txt", "x")):
        with pytest.raises(UserError, match="cannot write"):
            attempt()


def test_written_files_can_be_read_by_others(tmp_path):
    write_text(tmp_path / "a.txt", "x")
    plain = tmp_path / "b.txt"
    plain.touch()
    assert (tmp_path / "a.txt").stat().st_mode == plain.stat().st_mode


def test_the_file_is_on_the_disk_before_it_is_renamed_and_the_renaming_after(tmp_path, monkeypatch):
    path, synced = tmp_path / "a.txt", []
    write_text(path, "old")

    def fsync(descriptor):
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        synced.append((kind, path.read_text()))

    monkeypatch.setattr(os, "fsync", fsync)
    write_text(path, "new")
    assert synced == [("file", "old"), ("folder", "new")]


def test_a_link_is_the_same_file_under_another_name(tmp_path):
    write_text(tmp_path / "target.ckpt", "content")
    write_text(tmp_path / "best.ckpt", "old")
    link(tmp_path / "best.ckpt", tmp_path / "target.ckpt")
    assert (tmp_path / "best.ckpt").samefile(tmp_path / "target.ckpt")
    (tmp_path / "target.ckpt").unlink()
    assert (tmp_path / "best.ckpt").read_text() == "content", "it outlives the other name"


def refuse(*_):
    raise PermissionError(1, "Operation not permitted")


def test_where_the_file_system_has_no_links_a_copy_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", refuse)
    write_text(tmp_path / "target.ckpt", "content")
    link(tmp_path / "best.ckpt", tmp_path / "target.ckpt")
    assert not (tmp_path / "best.ckpt").samefile(tmp_path / "target.ckpt")
    assert (tmp_path / "best.ckpt").read_text() == "content"


@pytest.mark.parametrize("links", [True, False])
def test_a_link_takes_the_place_of_the_old_file_at_once(tmp_path, monkeypatch, links):
    if not links:
        monkeypatch.setattr(os, "link", refuse)
    write_text(tmp_path / "target.ckpt", "new")
    write_text(tmp_path / "best.ckpt", "old")
    with open(tmp_path / "best.ckpt") as reader:
        link(tmp_path / "best.ckpt", tmp_path / "target.ckpt")
        assert reader.read() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.ckpt", "target.ckpt"]


def test_a_link_to_nothing_is_told_in_a_sentence_and_leaves_the_old_file(tmp_path):
    write_text(tmp_path / "best.ckpt", "old")
    with pytest.raises(UserError, match=r"cannot write .*best\.ckpt: No such file"):
        link(tmp_path / "best.ckpt", tmp_path / "target.ckpt")
    assert (tmp_path / "best.ckpt").read_text() == "old"


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path):
    write_text(tmp_path / "a.ckpt", "whole")
    (tmp_path / "notes").mkdir()
    code = "import os, sys; from mindvit.files import replacing\n"
    code += "with replacing(sys.argv[1]) as temporary: temporary.write_text('half'); os._exit(9)"
    assert subprocess.run([sys.executable, "-c", code, tmp_path / "b.ckpt"], cwd=ROOT).returncode == 9
    assert len(list(tmp_path.iterdir())) == 3
    remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.ckpt", "notes"]


def test_a_folder_that_is_not_there_has_no_leftovers(tmp_path):
    remove_leftovers(tmp_path / "absent")
    assert list(tmp_path.iterdir()) == []

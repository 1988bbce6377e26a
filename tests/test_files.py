import pytest

from mindvit.errors import UserError
from mindvit.files import make_folder, replacing, write_text


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

import errno

import pytest

from mindvit.data import sources
from mindvit.data.sources import open_source
from mindvit.errors import UserError


def test_a_source_without_a_default_folder_needs_a_path():
    with pytest.raises(UserError, match=r"the source folder needs --data\.path"):
        open_source("folder", None)


def test_a_path_that_the_system_refuses_is_reported():
    for name in ("folder", "imagenet", "cifar10", "mindrecord", "digits"):
        with pytest.raises(UserError, match=r"cannot read the data at x{199}…: File name too long"):
            open_source(name, "x" * 5000)


def test_a_folder_that_links_to_itself_is_reported(make_folder):
    root = make_folder()
    (root / "train/loop").symlink_to(root / "train/loop")
    with pytest.raises(UserError, match=r"cannot read the data at .*loop: Too many levels of symbolic links"):
        open_source("folder", str(root))


def test_a_full_disk_is_not_taken_for_missing_data(monkeypatch, tmp_path):
    def fail(path):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(sources, "open_folder", fail)
    with pytest.raises(OSError, match="No space left"):
        open_source("folder", str(tmp_path))

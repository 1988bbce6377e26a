import pytest

from mindvit.errors import UserError
from mindvit.weights import locate
from mindvit.weights.locate import find_checkpoint


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ckpt").mkdir()
    return tmp_path


def test_a_path_has_priority_over_the_folder(folder):
    (folder / "a.ckpt").touch()
    (folder / "ckpt/a.ckpt").touch()
    assert str(find_checkpoint("a.ckpt")) == "a.ckpt"


def test_a_name_is_searched_in_the_folder(folder):
    (folder / "ckpt/a.ckpt").touch()
    assert str(find_checkpoint("a.ckpt")) == "ckpt/a.ckpt"


def test_a_missing_published_checkpoint_is_reported_with_the_way_to_download_it():
    with pytest.raises(UserError, match=r"330\.2 MiB.*--download true.*put it at ckpt/vit_b_16_224\.ckpt"):
        find_checkpoint("vit_b_16_224.ckpt")


def test_another_missing_checkpoint_is_reported():
    with pytest.raises(UserError, match=r"no checkpoint a\.ckpt or ckpt/a\.ckpt; train one"):
        find_checkpoint("a.ckpt")


def test_a_path_that_the_system_refuses_is_reported():
    with pytest.raises(UserError, match=r"cannot look for the checkpoint x{199}…: File name too long"):
        find_checkpoint("x" * 5000)


def test_a_folder_is_refused(folder):
    (folder / "run").mkdir()
    with pytest.raises(UserError, match="run is a folder"):
        find_checkpoint("run")


def test_a_published_checkpoint_is_downloaded_on_request(monkeypatch):
    downloaded = []
    monkeypatch.setattr(
        locate, "download_file", lambda published, path, check: downloaded.append((published.url, str(path)))
    )
    path = find_checkpoint("vit_b_16_224.ckpt", download=True)
    assert downloaded == [(locate.TUTORIAL_WEIGHTS.url, "ckpt/vit_b_16_224.ckpt")]
    assert str(path) == "ckpt/vit_b_16_224.ckpt"

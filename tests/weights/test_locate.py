import pytest

from mindvit.errors import UserError
from mindvit.weights import locate
from mindvit.weights.locate import find_checkpoint


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ckpt").mkdir()
    return tmp_path


def test_a_path_comes_before_the_folder(elsewhere):
    (elsewhere / "a.ckpt").touch()
    (elsewhere / "ckpt/a.ckpt").touch()
    assert str(find_checkpoint("a.ckpt")) == "a.ckpt"


def test_a_name_is_looked_for_in_the_folder(elsewhere):
    (elsewhere / "ckpt/a.ckpt").touch()
    assert str(find_checkpoint("a.ckpt")) == "ckpt/a.ckpt"


def test_a_published_checkpoint_that_is_nowhere_says_how_to_get_it():
    with pytest.raises(UserError, match=r"330\.2 MiB.*--download true.*put it at ckpt/vit_b_16_224\.ckpt"):
        find_checkpoint("vit_b_16_224.ckpt")


def test_another_that_is_nowhere_says_what_to_do():
    with pytest.raises(UserError, match=r"no checkpoint a\.ckpt, nor ckpt/a\.ckpt; train one"):
        find_checkpoint("a.ckpt")


def test_a_folder_is_no_checkpoint(elsewhere):
    (elsewhere / "run").mkdir()
    with pytest.raises(UserError, match="run is a folder"):
        find_checkpoint("run")


def test_a_published_checkpoint_is_fetched_when_asked_for(monkeypatch):
    fetched = []
    monkeypatch.setattr(
        locate, "download_file", lambda published, path, check: fetched.append((published.url, str(path)))
    )
    path = find_checkpoint("vit_b_16_224.ckpt", download=True)
    assert fetched == [(locate.TUTORIAL_WEIGHTS.url, "ckpt/vit_b_16_224.ckpt")]
    assert str(path) == "ckpt/vit_b_16_224.ckpt"

import numpy as np
import pytest
from sklearn.datasets import load_digits

from mindvit.data.digits import open_digits
from mindvit.data.images import read_image
from mindvit.errors import UserError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "digits"
    open_digits(path)
    return path


def test_the_split_is_stratified_and_has_every_digit_once(folder):
    source = open_digits(folder)
    assert (len(source.train), len(source.val)) == (1437, 360)
    counts = np.bincount(load_digits().target)
    np.testing.assert_allclose(np.bincount(source.val.labels), counts / 5, atol=1)
    files = {path.name for path in folder.rglob("*.png")}
    assert files == {f"{index:04d}.png" for index in range(1797)}


def test_an_image_shows_its_digit(folder):
    digits = load_digits()
    for path in sorted(folder.rglob("*.png"))[::300]:
        index = int(path.stem)
        assert path.parent.name == str(digits.target[index])
        expected = (digits.images[index] * 255 / 16).round()
        np.testing.assert_array_equal(np.asarray(read_image(path))[:, :, 0], expected)


def test_digits_are_not_flipped(folder):
    assert not open_digits(folder).train.flip


def test_an_incomplete_digits_folder_is_refused(folder, tmp_path):
    (tmp_path / "digits").mkdir()
    with pytest.raises(UserError, match="remove the folder and run again to recreate it"):
        open_digits(tmp_path / "digits")

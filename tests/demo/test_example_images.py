import numpy as np
import pytest
from PIL import Image

from mindvit.demo.example_images import find_examples
from mindvit.errors import UserError
from mindvit.models import ViTConfig
from mindvit.weights.metadata import CheckpointMetadata


def metadata(path):
    return CheckpointMetadata("vit_b_16_224", ViTConfig(), data_source="folder", data_path=str(path))


def test_examples_of_a_folder_are_evenly_spaced_and_can_be_read(tmp_path):
    for number in range(19):
        Image.new("RGB", (8, 8), (10 * number, 0, 0)).save(tmp_path / f"{number:02}.png")
    found = find_examples(str(tmp_path), metadata("nowhere"))
    assert [image.getpixel((0, 0))[0] // 10 for image in found] == list(range(0, 19, 2))
    (tmp_path / "00.png").write_bytes(b"broken")
    found = find_examples(str(tmp_path), metadata("nowhere"))
    assert [image.getpixel((0, 0))[0] // 10 for image in found] == [*range(2, 19, 2), 1]


def test_a_large_example_is_shrunk(tmp_path):
    Image.new("L", (5000, 100)).save(tmp_path / "wide.png")
    (image,) = find_examples(str(tmp_path), metadata("nowhere"))
    assert image.size == (2048, 41) and image.mode == "RGB"


@pytest.mark.parametrize("content", [None, b"broken"])
def test_a_folder_without_images_is_refused(tmp_path, content):
    if content:
        (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(UserError, match=str(tmp_path)):
        find_examples(str(tmp_path), metadata("nowhere"))


def test_examples_of_the_training_data_are_validation_images_of_all_classes(make_folder):
    root = make_folder(classes=tuple("abcdefghijklm"), counts=2)
    found = find_examples(None, metadata(root))
    assert len(found) == 10
    first = Image.open(root / "val/a/0.png")
    np.testing.assert_array_equal(np.asarray(found[0]), np.asarray(first))
    last = Image.open(root / "val/m/0.png")
    np.testing.assert_array_equal(np.asarray(found[-1]), np.asarray(last))


def test_without_the_training_data_there_are_no_examples(tmp_path):
    assert find_examples(None, metadata(tmp_path / "missing")) == []
    assert find_examples(None, CheckpointMetadata("vit_b_16_224", ViTConfig(), data_source="cifar10")) == []

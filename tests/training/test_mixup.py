import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

from mindvit.training.mixup import Mixup
from tests.training.builders import NO_MIX

pytestmark = pytest.mark.eager

CLASSES, SIZE = 5, 6


@pytest.fixture(scope="module")
def mixup():
    return Mixup(CLASSES)


def mixed(mixup, images, labels, mix):
    outputs = mixup(Tensor(images), Tensor(labels, ms.int32), Tensor(np.float32(mix)))
    assert [output.dtype for output in outputs] == [ms.float32, ms.float32]
    return [output.asnumpy() for output in outputs]


def batch(rng, size):
    return rng.standard_normal((size, 3, SIZE, SIZE + 1)).astype(np.float32), rng.integers(0, CLASSES, size)


def test_mixup_mixes_each_image_with_the_one_at_the_same_place_from_the_end(rng, mixup):
    images, labels = batch(rng, 4)
    pixels, targets = mixed(mixup, images, labels, [0.3, 0.3, 0, 0, 0, 0])
    for index in range(4):
        other = 3 - index
        np.testing.assert_allclose(pixels[index], 0.3 * images[index] + 0.7 * images[other], atol=1e-6)
        expected = np.zeros(CLASSES)
        expected[labels[index]] += 0.3
        expected[labels[other]] += 0.7
        np.testing.assert_allclose(targets[index], expected, atol=1e-6)


def test_cutmix_pastes_a_box_of_the_other_image(rng, mixup):
    images, labels = batch(rng, 4)
    top, bottom, left, right = 1, 4, 2, 7
    outside = 1 - 15 / 42
    pixels, targets = mixed(mixup, images, labels, [outside, 1, top, bottom, left, right])
    for index in range(4):
        expected = images[index].copy()
        expected[:, top:bottom, left:right] = images[3 - index][:, top:bottom, left:right]
        np.testing.assert_allclose(pixels[index], expected, atol=1e-6)
        assert targets[index].sum() == pytest.approx(1)
        if labels[index] != labels[3 - index]:
            assert targets[index][labels[index]] == pytest.approx(outside)
            assert targets[index][labels[3 - index]] == pytest.approx(1 - outside)
    assert len(set(labels)) > 2


def test_the_middle_image_of_an_odd_batch_does_not_change(rng, mixup):
    images, labels = batch(rng, 5)
    pixels, targets = mixed(mixup, images, labels, [0.25, 0.25, 0, 0, 0, 0])
    np.testing.assert_allclose(pixels[2], images[2], atol=1e-6)
    np.testing.assert_allclose(targets[2], np.eye(CLASSES)[labels[2]], atol=1e-6)
    np.testing.assert_allclose(pixels[1], 0.25 * images[1] + 0.75 * images[3], atol=1e-6)


def test_without_mixing_the_images_do_not_change_and_labels_become_one_hot(rng, mixup):
    images, labels = batch(rng, 4)
    pixels, targets = mixed(mixup, images, labels, NO_MIX)
    np.testing.assert_array_equal(pixels, images)
    np.testing.assert_array_equal(targets, np.eye(CLASSES)[labels])

"""Native kernels give the pixels of Pillow and the values of MindSpore, bit by bit."""

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from mindvit.data import native_pixels as module
from mindvit.data.augment.geometry import crop_and_resize, flip
from mindvit.data.augment.operations import apply_op
from mindvit.data.augment.policies import make_policy
from mindvit.data.native_pixels import NativePixels, normalization_table
from mindvit.data.pipeline import train_pipeline
from mindvit.data.sampling import SamplingPlan
from mindvit.data.settings import AugmentSettings
from mindvit.data.transforms import TrainTransform, to_input
from mindvit.errors import UserError
from mindvit.models import Preprocessing, ViTConfig
from tests.data.photos import photo
from tests.data.test_pipeline import noise_split

FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


@pytest.fixture
def native(native_kernels):
    found = module.native_pixels()
    if found is None:
        pytest.skip("this processor has no vectors of 256 bits")
    return found


@pytest.mark.parametrize("name", FILTERS)
def test_crops_are_resized_to_the_pixels_of_pillow(native, rng, name):
    """Of all sizes, enlarged and reduced, by even and odd numbers of weights, down to a single pixel."""
    count = 0
    for case in range(400):
        width, height = rng.integers(1, 160, 2).tolist()
        shape = tuple(rng.integers(1, 120, 2).tolist())
        image = Image.fromarray(rng.integers(0, 256, (height, width, 3)).astype(np.uint8))
        left, top = int(rng.integers(width)), int(rng.integers(height))
        box = (left, top, int(rng.integers(left, width)) + 1, int(rng.integers(top, height)) + 1)
        found = native.resize(image, box, shape, FILTERS[name], bool(case % 2))
        expected = crop_and_resize(image, box, shape, FILTERS[name])
        if found is not None:
            np.testing.assert_array_equal(found[:, :, :3], np.asarray(flip(expected) if case % 2 else expected))
            count += 1
    assert count > 380


def test_what_pillow_alone_can_do_is_left_to_it(native):
    image = Image.new("RGB", (8, 900), "red")
    assert native.resize(image, (0, 0, 8, 900), (4, 4), Image.Resampling.NEAREST, False) is None
    assert native.resize(image, (0, 0, 8, 900), (4, 4), Image.Resampling.BILINEAR, False) is None, "112 times as tall"
    assert native.resize(image, (0, 0, 8, 800), (4, 4), Image.Resampling.BILINEAR, False) is not None
    mapped = Image.frombuffer("RGB", (8, 8), np.zeros((8, 8, 4), np.uint8), "raw", "RGBX", 0, 1)
    assert native.resize(mapped, (0, 0, 8, 8), (4, 4), Image.Resampling.BILINEAR, False) is None
    large = Image.new("RGB", (2100, 2100))  # Above 16 MB, which Pillow keeps in several pieces.
    assert native.resize(large, (0, 0, 50, 50), (4, 4), Image.Resampling.BILINEAR, False) is None


@pytest.mark.parametrize("name", FILTERS)
def test_affine_transforms_give_the_pixels_of_pillow(native, rng, name):
    """Of all sizes, down to a single pixel, with noise and with black and white: across, down, and both."""
    fill = (9, 99, 199)
    for case in range(240):
        width, height = rng.integers(1, 90, 2).tolist()
        values = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
        image = Image.fromarray(values if case % 2 else (values // 128 * 255).astype(np.uint8))
        a, b, c, d, e, f = rng.normal([1, 0, 0, 0, 1, 0], [0.4, 0.4, 9, 0.4, 0.4, 9]).tolist()
        for matrix in [
            (a, b, c, d, e, f),
            (1, b, 0, 0, 1, 0),
            (1, 0, 0, d, 1, 0),
            (1, 0, c, 0, 1, 0),
            (1, 0, 0, 0, 1, f),
        ]:
            found = native.transform(image, matrix, fill, FILTERS[name])
            expected = image.transform(image.size, Image.Transform.AFFINE, matrix, FILTERS[name], fillcolor=fill)
            np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))


def test_sharpening_gives_the_pixels_of_pillow(native, rng):
    for _ in range(100):
        width, height = rng.integers(1, 60, 2).tolist()
        image = Image.fromarray(rng.integers(0, 256, (height, width, 3)).astype(np.uint8))
        for factor in (-0.5, 0.0, 0.1, 0.97, 1.0, 1.9, *rng.uniform(0, 2, 3)):
            expected = np.asarray(ImageEnhance.Sharpness(image).enhance(factor))
            np.testing.assert_array_equal(np.asarray(native.sharpen(image, factor)), expected)


@pytest.mark.parametrize("name", ["Rotate", "ShearX", "ShearY", "TranslateX", "TranslateY", "Sharpness"])
@pytest.mark.parametrize("interpolation", ["nearest", *FILTERS])
def test_operations_give_the_same_pixels_with_and_without_native_kernels(native, rng, name, interpolation):
    filters = {"nearest": Image.Resampling.NEAREST, **FILTERS}
    image = photo(61, 47, 3)
    for amount in (0.0, 0.37, -0.2, 13.7, -30.0, 90.0, 135.0, -180.0, *rng.uniform(-30, 30, 20)):
        portable, fast = (
            apply_op(name, image, amount, (9, 99, 199), filters[interpolation], kernels) for kernels in (None, native)
        )
        np.testing.assert_array_equal(np.asarray(fast), np.asarray(portable))


@pytest.mark.parametrize(
    "policy", ["randaugment", "autoaugment", "autoaugment_cifar10", "trivialaugment", "three_augment"]
)
def test_policies_give_the_same_images_with_and_without_native_kernels(native, policy):
    settings = AugmentSettings(auto_augment=policy, randaugment_noise=0.5, randaugment_prob=1.0)
    resample = Image.Resampling.BICUBIC
    portable, fast = (make_policy(settings, (9, 99, 199), resample, kernels) for kernels in (None, native))
    for seed in range(60):
        image = photo(40, 33, seed)
        found, expected = (policy(image, np.random.default_rng(seed)) for policy in (fast, portable))
        np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))


def test_an_image_that_the_kernels_cannot_reach_is_left_to_pillow(native):
    mapped = Image.frombuffer("RGB", (8, 8), np.zeros((8, 8, 4), np.uint8), "raw", "RGBX", 0, 1)
    matrix = (1, 0.2, 0, 0, 1, 0)
    assert native.transform(mapped, matrix, (0, 0, 0), Image.Resampling.BILINEAR) is None
    assert native.transform(Image.new("RGB", (8, 8)), matrix, (0, 0, 0), Image.Resampling.NEAREST) is None
    assert native.sharpen(mapped, 1.5) is None
    assert native.sharpen(Image.new("RGB", (2100, 2100)), 1.5) is None, "above 16 MB Pillow keeps several pieces"


def test_normalized_values_are_those_of_mindspore(native, rng):
    preprocessing = Preprocessing((0.1, 0.45, 0.7), (0.2, 0.3, 0.25))
    pixels = rng.integers(0, 256, (31, 17, 3)).astype(np.uint8)
    expected = pixels
    for operation in to_input(preprocessing):
        expected = operation(expected)
    table = normalization_table(preprocessing)
    padded = np.concatenate([pixels, rng.integers(0, 256, (31, 17, 1)).astype(np.uint8)], axis=2)
    mapped = Image.frombuffer("RGB", (17, 31), padded, "raw", "RGBX", 0, 1)
    for image in (Image.fromarray(pixels), mapped, padded):
        found = np.empty((3, 31, 17), np.float32)
        native.normalize(image, table, found)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "settings",
    [{}, {"auto_augment": "randaugment"}, {"color_jitter": 0.4}, {"crop": "padded"}],
    ids=["plain", "policy", "jitter", "padded"],
)
@pytest.mark.parametrize("interpolation", ["nearest", *FILTERS])
def test_a_transform_gives_the_same_numbers_with_and_without_native_kernels(native, settings, interpolation):
    preprocessing, augment = Preprocessing(interpolation=interpolation), AugmentSettings(flip=True, **settings)
    portable, fast = (TrainTransform((33, 24), preprocessing, augment, kernels) for kernels in (None, native))
    for seed in range(20):
        image = photo(90, 70, seed)
        expected = portable(image, np.random.default_rng(seed))
        np.testing.assert_array_equal(fast(image, np.random.default_rng(seed)), expected)
        for operation in to_input(preprocessing):
            expected = operation(expected)
        for transform in (fast, portable):
            found = np.empty((3, 33, 24), np.float32)
            transform.normalized(image, found, np.random.default_rng(seed))
            np.testing.assert_array_equal(found, expected)


def test_batches_do_not_depend_on_native_kernels(native):
    augment = AugmentSettings(flip=True, auto_augment="trivialaugment", random_erasing=0.5, mixup=0.8)
    model = ViTConfig(image_size=8, patch_size=4, preprocessing=Preprocessing(interpolation="bicubic"))
    made = [
        list(
            train_pipeline(
                noise_split(12), model, augment, SamplingPlan(12, 4, 0), 2, native=kernels
            ).create_dict_iterator(num_epochs=1, output_numpy=True)
        )
        for kernels in (True, False)
    ]
    assert len(made[0]) == len(made[1]) == 3
    for batch, expected in zip(*made, strict=True):
        for name in expected:
            np.testing.assert_array_equal(batch[name], expected[name], err_msg=name)


@pytest.fixture
def undecided():
    """Has ``native_pixels`` decide again, before and after a test."""
    module.native_pixels.cache_clear()
    yield
    module.native_pixels.cache_clear()


def test_without_a_compiler_pillow_is_used(undecided, monkeypatch):
    def fail():
        raise UserError("there is no compiler")

    monkeypatch.setattr(module, "load_kernels", fail)
    assert module.native_pixels() is None


def test_a_pillow_that_resizes_otherwise_is_used_itself(native, undecided, monkeypatch):
    resize = Image.Image.resize
    monkeypatch.setattr(Image.Image, "resize", lambda *a, **k: resize(*a, **k).point(lambda value: value ^ 1))
    assert module.native_pixels() is None


def test_a_pillow_that_warps_otherwise_is_used_itself(native, undecided, monkeypatch):
    transform = Image.Image.transform
    monkeypatch.setattr(Image.Image, "transform", lambda *a, **k: transform(*a, **k).point(lambda value: value ^ 1))
    assert module.native_pixels() is None


def test_the_order_of_the_two_directions_is_that_of_the_installed_pillow(native, undecided, monkeypatch):
    """Pillow 13 resizes the height first where it shrinks much more than the width; earlier ones never do."""
    resize = Image.Image.resize

    def other(image, size, resample):
        width, height = image.size
        is_tall = height > size[1] and height - size[1] > 2 * (width - size[0])
        first = (size[0], height) if native.tall_first or not is_tall else (width, size[1])
        return resize(resize(image, first, resample), size, resample)

    monkeypatch.setattr(Image.Image, "resize", other)
    found = module.native_pixels()
    assert isinstance(found, NativePixels) and found.tall_first is not native.tall_first

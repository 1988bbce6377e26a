import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from mindvit.data.augment.geometry import random_resized_crop_box
from mindvit.data.settings import AugmentSettings
from mindvit.data.transforms import TrainTransform, _Cover, eval_transforms
from mindvit.models import Preprocessing

BICUBIC = Image.Resampling.BICUBIC
WHOLE = {"crop_scale": (1.0, 1.0), "crop_ratio": (4 / 3, 4 / 3), "flip": False}
"""Settings under which nothing of a 40 x 30 image is cut off or mirrored."""


@pytest.fixture
def image(rng):
    """40 x 30 pixels; smooth, so that no two augmentations of it are alike by chance."""
    return Image.fromarray(rng.integers(0, 256, (6, 8, 3)).astype(np.uint8)).resize((40, 30), BICUBIC)


def transform(interpolation="bicubic", mean=(0.5,) * 3, **settings):
    return TrainTransform((16, 16), Preprocessing(mean, (0.25,) * 3, interpolation), AugmentSettings(**settings))


def visit(function, image, seed=0):
    return function(image, np.random.default_rng(seed))


@pytest.mark.parametrize(
    ("interpolation", "resample"),
    [("nearest", Image.Resampling.NEAREST), ("bilinear", Image.Resampling.BILINEAR), ("bicubic", BICUBIC)],
)
def test_with_everything_off_a_image_is_resized_by_pillow(image, interpolation, resample):
    shown = visit(transform(interpolation, **WHOLE), image)
    assert shown.dtype == np.uint8 and shown.shape == (16, 16, 3)
    np.testing.assert_array_equal(shown, np.asarray(image.resize((16, 16), resample)))


@pytest.mark.parametrize("crop", ["random_resized", "padded"])
@pytest.mark.parametrize("shape", [(12, 20), (20, 12)])
def test_a_rectangle_has_its_height_and_width(image, shape, crop):
    settings = {**WHOLE, "crop": crop}
    function = TrainTransform(shape, Preprocessing(interpolation="bicubic"), AugmentSettings(**settings))
    shown = visit(function, image)
    assert shown.shape == (*shape, 3)
    if crop == "random_resized":
        np.testing.assert_array_equal(shown, np.asarray(image.resize(shape[::-1], BICUBIC)))


def evaluated(image, shape, interpolation="bicubic", crop_pct=1.0):
    """What evaluation makes of an image, as uint8 (height, width, 3)."""
    images = Preprocessing((0.0,) * 3, (1.0,) * 3, interpolation, crop_pct)
    value = np.asarray(image)
    for operation in eval_transforms(shape, images):
        value = operation(value)
    assert value.dtype == np.float32 and value.shape == (3, *shape)
    return np.rint(value.transpose(1, 2, 0) * 255).astype(np.uint8)


# Of an image of 40 x 30 (width x height): height and width asked for, crop_pct, the size it is resized to (width x
# height), and where the crop begins (left, top).
CROPS = [
    ((15, 10), 1.0, (20, 15), (5, 0)),  # Of the right height; 20 wide, of which the central 10 stay.
    ((10, 20), 1.0, (20, 15), (0, 2)),
    ((10, 20), 0.5, (40, 30), (10, 10)),
    ((24, 12), 0.8, (40, 30), (14, 3)),  # 30 x 15 is covered.
    ((30, 40), 1.0, (40, 30), (0, 0)),
    ((60, 20), 1.0, (80, 60), (30, 0)),  # Enlarged.
]


@pytest.mark.parametrize(("shape", "crop_pct", "size", "corner"), CROPS)
@pytest.mark.parametrize(
    ("interpolation", "resample"),
    [("nearest", Image.Resampling.NEAREST), ("bilinear", Image.Resampling.BILINEAR), ("bicubic", BICUBIC)],
)
def test_evaluation_covers_a_rectangle_and_crops_its_centre(
    image, shape, crop_pct, size, corner, interpolation, resample
):
    box = (*corner, corner[0] + shape[1], corner[1] + shape[0])
    expected = np.asarray(image.resize(size, resample).crop(box))
    np.testing.assert_array_equal(evaluated(image, shape, interpolation, crop_pct), expected)


@pytest.mark.parametrize("size", [(40, 30), (30, 40), (31, 97), (97, 31), (20, 20), (5, 3), (400, 7)])
@pytest.mark.parametrize("shape", [(16, 24), (24, 16), (7, 33)])
def test_a_rectangle_is_covered_at_the_images_own_proportions(size, shape):
    covered = _Cover(list(shape), BICUBIC)(np.zeros((size[1], size[0], 3), np.uint8)).shape[:2]
    assert covered[0] >= shape[0] and covered[1] >= shape[1]
    assert covered[0] == shape[0] or covered[1] == shape[1], "no larger than it must be"
    assert covered[1] / covered[0] == pytest.approx(size[0] / size[1], rel=0.5 / min(covered) + 1e-9)


@pytest.mark.parametrize("seed", range(12))
def test_a_image_is_cropped_then_mirrored_then_varied_then_jittered(image, seed):
    settings = {"crop_scale": (0.2, 0.9), "crop_ratio": (0.5, 2.0), "flip": True}
    shown = visit(transform(policy="three_augment", color_jitter=0.3, **settings), image, seed)

    rng = np.random.default_rng(seed)
    left, top, width, height = random_resized_crop_box(40, 30, (0.2, 0.9), (0.5, 2.0), rng)
    by_hand = image.crop((left, top, left + width, top + height)).resize((16, 16), BICUBIC)
    if rng.random() < 0.5:
        by_hand = ImageOps.mirror(by_hand)
    match rng.integers(3):
        case 0:
            by_hand = ImageOps.grayscale(by_hand).convert("RGB")
        case 1:
            by_hand = ImageOps.solarize(by_hand, 128)
        case 2:
            by_hand = by_hand.filter(ImageFilter.GaussianBlur(rng.uniform(0.1, 2.0)))
    factors = rng.uniform(0.7, 1.3, 3)
    for index in rng.permutation(3):
        enhance = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)[index]
        by_hand = enhance(by_hand).enhance(factors[index])
    np.testing.assert_array_equal(shown, np.asarray(by_hand))


def test_flip_mirrors_every_other_image(image):
    plain = np.asarray(image.resize((16, 16), BICUBIC))
    shown = [visit(transform(**{**WHOLE, "flip": True}), image, seed) for seed in range(100)]
    mirrored = np.array([np.array_equal(image, plain[:, ::-1]) for image in shown])
    assert 30 < mirrored.sum() < 70
    assert all(
        np.array_equal(image, plain) for image, is_mirrored in zip(shown, mirrored, strict=True) if not is_mirrored
    )


def test_the_padded_crop_shifts_the_resized_image_over_black(image):
    shown = [visit(transform(crop="padded", flip=False), image, seed) for seed in range(60)]
    padded = np.pad(np.asarray(image.resize((16, 16), BICUBIC)), ((2, 2), (2, 2), (0, 0)))
    windows = {padded[y : y + 16, x : x + 16].tobytes() for x in range(5) for y in range(5)}
    found = {image.tobytes() for image in shown}
    assert found <= windows and len(found) > 15


def test_the_policy_fills_with_the_mean_colour():
    white = Image.new("RGB", (40, 30), "white")
    function = transform("nearest", mean=(0.2, 0.4, 0.6), policy="trivialaugment", **WHOLE)
    corners = {tuple(visit(function, white, seed)[0, 0].tolist()) for seed in range(100)}
    assert (51, 102, 153) in corners, "outside of a rotated, sheared or shifted image"
    assert (0, 0, 0) in corners, "solarized white"


@pytest.mark.parametrize("settings", [{"policy": "randaugment"}, {"policy": "autoaugment"}, {"color_jitter": 0.3}])
def test_what_is_switched_on_changes_images(image, settings):
    plain = visit(transform(**WHOLE), image)
    shown = [visit(transform(**WHOLE, **settings), image, seed) for seed in range(20)]
    assert sum(not np.array_equal(image, plain) for image in shown) > 10


def test_a_image_is_its_generators(image):
    function = transform(flip=True, policy="randaugment", color_jitter=0.3)
    shown = [visit(function, image, seed).tobytes() for seed in range(20)]
    assert [visit(function, image, seed).tobytes() for seed in range(20)] == shown
    assert len(set(shown)) == 20


def test_the_image_itself_is_not_changed(image):
    before = image.tobytes()
    for crop in ("random_resized", "padded"):
        visit(transform(crop=crop, flip=True, policy="randaugment", color_jitter=0.3), image)
    assert image.tobytes() == before

import pickle

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from mindvit.data.augment import autoaugment
from mindvit.data.augment.policies import make_policy
from mindvit.data.settings import AugmentSettings

FILL = (124, 116, 104)
BILINEAR = Image.Resampling.BILINEAR
POLICIES = ["randaugment", "autoaugment", "autoaugment_cifar10", "trivialaugment", "three_augment"]
ENHANCED = ("Color", "Contrast", "Brightness", "Sharpness")


def policy(name, **settings):
    return make_policy(AugmentSettings(auto_augment=name, **settings), FILL, BILINEAR)


def collect(function, image, applied, count):
    """The operations for each of ``count`` generators, as lists of (name, amount)."""
    found = []
    for seed in range(count):
        applied.clear()
        function(image, np.random.default_rng(seed))
        found.append(list(applied))
    return found


def amounts(found, name):
    return np.array([amount for calls in found for other, amount in calls if other == name])


def assert_fractions(items, expected, atol):
    """Checks that each expected item has its fraction of all items, and that there are no other items."""
    assert set(items) == set(expected)
    for item, fraction in expected.items():
        assert abs(items.count(item) / len(items) - fraction) < atol, item


def test_none_creates_no_policy():
    assert policy("none") is None


@pytest.mark.parametrize("name", POLICIES)
def test_an_augmented_image_depends_only_on_its_generator(name, image):
    function = policy(name, randaugment_prob=1.0)

    def augmented(seed):
        return function(image, np.random.default_rng(seed)).tobytes()

    assert [augmented(seed) for seed in range(30)] == [augmented(seed) for seed in range(30)]
    assert len({augmented(seed) for seed in range(30)}) > (2 if name == "three_augment" else 10)


@pytest.mark.parametrize("name", POLICIES)
def test_the_input_image_is_not_modified_and_the_size_is_kept(name, image, values):
    function = policy(name, randaugment_prob=1.0)
    for seed in range(40):
        result = function(image, np.random.default_rng(seed))
        assert (result.mode, result.size) == ("RGB", image.size)
    np.testing.assert_array_equal(np.asarray(image), values)


@pytest.mark.parametrize("name", POLICIES)
def test_policies_can_be_pickled(name, image):
    function = policy(name, randaugment_prob=1.0)
    sent = pickle.loads(pickle.dumps(function))
    assert sent(image, np.random.default_rng(5)).tobytes() == function(image, np.random.default_rng(5)).tobytes()


RANDAUGMENT = ["AutoContrast", "Equalize", "Invert", "Rotate", "Posterize", "Solarize", "SolarizeAdd", *ENHANCED]
RANDAUGMENT += ["ShearX", "ShearY", "TranslateX", "TranslateY"]


def apply_expected(name, m, sign, image):
    """timm's "increasing" operations at magnitude m of 10, as calls of Pillow."""
    width, height = image.size
    if name in ENHANCED:
        return getattr(ImageEnhance, name)(image).enhance(1 + sign * 0.09 * m)
    shift = {
        "ShearX": (1, sign * 0.03 * m, 0, 0, 1, 0),
        "ShearY": (1, 0, 0, sign * 0.03 * m, 1, 0),
        "TranslateX": (1, 0, -sign * 0.045 * m * width, 0, 1, 0),
        "TranslateY": (1, 0, 0, 0, 1, -sign * 0.045 * m * height),
    }
    if name in shift:
        return image.transform(image.size, Image.Transform.AFFINE, shift[name], BILINEAR, fillcolor=FILL)
    values = np.asarray(image)
    return {
        "AutoContrast": lambda: ImageOps.autocontrast(image),
        "Equalize": lambda: ImageOps.equalize(image),
        "Invert": lambda: ImageOps.invert(image),
        "Rotate": lambda: image.rotate(sign * 3 * m, BILINEAR, fillcolor=FILL),
        "Posterize": lambda: ImageOps.posterize(image, 4 - int(0.4 * m)),
        "Solarize": lambda: ImageOps.solarize(image, 256 - int(25.6 * m)),
        "SolarizeAdd": lambda: Image.fromarray(
            np.where(values < 128, np.minimum(values.astype(int) + int(11 * m), 255), values).astype(np.uint8)
        ),
    }[name]()


def test_randaugment_applies_the_operations_that_its_generator_draws(image):
    function = policy("randaugment", randaugment_ops=3, randaugment_magnitude=6.0, randaugment_prob=0.7)
    seen = set()
    for seed in range(150):
        same_rng = np.random.default_rng(seed)
        expected = image
        for index in same_rng.integers(15, size=3):
            if same_rng.random() < 0.7:
                name = RANDAUGMENT[index]
                signed = name in ENHANCED or name.startswith(("Rotate", "Shear", "Translate"))
                sign = -1 if signed and same_rng.random() < 0.5 else 1
                expected = apply_expected(name, 6.0, sign, expected)
                seen.add((name, sign))
        result = np.asarray(function(image, np.random.default_rng(seed)))
        # Products such as 0.045 x 6 x 40 may differ in their last bit, and so change a rounded value.
        differs = np.abs(result.astype(int) - np.asarray(expected)) > 1
        assert differs.mean() < 0.001, seed
    assert len(seen) == 6 + 2 * 9


@pytest.mark.parametrize(
    ("magnitude", "bits", "threshold", "added"),
    [(0.0, 4, 256, 0), (5.0, 2, 128, 55), (9.0, 1, 26, 99), (10.0, 0, 0, 110)],
)
def test_magnitudes_of_randaugment(image, applied, magnitude, bits, threshold, added):
    function = policy("randaugment", randaugment_ops=4, randaugment_magnitude=magnitude, randaugment_prob=1.0)
    found = collect(function, image, applied, 150)
    for name, expected in (("Posterize", bits), ("Solarize", threshold), ("SolarizeAdd", added)):
        assert set(amounts(found, name)) == {expected}
    tenth = magnitude / 10
    greatest = {"Rotate": 30, "ShearX": 0.3, "ShearY": 0.3, "TranslateX": 18, "TranslateY": 13.5}  # 0.45 x (40, 30)
    for name, most in (greatest | dict.fromkeys(ENHANCED, 0.9)).items():
        drawn = amounts(found, name)
        np.testing.assert_allclose(np.abs(drawn), most * tenth, rtol=1e-9)
        assert magnitude == 0 or 0.2 < (drawn > 0).mean() < 0.8


def test_operations_of_randaugment_are_equally_likely(image, applied):
    found = collect(policy("randaugment", randaugment_prob=1.0), image, applied, 2000)
    assert {len(calls) for calls in found} == {2}
    assert_fractions([name for calls in found for name, _ in calls], dict.fromkeys(RANDAUGMENT, 1 / 15), 0.015)
    assert any(calls[0][0] == calls[1][0] for calls in found)


def test_each_operation_of_randaugment_is_applied_with_its_probability(image, applied):
    found = collect(policy("randaugment", randaugment_ops=3, randaugment_prob=0.5), image, applied, 2000)
    fractions = {0: 1 / 8, 1: 3 / 8, 2: 3 / 8, 3: 1 / 8}
    assert_fractions([len(calls) for calls in found], fractions, 0.04)
    assert not any(collect(policy("randaugment", randaugment_prob=0.0), image, applied, 50))


def test_noise_changes_the_magnitudes_within_the_range(image, applied):
    settings = {"randaugment_ops": 5, "randaugment_prob": 1.0}
    steady = collect(policy("randaugment", randaugment_magnitude=5.0, **settings), image, applied, 600)
    assert set(np.abs(amounts(steady, "Rotate"))) == {15.0}
    noisy = collect(
        policy("randaugment", randaugment_magnitude=5.0, randaugment_noise=0.5, **settings), image, applied, 1000
    )
    drawn = np.abs(amounts(noisy, "Rotate")) / 3
    assert len(drawn) > 200
    assert abs(drawn.mean() - 5) < 0.15 and abs(drawn.std() - 0.5) < 0.1
    wild = collect(
        policy("randaugment", randaugment_magnitude=9.0, randaugment_noise=8.0, **settings), image, applied, 1000
    )
    drawn = np.abs(amounts(wild, "Rotate")) / 3
    assert drawn.min() == 0 and abs(drawn.max() - 10) < 1e-9


@pytest.mark.parametrize("table", [autoaugment.IMAGENET, autoaugment.CIFAR10])
def test_tables_have_25_pairs_of_published_operations(table):
    assert len(table) == 25
    for first, second in table:
        for name, prob, magnitude in (first, second):
            assert name in RANDAUGMENT
            assert round(10 * prob) / 10 == prob and 0 <= prob <= 1
            assert magnitude in range(10)


# For each policy: operations with the amounts of the published magnitudes, and the expected fraction of images with
# exactly these operations.
CHECKED = [
    # Color 0.6 4, Contrast 1.0 8 occurs twice: 2/25 x 0.6.
    ("autoaugment", (("Color", 0.4), ("Contrast", 0.8)), 2 / 25 * 0.6),
    # Posterize 0.6 7, Posterize 0.6 6: 8 - 28/9 and 8 - 24/9 bits, rounded.
    ("autoaugment", (("Posterize", 5), ("Posterize", 5)), 1 / 25 * 0.36),
    # Rotate 0.8 8, Color 1.0 2.
    ("autoaugment", (("Rotate", 80 / 3), ("Color", 0.2)), 1 / 25 * 0.8),
    # ShearX 0.6 5, Equalize 1.0 9.
    ("autoaugment", (("ShearX", 1 / 6), ("Equalize", 0)), 1 / 25 * 0.6),
    # Solarize 0.6 3, Equalize 0.6 7: pixels from 255 - 85 up.
    ("autoaugment", (("Solarize", 255 / 9 * 6), ("Equalize", 0)), 1 / 25 * 0.36),
    # TranslateY 0.9 9, TranslateY 0.7 9: 150/331 of 30 pixels.
    ("autoaugment_cifar10", (("TranslateY", 13), ("TranslateY", 13)), 1 / 25 * 0.63),
    ("autoaugment_cifar10", (("Rotate", 20 / 3), ("TranslateX", 18)), 1 / 25 * 0.21),
    ("autoaugment_cifar10", (("ShearY", 0.8 / 3), ("TranslateY", 13)), 1 / 25 * 0.35),
    ("autoaugment_cifar10", (("Sharpness", 0.1), ("Sharpness", 0.3)), 1 / 25 * 0.72),
    # Solarize 0.5 2, Invert 0.0 3: the second is never applied.
    ("autoaugment_cifar10", (("Solarize", 255 / 9 * 7),), 1 / 25 * 0.5),
]


@pytest.mark.parametrize(("name", "operations", "fraction"), CHECKED)
def test_sub_policies_are_applied_as_published(name, operations, fraction, image, applied):
    found = collect(policy(name), image, applied, 3000)
    matching = 0
    for calls in found:
        same = [other for other, _ in calls] == [other for other, _ in operations]
        matching += same and np.allclose([abs(amount) for _, amount in calls], [amount for _, amount in operations])
    assert abs(matching / 3000 - fraction) < 0.012
    assert matching > 10


def test_both_directions_of_autoaugment_are_equally_likely(image, applied):
    rotations = amounts(collect(policy("autoaugment"), image, applied, 3000), "Rotate")
    assert len(rotations) > 300 and abs((rotations > 0).mean() - 0.5) < 0.08


def test_trivialaugment_applies_one_of_14_operations_over_its_whole_range(image, applied):
    found = collect(policy("trivialaugment"), image, applied, 6000)
    assert {len(calls) for calls in found} == {1}
    plain = ["Identity", "AutoContrast", "Equalize"]
    greatest = {"Rotate": 135, "ShearX": 0.99, "ShearY": 0.99, "TranslateX": 32, "TranslateY": 32}
    greatest |= dict.fromkeys(ENHANCED, 0.99)
    names = [*plain, *greatest, "Posterize", "Solarize"]
    assert_fractions([calls[0][0] for calls in found], dict.fromkeys(names, 1 / 14), 0.015)
    for name, most in greatest.items():
        drawn = amounts(found, name)
        assert (drawn.min(), drawn.max(), np.abs(drawn).min()) == (-most, most, 0)
        assert abs(np.abs(drawn).mean() - most / 2) < 0.07 * most
    rotations = np.unique(np.abs(amounts(found, "Rotate")))
    np.testing.assert_allclose(rotations, np.arange(31) * 4.5)
    assert set(amounts(found, "Posterize")) == {2, 3, 4, 5, 6, 7, 8}
    np.testing.assert_allclose(np.unique(amounts(found, "Solarize")), np.arange(31) * 8.5, atol=1e-9)


def test_three_augment_applies_grayscale_solarize_or_blur(rng):
    values = rng.integers(0, 256, (16, 16, 3)).astype(np.uint8)
    image = Image.fromarray(values)
    gray = np.asarray(image.convert("L"))[..., None].repeat(3, -1)
    np.testing.assert_allclose(gray[..., 0], values @ [0.299, 0.587, 0.114], atol=1)
    known = {gray.tobytes(): "gray", np.where(values < 128, values, 255 - values).tobytes(): "solarized"}
    function = policy("three_augment")
    results = [function(image, rng) for _ in range(1500)]
    kinds = [known.get(result.tobytes(), "blurred") for result in results]
    assert_fractions(kinds, {"gray": 1 / 3, "solarized": 1 / 3, "blurred": 1 / 3}, 0.05)
    # A wider blur reduces the contrast more. The drawn blurs range from almost none to sigma 2.
    spreads = [np.asarray(result).std() for result, kind in zip(results, kinds, strict=True) if kind == "blurred"]
    least, most = (np.asarray(image.filter(ImageFilter.GaussianBlur(sigma))).std() for sigma in (2.0, 0.1))
    assert least <= min(spreads) < 1.1 * least and 0.95 * most < max(spreads) <= most


@pytest.mark.parametrize("name", ["randaugment", "autoaugment", "autoaugment_cifar10", "trivialaugment"])
def test_pixels_from_outside_the_image_have_the_fill_color(name):
    white = Image.new("RGB", (40, 30), "white")
    function = policy(name, randaugment_ops=1, randaugment_prob=1.0)
    corners = {tuple(np.asarray(function(white, np.random.default_rng(seed)))[0, 0]) for seed in range(200)}
    assert FILL in corners

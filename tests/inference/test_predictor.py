import mindspore as ms
import numpy as np
import pytest
from PIL import Image

from mindvit.classes import Classes
from mindvit.errors import UserError
from mindvit.factory import TrainedModel, create_model, load_trained
from mindvit.inference import Predictor, classify, predict
from mindvit.weights.metadata import CheckpointMetadata
from tests.conftest import TINY
from tests.numpy_vit import softmax

pytestmark = pytest.mark.eager

CLASSES = ("ant", "bee", "cat", "dog")
ROUNDING = 5e-6
"""How far probabilities may lie apart that differ in the order of additions only."""


@pytest.fixture(scope="module")
def trained():
    """A network with random weights, compiled once for all tests."""
    network = create_model("vit_mini_4_32", num_classes=len(CLASSES), **TINY).set_train(False)
    values = np.random.default_rng(0).standard_normal(network.dense.weight.shape)
    network.dense.weight.set_data(ms.Tensor(values.astype(np.float32)))
    return TrainedModel(network, CheckpointMetadata("vit_mini_4_32", network.config, Classes.named(CLASSES)))


@pytest.mark.graph
def test_classes_are_ranked_by_the_softmax_of_the_logits(trained, rng):
    image = rng.integers(0, 256, (8, 8, 3)).astype(np.uint8)
    ranked = classify(image, trained, top_k=3)
    image = (image.astype(np.float32) / 255 - 0.5) / 0.5
    expected = softmax(trained.network(ms.Tensor(image.transpose(2, 0, 1)[None])).asnumpy()[0].astype(np.float64))
    order = np.argsort(-expected)[:3]
    assert [prediction.label for prediction in ranked] == order.tolist()
    np.testing.assert_allclose([prediction.probability for prediction in ranked], expected[order], rtol=1e-4)
    assert [prediction.name for prediction in ranked] == [("ant", "bee", "cat", "dog")[label] for label in order]


def test_at_most_all_classes_are_reported(trained):
    ranked = classify(np.zeros((20, 30, 3), np.uint8), trained, top_k=50)
    assert len(ranked) == 4
    assert sum(prediction.probability for prediction in ranked) == pytest.approx(1)


@pytest.fixture
def array(rng):
    """An RGB image."""
    return rng.integers(0, 256, (20, 30, 3)).astype(np.uint8)


@pytest.fixture
def png(array, tmp_path):
    """The same image as a lossless file."""
    Image.fromarray(array).save(tmp_path / "x.png")
    return tmp_path / "x.png"


@pytest.fixture
def pynative_mode():
    ms.set_context(mode=ms.PYNATIVE_MODE)
    yield
    ms.set_context(mode=ms.GRAPH_MODE)


def test_predict_takes_a_path_a_pil_image_and_an_array(trained, array, png):
    expected = [classify(array, trained, top_k=3)]
    assert len(expected[0]) == 3
    for image in (png, str(png), Image.fromarray(array), array):
        assert predict(image, trained, top_k=3) == expected


def test_predict_takes_several_images_in_order(trained, array, png):
    other = np.zeros((40, 10, 3), np.uint8)
    images = [png, other, Image.fromarray(array)]
    expected = [classify(array, trained), classify(other, trained), classify(array, trained)]
    assert expected[0] != expected[1]
    assert predict(images, trained) == expected
    assert predict(tuple(images), trained) == expected
    assert predict([], trained) == []


def test_predict_converts_pil_images_to_rgb(trained):
    gray = np.arange(0, 240, 10, np.uint8).reshape(4, 6)
    expected = [classify(np.repeat(gray[:, :, None], 3, axis=2), trained)]
    assert predict(Image.fromarray(gray), trained) == expected


def test_predict_takes_a_checkpoint_in_place_of_a_model(tiny_checkpoint, array, pynative_mode):
    path = tiny_checkpoint(classes=("ant", "bee", "cat", "dog"))
    expected = [classify(array, load_trained(str(path)))]
    for checkpoint in (path, str(path)):
        assert predict(array, checkpoint) == expected


def test_predict_sets_evaluation_mode(tiny_checkpoint, array):
    model = load_trained(str(tiny_checkpoint(dropout=0.9)))
    model.network.set_train(True)
    first, second = predict([array, array], model)
    assert first == second
    assert not model.network.training


def test_predict_returns_five_classes_by_default_and_at_most_all(trained, tiny_checkpoint, array, pynative_mode):
    six = load_trained(str(tiny_checkpoint("six.ckpt", classes=tuple("abcdef"))))
    assert len(predict(array, six)[0]) == 5
    assert len(predict(array, six, top_k=1)[0]) == 1
    assert len(predict(array, trained, top_k=50)[0]) == 4


@pytest.mark.parametrize("top_k", [0, -1])
def test_predict_refuses_a_top_k_below_1(trained, array, top_k):
    with pytest.raises(ValueError, match=f"top_k must be at least 1, not {top_k}"):
        predict(array, trained, top_k)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((3, 8, 8), np.uint8),
        np.zeros((2, 8, 8, 3), np.uint8),
        np.zeros((8, 8, 3), np.float32),
    ],
    ids=lambda array: f"{array.dtype} {array.shape}",
)
def test_predict_refuses_an_array_that_is_not_rgb(trained, wrong):
    for images in (wrong, [wrong]):
        with pytest.raises(UserError, match=r"an image array must be RGB, uint8 \(height, width, 3\), not "):
            predict(images, trained)


def test_predict_reports_a_missing_file(trained, tmp_path):
    with pytest.raises(UserError, match=r"nowhere\.png"):
        predict(tmp_path / "nowhere.png", trained)


def test_predict_works_in_pynative_mode(trained, array, png, pynative_mode):
    (found,) = predict(png, trained)
    assert ms.get_context("mode") == ms.PYNATIVE_MODE
    ms.set_context(mode=ms.GRAPH_MODE)
    expected = classify(array, trained)
    assert [prediction.name for prediction in found] == [prediction.name for prediction in expected]
    probabilities = [prediction.probability for prediction in expected]
    np.testing.assert_allclose([prediction.probability for prediction in found], probabilities, rtol=1e-4)


@pytest.fixture(scope="module")
def batches(trained):
    return Predictor(trained, batch_size=4)


def test_what_else_is_in_a_batch_changes_no_number(batches, rng):
    first, *others = rng.standard_normal((4, *batches.blank.shape[1:])).astype(np.float32)
    alone = batches.probabilities([first])
    assert alone.shape == (1, len(CLASSES))
    np.testing.assert_array_equal(batches.probabilities([first, *others])[:1], alone)
    np.testing.assert_array_equal(batches.probabilities([first, *others[::-1]])[:1], alone)


def test_the_place_and_the_size_of_a_batch_change_rounding_alone(batches, trained, rng):
    inputs = rng.standard_normal((4, *batches.blank.shape[1:])).astype(np.float32)
    together = batches.probabilities(inputs)
    np.testing.assert_allclose(batches.probabilities(inputs[::-1])[::-1], together, rtol=0, atol=ROUNDING)
    one = Predictor(trained)
    alone = np.concatenate([one.probabilities([x]) for x in inputs])
    np.testing.assert_allclose(alone, together, rtol=0, atol=ROUNDING)


def test_predict_in_batches_gives_the_same_classes(trained, rng):
    images = list(rng.integers(0, 256, (7, 20, 30, 3)).astype(np.uint8))
    for found, expected in zip(predict(images, trained, batch_size=4), predict(images, trained), strict=True):
        assert [entry.label for entry in found] == [entry.label for entry in expected]
        values = [[entry.probability for entry in entries] for entries in (found, expected)]
        np.testing.assert_allclose(*values, rtol=0, atol=ROUNDING)


def test_outputs_that_are_not_finite_are_an_error(batches):
    with pytest.raises(UserError, match="not finite; the weights of the checkpoint are broken"):
        batches.probabilities([np.full(batches.blank.shape[1:], np.nan, np.float32)])

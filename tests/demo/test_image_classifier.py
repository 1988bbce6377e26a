import threading

import numpy as np
import pytest
from PIL import Image

from mindvit.classes import Classes
from mindvit.data.transforms import eval_input
from mindvit.demo.image_classifier import ImageClassifier, display_names
from mindvit.errors import UserError
from mindvit.factory import load_trained
from mindvit.runtime import RuntimeSettings
from tests import numpy_vit


def test_classes_of_the_same_name_are_told_apart_by_their_ids():
    classes = Classes(("n01", "n02", "n03"), ("crane", "cat\x1b[2J", "crane"))
    assert display_names(classes, 3) == ["crane (n01)", "cat\\x1b[2J", "crane (n03)"]
    assert display_names(None, 2) == ["class 0", "class 1"]


@pytest.fixture
def classifier(tiny_checkpoint):
    made = ImageClassifier(str(tiny_checkpoint(classes=("cat", "dog", "猫"))), RuntimeSettings(), top_k=2)
    yield made
    made.close()


def reference(images, checkpoint):
    """Names and probabilities of the two most probable classes, by NumPy."""
    trained = load_trained(str(checkpoint))
    config, classes = trained.metadata.model, trained.metadata.classes
    weights = {item.name: item.asnumpy().astype(np.float64) for item in trained.network.get_parameters()}
    pixels = np.stack([eval_input(image, config.image_shape, config.preprocessing) for image in images])
    probabilities = numpy_vit.softmax(numpy_vit.vit_of(pixels.astype(np.float64), weights, config))
    return [{classes.names[label]: row[label] for label in np.argsort(-row)[:2]} for row in probabilities]


def test_requests_of_many_threads_get_right_answers_one_after_the_other(classifier, tmp_path, rng):
    images = [Image.fromarray(rng.integers(0, 256, (20, 30, 3)).astype(np.uint8)) for _ in range(4)]
    answers = [None] * 4

    def ask(index):
        answers[index] = classifier.classify(images[index])

    threads = [threading.Thread(target=ask, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for answer, expected in zip(answers, reference(images, tmp_path / "tiny.ckpt"), strict=True):
        assert list(answer.probabilities) == list(expected)
        np.testing.assert_allclose(list(answer.probabilities.values()), list(expected.values()), atol=1e-5)
        assert answer.seen.size == answer.attention.size == (448, 448)
    (tmp_path / "notes.txt").write_text("no image")
    with open(tmp_path / "notes.txt", "rb") as file, pytest.raises(UserError, match="the name is not an image"):
        classifier.classify_file(file, "the name")

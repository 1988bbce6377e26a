import cv2
import mindspore as ms
import numpy as np
import pytest
from PIL import Image

from mindvit.factory import load_trained
from mindvit.inference import classify
from tests.numpy_vit import softmax


@pytest.fixture
def trained(tiny_checkpoint):
    model = load_trained(str(tiny_checkpoint(classes=("ant", "bee", "cat", "dog"))))
    model.network.set_train(False)
    return model


def test_classes_are_ranked_by_the_softmax_of_the_logits(trained, rng):
    image = rng.integers(0, 256, (8, 8, 3)).astype(np.uint8)
    ranked = classify(image, trained, top_k=3)
    image = (image.astype(np.float32) / 255 - 0.5) / 0.5
    expected = softmax(trained.network(ms.Tensor(image.transpose(2, 0, 1)[None])).asnumpy()[0].astype(np.float64))
    order = np.argsort(-expected)[:3]
    assert [prediction.label for prediction in ranked] == order.tolist()
    np.testing.assert_allclose([prediction.probability for prediction in ranked], expected[order], rtol=1e-4)
    assert [prediction.name for prediction in ranked] == [("ant", "bee", "cat", "dog")[label] for label in order]


def test_all_classes_are_named_where_fewer_than_asked_for(trained):
    ranked = classify(np.zeros((20, 30, 3), np.uint8), trained, top_k=50)
    assert len(ranked) == 4
    assert sum(prediction.probability for prediction in ranked) == pytest.approx(1)


def test_the_program_writes_the_labelled_image_and_prints_json(tiny_checkpoint, tmp_path, run_program):
    import json

    Image.new("RGB", (40, 30), "red").save(tmp_path / "x.png")
    ckpt, output = tiny_checkpoint(), tmp_path / "new/out.jpg"
    arguments = ["--ckpt", ckpt, "--image", tmp_path / "x.png", "--output", output]
    code, out, _ = run_program("infer.py", *arguments, "--json", "--top_k", 1)
    assert code == 0
    (prediction,) = json.loads(out)["predictions"]
    assert prediction["name"] in ("cat", "dog")
    assert 0.5 <= prediction["probability"] <= 1
    assert cv2.imread(str(output)).shape[1] >= 480

    code, out, _ = run_program("infer.py", *arguments)
    assert code == 0
    assert out.splitlines()[0] == f"1. {prediction['name']}  {100 * prediction['probability']:.2f} %"

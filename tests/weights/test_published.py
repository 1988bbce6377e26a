"""With the weights of other libraries, the network computes the logits that these libraries compute."""

import mindspore as ms
import numpy as np
import pytest

from mindvit import create_model
from tests.numpy_vit import vit as numpy_vit
from tests.weights.published import (
    CLASSES,
    FOLDER,
    HEADS,
    SIZES,
    PublishedFile,
    random_images,
    tutorial_weights,
    write_npz,
)

pytestmark = pytest.mark.eager

# Library, its model, our model name, and overrides beside SIZES.
MODELS = [
    ("timm", "vit", "vit_b_16_224", {}),
    ("timm", "reg4_gap", "vit_b_reg4_gap_16_256", {}),
    ("timm", "gap", "vit_b_16_224", {"pool": "mean"}),
    ("timm", "deit3", "deit3_b_16_224", {}),
    ("timm", "distilled", "deit_b_distilled_16_224", {}),
    ("timm", "siglip", "vit_b_siglip_16_224", {}),
    ("timm", "qk_norm", "vit_b_16_224", {"qk_norm": True}),
    ("huggingface", "vit", "vit_b_16_224", {}),
    ("huggingface", "deit", "deit_b_distilled_16_224", {}),
    ("torchvision", "vit", "vit_b_16_224", {}),
    ("torchvision", "pre_logits", "vit_b_16_224", {"pre_logits_dim": 16}),
    ("google", "original", "vit_b_16_224", {}),
    ("google", "big_vision", "vit_b_16_224", {}),
    ("google", "map", "vit_b_siglip_16_224", {}),
    ("mindcv", "vit", "vit_b_16_224", {}),
]


def logits_of(path, name, shape=(32, 32), **settings):
    network = create_model(name, checkpoint=str(path), **{**SIZES, "image_size": shape, **settings})
    return network.set_train(False)(ms.Tensor(random_images(*shape))).asnumpy()


def assert_close(logits, expected):
    assert logits.shape == (2, CLASSES)
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("library", "model", "name", "settings"), MODELS, ids=lambda value: str(value))
def test_logits_match_the_library(tmp_path, library, model, name, settings):
    published = PublishedFile(library)
    path = write_npz(tmp_path / "x.npz", published.weights(model))
    assert_close(logits_of(path, name, **settings), published[f"{model}/logits"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "shape"), [("vit", (48, 48)), ("vit", (32, 48)), ("vit", (16, 16)), ("deit3", (32, 48))]
)
def test_resized_position_embeddings_match_timm(tmp_path, model, shape):
    published = PublishedFile("timm")
    path = write_npz(tmp_path / "x.npz", published.weights(model))
    name = {"vit": "vit_b_16_224", "deit3": "deit3_b_16_224"}[model]
    grid = f"{shape[0] // 8}x{shape[1] // 8}"
    with pytest.warns(match=f"position embeddings are resized from 4x4 to {grid} patches"):
        logits = logits_of(path, name, shape)
    assert_close(logits, published[f"{model}/logits_{shape[0]}x{shape[1]}"])


@pytest.mark.slow
@pytest.mark.parametrize(("model", "name"), [("vit", "vit_b_16_224"), ("deit", "deit_b_distilled_16_224")])
def test_a_folder_saved_by_transformers(model, name):
    path = FOLDER / f"huggingface_{model}/model.safetensors"
    assert_close(logits_of(path, name), PublishedFile("huggingface")[f"{model}/logits"])


def test_deit3_in_the_names_of_its_authors_saved_by_pytorch():
    assert_close(logits_of(FOLDER / "deit3.pth", "deit3_b_16_224"), PublishedFile("timm")["deit3/logits"])


def test_logits_of_a_tutorial_checkpoint(tmp_path):
    weights = tutorial_weights(PublishedFile("mindcv").weights("vit"))
    parameters = [{"name": name, "data": ms.Tensor(values)} for name, values in weights.items()]
    ms.save_checkpoint(parameters, str(tmp_path / "x.ckpt"))
    wide = {name: values.astype(np.float64) for name, values in weights.items()}
    assert_close(
        logits_of(tmp_path / "x.ckpt", "vit_b_16_224"), numpy_vit(random_images().astype(np.float64), wide, HEADS)
    )

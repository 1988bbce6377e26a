"""What other libraries compute with their weights, our network computes with them too."""

import mindspore as ms
import numpy as np
import pytest

from mindvit import create_model
from tests.numpy_vit import vit as numpy_vit
from tests.weights.published import CLASSES, FOLDER, HEADS, SIZES, PublishedFile, images, tutorial_weights, write_npz

# Library, its model, ours, and what of ours is otherwise than the name and SIZES say.
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


def computed(path, name, shape=(32, 32), **settings):
    network = create_model(name, checkpoint=str(path), **{**SIZES, "image_size": shape, **settings})
    return network.set_train(False)(ms.Tensor(random_images(*shape))).asnumpy()


def same(logits, expected):
    assert logits.shape == (2, CLASSES)
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-5)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("library", "model", "name", "settings"), MODELS, ids=lambda value: str(value))
def test_the_logits_are_the_librarys(tmp_path, library, model, name, settings):
    published = PublishedFile(library)
    path = write_npz(tmp_path / "x.npz", published.weights(model))
    same(computed(path, name, **settings), published[f"{model}/logits"])


@pytest.mark.parametrize(
    ("model", "shape"), [("vit", (48, 48)), ("vit", (32, 48)), ("vit", (16, 16)), ("deit3", (32, 48))]
)
def test_at_another_image_size_the_positions_are_those_that_timm_resizes(tmp_path, model, shape):
    published = PublishedFile("timm")
    path = write_npz(tmp_path / "x.npz", published.weights(model))
    name = {"vit": "vit_b_16_224", "deit3": "deit3_b_16_224"}[model]
    grid = f"{shape[0] // 8}x{shape[1] // 8}"
    with pytest.warns(match=f"positions are resized from 4x4 patches to {grid}"):
        logits = computed(path, name, shape)
    same(logits, published[f"{model}/logits_{shape[0]}x{shape[1]}"])


@pytest.mark.parametrize(("model", "name"), [("vit", "vit_b_16_224"), ("deit", "deit_b_distilled_16_224")])
def test_a_folder_that_transformers_saved(model, name):
    path = FOLDER / f"huggingface_{model}/model.safetensors"
    same(computed(path, name), PublishedFile("huggingface")[f"{model}/logits"])


def test_deit3_as_its_authors_name_it_in_a_file_that_pytorch_saved():
    same(computed(FOLDER / "deit3.pth", "deit3_b_16_224"), PublishedFile("timm")["deit3/logits"])


def test_the_tutorials_checkpoint_computes_as_the_tutorial(tmp_path):
    weights = tutorial_weights(PublishedFile("mindcv").weights("vit"))
    parameters = [{"name": name, "data": ms.Tensor(values)} for name, values in weights.items()]
    ms.save_checkpoint(parameters, str(tmp_path / "x.ckpt"))
    wide = {name: values.astype(np.float64) for name, values in weights.items()}
    same(computed(tmp_path / "x.ckpt", "vit_b_16_224"), numpy_vit(random_images().astype(np.float64), wide, HEADS))

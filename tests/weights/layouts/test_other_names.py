"""Other names of the tensors whose logits tests/weights/test_published.py compares."""

import mindspore as ms
import numpy as np
import pytest

from mindvit.weights.read import read_weights
from tests.weights.published import (
    CLASSES,
    FOLDER,
    WIDTH,
    PublishedFile,
    assert_same_tensors,
    renamed,
    tutorial_weights,
    write_npz,
)


@pytest.fixture
def read(tmp_path):
    def read(weights):
        return read_weights(write_npz(tmp_path / "x.npz", weights)).tensors

    return read


def test_deit3_in_the_names_of_its_authors(read):
    assert_same_tensors(read_weights(FOLDER / "deit3.pth").tensors, read(PublishedFile("timm").weights("deit3")))


@pytest.mark.parametrize("model", ["vit", "deit"])
def test_names_in_files_and_modules_of_transformers(read, model):
    in_file = read_weights(FOLDER / f"huggingface_{model}/model.safetensors")
    in_memory = PublishedFile("huggingface").weights(model)
    assert any(".layers.1.attention.q_proj" in name for name in in_memory)
    assert_same_tensors(in_file.tensors, read(in_memory))


def test_names_of_torchvision_before_0_13(read):
    weights = PublishedFile("torchvision").weights("vit")
    old = renamed(weights, ("mlp.0.", "mlp.linear_1."), ("mlp.3.", "mlp.linear_2."))
    assert "encoder.layers.encoder_layer_1.mlp.linear_2.bias" in old
    assert_same_tensors(read(old), read(weights))


@pytest.mark.parametrize("prefix", ["", "opt/target/", "params/img/", "img/"])
def test_names_of_google_under_another_prefix(read, prefix):
    weights = PublishedFile("google").weights("map")
    other = {prefix + name.removeprefix("params/"): values for name, values in weights.items()}
    assert_same_tensors(read(other), read(weights))


def test_the_text_tower_of_googles_multimodal_models_is_skipped(read):
    weights = renamed(PublishedFile("google").weights("map"), ("params/", "params/img/"))
    both = weights | {"params/txt/head/kernel": np.ones((2, 2), np.float32), "params/t": np.ones(1, np.float32)}
    assert_same_tensors(read(both), read(weights))


def test_unstacked_blocks_of_google(read):
    weights = PublishedFile("google").weights("big_vision")
    separate = {}
    for name, values in weights.items():
        if "/encoderblock/" in name:
            separate |= {name.replace("encoderblock", f"encoderblock_{i}"): layer for i, layer in enumerate(values)}
        else:
            separate[name] = values
    assert len(separate) > len(weights)
    assert_same_tensors(read(separate), read(weights))


def test_mindcv_with_separate_projections(read):
    weights = PublishedFile("mindcv").weights("vit")
    separate = dict(weights)
    for name in [name for name in weights if ".qkv." in name]:
        parts = np.split(separate.pop(name), 3)
        separate |= {name.replace("qkv", letter): part for letter, part in zip("qkv", parts, strict=True)}
    assert_same_tensors(read(separate), read(weights))


@pytest.mark.parametrize("head", ["head.classifier", "head.dense"])
def test_mindcv_before_0_3(tmp_path, read, head):
    weights = tutorial_weights(PublishedFile("mindcv").weights("vit"))
    old = {f"backbone.{name}": values for name, values in weights.items()}
    old = renamed(old, ("backbone.dense.", f"{head}."), ("backbone.cls", "backbone.cls_token"))
    parameters = [{"name": name, "data": ms.Tensor(values)} for name, values in old.items()]
    ms.save_checkpoint(parameters, str(tmp_path / "old.ckpt"))
    assert_same_tensors(read_weights(tmp_path / "old.ckpt").tensors, weights)
    assert_same_tensors(weights, read(PublishedFile("mindcv").weights("vit")))


def test_deit_of_transformers_with_one_head(read):
    weights = PublishedFile("huggingface").weights("vit")
    other = renamed(weights, ("vit.", "deit."))
    token = np.full((1, 1, WIDTH), 2.0, np.float32)
    found = read(other | {"deit.embeddings.distillation_token": token})
    assert_same_tensors(found, read(weights) | {"distillation": token})
    assert found["dense.bias"].shape == (CLASSES,)

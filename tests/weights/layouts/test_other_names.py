"""Names that stand for the same tensors as those whose logits tests/weights/test_published.py compares."""

import mindspore as ms
import numpy as np
import pytest

from mindvit.weights.read import read_weights
from tests.weights.published import CLASSES, FOLDER, WIDTH, PublishedFile, renamed, tutorial_weights, write_npz


def same_tensors(found, expected):
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


@pytest.fixture
def read(tmp_path):
    def read(weights):
        return read_weights(write_npz(tmp_path / "x.npz", weights)).tensors

    return read


def test_deit3_as_its_authors_name_it(read):
    same_tensors(read_weights(FOLDER / "deit3.pth").tensors, read(PublishedFile("timm").weights("deit3")))


@pytest.mark.parametrize("model", ["vit", "deit"])
def test_transformers_file_and_its_modules(read, model):
    in_file = read_weights(FOLDER / f"huggingface_{model}/model.safetensors")
    in_memory = PublishedFile("huggingface").weights(model)
    assert any(".layers.1.attention.q_proj" in name for name in in_memory)
    same_tensors(in_file.tensors, read(in_memory))


def test_torchvisions_names_before_0_13(read):
    weights = PublishedFile("torchvision").weights("vit")
    old = renamed(weights, ("mlp.0.", "mlp.linear_1."), ("mlp.3.", "mlp.linear_2."))
    assert "encoder.layers.encoder_layer_1.mlp.linear_2.bias" in old
    same_tensors(read(old), read(weights))


@pytest.mark.parametrize("prefix", ["", "opt/target/", "params/img/", "img/"])
def test_googles_names_under_another_prefix(read, prefix):
    weights = PublishedFile("google").weights("map")
    other = {prefix + name.removeprefix("params/"): values for name, values in weights.items()}
    same_tensors(read(other), read(weights))


def test_the_tower_for_texts_of_googles_models_for_both_is_left_out(read):
    weights = renamed(PublishedFile("google").weights("map"), ("params/", "params/img/"))
    both = weights | {"params/txt/head/kernel": np.ones((2, 2), np.float32), "params/t": np.ones(1, np.float32)}
    same_tensors(read(both), read(weights))


def test_googles_stack_of_blocks_taken_apart(read):
    weights = PublishedFile("google").weights("big_vision")
    apart = {}
    for name, values in weights.items():
        if "/encoderblock/" in name:
            apart |= {name.replace("encoderblock", f"encoderblock_{i}"): layer for i, layer in enumerate(values)}
        else:
            apart[name] = values
    assert len(apart) > len(weights)
    same_tensors(read(apart), read(weights))


def test_mindcv_with_the_projections_apart(read):
    weights = PublishedFile("mindcv").weights("vit")
    apart = dict(weights)
    for name in [name for name in weights if ".qkv." in name]:
        parts = np.split(apart.pop(name), 3)
        apart |= {name.replace("qkv", letter): part for letter, part in zip("qkv", parts, strict=True)}
    same_tensors(read(apart), read(weights))


@pytest.mark.parametrize("head", ["head.classifier", "head.dense"])
def test_mindcv_before_0_3(tmp_path, read, head):
    weights = tutorial_weights(PublishedFile("mindcv").weights("vit"))
    old = {f"backbone.{name}": values for name, values in weights.items()}
    old = renamed(old, ("backbone.dense.", f"{head}."), ("backbone.cls", "backbone.cls_token"))
    parameters = [{"name": name, "data": ms.Tensor(values)} for name, values in old.items()]
    ms.save_checkpoint(parameters, str(tmp_path / "old.ckpt"))
    same_tensors(read_weights(tmp_path / "old.ckpt").tensors, weights)
    same_tensors(weights, read(PublishedFile("mindcv").weights("vit")))


def test_transformers_deit_whose_head_is_one(read):
    weights = PublishedFile("huggingface").weights("vit")
    other = renamed(weights, ("vit.", "deit."))
    token = np.full((1, 1, WIDTH), 2.0, np.float32)
    found = read(other | {"deit.embeddings.distillation_token": token})
    same_tensors(found, read(weights) | {"distillation": token})
    assert found["dense.bias"].shape == (CLASSES,)

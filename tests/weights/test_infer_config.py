import numpy as np
import pytest

from mindvit import create_model
from mindvit.models.variants import model_config, override
from mindvit.weights.infer_config import (
    comparable_config,
    differences,
    infer_config,
    matching_models,
    metadata_differences,
)
from mindvit.weights.read import read_weights
from tests.weights.published import PublishedFile, write_npz

SIZES = {"image_size": 8, "embed_dim": 12, "depth": 2, "num_heads": 2, "mlp_dim": 16}
PLAIN = {
    "embed_dim": 24,
    "depth": 2,
    "mlp_dim": 48,
    "patch_size": 8,
    "stem": None,
    "class_token": True,
    "distilled": False,
    "register_tokens": 0,
    "layer_scale": False,
    "qk_norm": False,
    "pool": False,
    "pre_logits_dim": None,
}


@pytest.mark.parametrize(
    ("library", "model", "special"),
    [
        ("timm", "vit", {}),
        ("timm", "reg4_gap", {"class_token": False, "register_tokens": 4}),
        ("timm", "deit3", {"layer_scale": True}),
        ("timm", "distilled", {"distilled": True}),
        ("timm", "siglip", {"class_token": False, "pool": True}),
        ("timm", "qk_norm", {"qk_norm": True}),
        ("huggingface", "deit", {"distilled": True}),
        ("torchvision", "pre_logits", {"pre_logits_dim": 16}),
        ("google", "map", {"class_token": False, "pool": True}),
        ("google", "big_vision", {}),
        ("mindcv", "vit", {}),
    ],
)
def test_the_config_is_inferred_from_tensors_of_another_library(tmp_path, library, model, special):
    tensors = read_weights(write_npz(tmp_path / "x.npz", PublishedFile(library).weights(model))).tensors
    assert infer_config(tensors) == PLAIN | special


@pytest.mark.parametrize(
    "special",
    [
        {},
        {"layer_scale": 0.1},
        {"qk_norm": True},
        {"distilled": True},
        {"register_tokens": 3},
        {"pool": "map"},
        {"pool": "mean"},
        {"pool": "mean", "class_token": True},
        {"pre_logits_dim": 5},
        {"pos_embed": "learned2d"},
        {"depth": 11},
    ],
)
def test_inferred_and_actual_config_of_a_network_agree(special):
    network = create_model("vit_mini_4_32", **{**SIZES, **special})
    tensors = {parameter.name: parameter.asnumpy() for parameter in network.get_parameters()}
    assert infer_config(tensors) == comparable_config(network.config)
    assert differences(tensors, network.config) == []


@pytest.mark.parametrize(
    ("special", "with_other_heads"),
    [
        ({}, []),
        ({"pos_embed": "learned2d", "image_size": (8, 12)}, []),
        ({"pos_embed": "relative"}, ["heads and offsets (the tensors': (2, 3, 3), the metadata's: (3, 3, 3))"]),
        ({"qk_norm": True}, ["head_dim (the tensors': 6, the metadata's: 4)"]),
    ],
)
def test_the_metadata_of_a_network_fits_its_tensors(special, with_other_heads):
    network = create_model("vit_mini_4_32", **{**SIZES, **special})
    tensors = {parameter.name: parameter.asnumpy() for parameter in network.get_parameters()}
    assert metadata_differences(tensors, network.config) == []
    assert metadata_differences(tensors, override(network.config, num_heads=3)) == with_other_heads


def test_differences_are_readable():
    network = create_model("vit_mini_4_32", **{**SIZES, "qk_norm": True, "pre_logits_dim": 5})
    tensors = {parameter.name: parameter.asnumpy() for parameter in network.get_parameters()}
    other = create_model("vit_mini_4_32", **{**SIZES, "depth": 1, "register_tokens": 1, "pool": "map"}).config
    assert differences(tensors, other) == [
        "depth (the file's: 2, the model's: 1)",
        "class_token (the file's: yes, the model's: no)",
        "register_tokens (the file's: 0, the model's: 1)",
        "qk_norm (the file's: yes, the model's: no)",
        "pool map (the file's: no, the model's: yes)",
        "pre_logits_dim (the file's: 5, the model's: none)",
    ]


def signature_tensors(name):
    """The tensors that determine the model, of the right shapes."""
    config = model_config(name)
    block = "transformer.layers.{}.1.cell.1.dense1.bias"
    tensors = {block.format(index): np.empty(config.mlp_dim, bool) for index in range(config.depth)}
    tensors["patch_embedding.conv.weight"] = np.empty((config.embed_dim, 3, *[config.patch_size] * 2), bool)
    if config.has_class_token:
        tensors["cls"] = np.empty((1, 1, config.embed_dim), bool)
    return tensors


def test_matching_models_are_found_at_any_image_size():
    assert matching_models(signature_tensors("vit_b_32_224")) == ["vit_b_32_224", "vit_b_32_384"]
    assert matching_models(signature_tensors("vit_ti_16_224")) == ["deit_ti_16_224", "vit_ti_16_224", "vit_ti_16_384"]


@pytest.mark.parametrize(
    "tensors",
    [
        {},
        {"patch_embedding.conv.weight": np.zeros(3)},
        {"patch_embedding.conv.weight": np.zeros(())},
        {"registers": np.zeros(3), "pre_logits.bias": np.zeros(()), "transformer.layers.x.y": np.zeros(1)},
        {"transformer.layers.": np.zeros(1)},
        {"transformer.layers." + "1" * 5000 + ".x": np.zeros(1), "stem.stages." + "1" * 5000 + ".0.x": np.zeros(1)},
        {"stem.stages.5.0.x": np.zeros(1), "transformer.layers.9999.x": np.zeros(1)},
    ],
)
def test_unknown_tensors_match_no_model(tensors):
    assert matching_models(tensors) == []

import json
from dataclasses import asdict

import pytest

from mindvit.json_schema import decode
from mindvit.models import Preprocessing, ViT, ViTConfig
from mindvit.models.pooling import ClassPool, MeanPool


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"image_size": 225}, "image_size 225 is not divisible by patch_size 16; the nearest valid size is 224"),
        ({"image_size": 8}, "image_size 8 is not divisible by patch_size 16; the nearest valid size is 16"),
        ({"image_size": (224, 250)}, "image_size 250 is not divisible by patch_size 16; the nearest valid size is 256"),
        ({"image_size": (1, 2, 3)}, r"image_size must be one side, or height and width, not \[1, 2, 3\]"),
        ({"image_size": [224]}, "image_size must be one side, or height and width"),
        ({"image_size": (0, 16)}, "image_size must be at least 1, not 0"),
        (
            {"image_size": 225, "patch_stride": 10},
            "image_size 225 is not covered by patch_size 16 at patch_stride 10; the nearest valid size is 226",
        ),
        ({"patch_stride": 17}, "patch_stride 17 is above patch_size 16; it must be at most patch_size"),
        ({"patch_stride": 0}, "patch_stride must be above 0, not 0"),
        ({"patch_size": 0}, "patch_size must be at least 1"),
        ({"in_channels": 0}, "in_channels must be at least 1"),
        ({"num_classes": 0}, "num_classes must be at least 1"),
        ({"embed_dim": 0}, "embed_dim must be at least 1"),
        ({"num_heads": 0}, "num_heads must be at least 1"),
        ({"mlp_dim": 0}, "mlp_dim must be at least 1"),
        ({"num_heads": 7}, "embed_dim 768 is not divisible by num_heads 7"),
        ({"depth": 0}, "depth must be at least 1"),
        ({"drop_path": 1.0}, "drop_path must be in"),
        ({"dropout": -0.1}, "dropout must be in"),
        ({"attention_dropout": 1.0}, "attention_dropout must be in"),
        ({"block_dropout": 1.0}, "block_dropout must be in"),
        ({"patch_dropout": 1.0}, "patch_dropout must be in"),
        ({"norm_eps": 0}, "norm_eps must be above 0"),
        ({"layer_scale": 0.0}, "layer_scale must be above 0"),
        ({"pre_logits_dim": 0}, "pre_logits_dim must be above 0"),
        ({"register_tokens": -1}, "register_tokens must be 0 or more, not -1"),
        ({"window_size": 4}, "window_size must be an odd number of patches"),
        ({"window_size": -1}, "window_size must be an odd number of patches"),
        ({"gelu": "erf"}, "gelu must be one of tanh, exact"),
        ({"drop_path_mode": "up"}, "drop_path_mode must be one of linear, constant"),
        (
            {"pos_embed": "fourier"},
            "pos_embed must be one of learned, learned2d, sincos2d, relative, none, not 'fourier'",
        ),
        ({"pool": "max"}, "pool must be one of cls, mean, mean_norm, map, not 'max'"),
        ({"stem": "vgg"}, "stem must be one of .*r50.*, not 'vgg'"),
        ({"stem": "r50", "patch_stride": 16}, "patch_stride and stem cannot be combined"),
        ({"stem": "r50", "patch_size": 16}, "patch_size must be a multiple of 32 with stem r50, not 16"),
        ({"pos_embed": "sincos2d", "embed_dim": 6, "num_heads": 1}, "pos_embed sincos2d needs an embed_dim divisible"),
        ({"pos_embed": "learned2d", "embed_dim": 6, "num_heads": 1}, "learned2d needs an embed_dim divisible by 4"),
        ({"class_token": False}, "pool cls needs a class token, but class_token is false"),
        ({"distilled": True, "pool": "mean"}, "distilled needs pool cls"),
        ({"distilled": True, "pre_logits_dim": 8}, "distilled needs pool cls and no pre_logits_dim"),
        (
            {"patch_dropout": 0.5, "pos_embed": "relative"},
            "patch_dropout cannot be combined with window_size or pos_embed relative",
        ),
        (
            {"patch_dropout": 0.5, "window_size": 3},
            "patch_dropout cannot be combined with window_size or pos_embed relative",
        ),
    ],
)
def test_an_invalid_setting_is_an_error(settings, words):
    with pytest.raises(ValueError, match=words):
        ViTConfig(**settings)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"mean": (0.5,)}, "three numbers"),
        ({"std": (0.5, 0.0, 0.5)}, "std must be above 0"),
        ({"interpolation": "cubic"}, "nearest, bilinear, bicubic"),
        ({"crop_pct": 1.5}, "crop_pct"),
        ({"crop_pct": 0.05}, r"crop_pct must be in \[0.1, 1\], not 0.05"),
        ({"resize": "antialias"}, "timm, squash, mindspore"),
    ],
)
def test_invalid_preprocessing_is_an_error(settings, words):
    with pytest.raises(ValueError, match=words):
        Preprocessing(**settings)


def test_a_config_is_restored_from_its_dict():
    config = ViTConfig(image_size=32, drop_path=0.2, preprocessing=Preprocessing(crop_pct=0.9))
    assert decode(ViTConfig, json.loads(json.dumps(asdict(config)))) == config


def test_equal_height_and_width_become_one_side():
    for sides in ([224, 224], (224, 224)):
        assert ViTConfig(image_size=sides) == ViTConfig(image_size=224)
    assert ViTConfig(image_size=(224, 224)).image_shape == (224, 224)


def test_a_config_with_overlapping_patches_is_restored_from_json():
    preprocessing = Preprocessing((0.1, 0.2, 0.3), (0.4, 0.5, 0.6), "bicubic", 0.9)
    config = ViTConfig(image_size=(96, 160), patch_stride=8, pool="map", preprocessing=preprocessing)
    stored = json.loads(json.dumps(asdict(config)))
    assert stored["image_size"] == [96, 160]
    restored = decode(ViTConfig, stored)
    assert restored == config and hash(restored) == hash(config)


@pytest.mark.parametrize(
    ("settings", "grid", "prefix", "with_pos_embed"),
    [
        ({}, (14, 14), 1, 1),
        ({"image_size": (96, 160)}, (6, 10), 1, 1),
        ({"image_size": (96, 160), "patch_stride": 8}, (11, 19), 1, 1),
        ({"image_size": (20, 31), "patch_size": 9, "patch_stride": 1}, (12, 23), 1, 1),
        ({"distilled": True, "register_tokens": 3}, (14, 14), 5, 2),
        ({"distilled": True, "prefix_pos_embed": False}, (14, 14), 2, 0),
        ({"pos_embed": "sincos2d"}, (14, 14), 1, 0),
        ({"pool": "mean"}, (14, 14), 0, 0),
        ({"pool": "mean_norm", "class_token": True}, (14, 14), 1, 1),
        ({"pool": "map", "register_tokens": 4}, (14, 14), 4, 0),
    ],
)
def test_patches_and_tokens_follow_from_the_settings(settings, grid, prefix, with_pos_embed):
    config = ViTConfig(**settings)
    assert (config.grid, config.num_patches) == (grid, grid[0] * grid[1])
    assert (config.prefix_tokens, config.pos_embed_tokens) == (prefix, with_pos_embed)


# A stored configuration, with the settings of the first version.
OLD = {
    "image_size": 32,
    "patch_size": 4,
    "in_channels": 3,
    "num_classes": 10,
    "embed_dim": 128,
    "depth": 6,
    "num_heads": 4,
    "mlp_dim": 256,
    "dropout": 0.1,
    "attention_dropout": 0.0,
    "drop_path": 0.1,
    "drop_path_mode": "linear",
    "block_dropout": 0.0,
    "layer_scale": None,
    "pos_embed": "learned",
    "pool": "cls",
    "pre_logits_dim": None,
    "norm_eps": 1e-6,
    "gelu": "tanh",
    "preprocessing": {
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
        "interpolation": "bicubic",
        "crop_pct": 1.0,
    },
}


@pytest.mark.parametrize(
    ("settings", "class_tokens", "pool"),
    [
        ({}, 1, ClassPool),
        ({"pos_embed": "sincos2d"}, 1, ClassPool),
        ({"pool": "mean", "pre_logits_dim": 8}, 0, MeanPool),
        ({"pool": "mean", "pos_embed": "sincos2d", "layer_scale": 0.1}, 0, MeanPool),
    ],
)
def test_the_settings_of_the_first_version_give_the_same_network(settings, class_tokens, pool):
    old = OLD | settings
    config = decode(ViTConfig, old)
    stored = {name: value for name, value in json.loads(json.dumps(asdict(config))).items() if name in OLD}
    assert stored == old | {"preprocessing": old["preprocessing"] | {"resize": "timm"}}
    network = ViT(config)
    assert [type(cell) for name, cell in network.name_cells().items() if name == "pool"] == [pool]
    named = {parameter.name: parameter.shape for parameter in network.get_parameters()}
    expected = {"patch_embedding.conv.weight": (128, 3, 4, 4), "dense.weight": (10, config.pre_logits_dim or 128)}
    expected |= {"cls": (1, 1, 128)} if class_tokens else {}
    expected |= {"pos_embedding": (1, 64 + class_tokens, 128)} if old["pos_embed"] == "learned" else {}
    expected |= {"pre_logits.weight": (8, 128)} if old["pre_logits_dim"] else {}
    other_names = ("transformer.", "norm.", "dense.bias", "pre_logits.bias", "patch_embedding.conv.bias")
    assert {name: shape for name, shape in named.items() if not name.startswith(other_names)} == expected
    in_block = {
        name.removeprefix("transformer.layers.0.") for name in named if name.startswith("transformer.layers.0.")
    }
    cells = ("0.cell.0.gamma", "0.cell.1.qkv.weight", "0.cell.1.out.weight", "1.cell.0.gamma")
    cells += ("1.cell.1.dense1.weight", "1.cell.1.dense2.weight")
    expected = {*cells, *(name.replace("gamma", "beta").replace("weight", "bias") for name in cells)}
    assert in_block == expected | ({"0.layer_scale", "1.layer_scale"} if old["layer_scale"] else set())


def test_unknown_settings_are_an_error():
    with pytest.raises(ValueError, match="rotary"):
        decode(ViTConfig, {"rotary": True})

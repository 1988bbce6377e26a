from dataclasses import asdict

import pytest

from mindvit.models import Preprocessing, ViTConfig


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"image_size": 225}, "image_size 225 is not divisible by patch_size 16; the nearest that is: 224"),
        ({"num_heads": 7}, "num_heads 7 does not divide embed_dim 768"),
        ({"depth": 0}, "depth must be at least 1"),
        ({"drop_path": 1.0}, "drop_path must lie in"),
        ({"dropout": -0.1}, "dropout must lie in"),
        ({"norm_eps": 0}, "norm_eps must be above 0"),
        ({"gelu": "erf"}, "gelu must be one of tanh, exact"),
        ({"drop_path_mode": "up"}, "drop_path_mode must be one of linear, constant"),
        ({"positions": "fourier"}, "positions must be one of learned, sincos2d"),
        ({"pool": "max"}, "pool must be one of cls, mean"),
        ({"positions": "sincos2d", "embed_dim": 6, "num_heads": 1}, "divisible by 4"),
        ({"layer_scale": 0.0}, "layer_scale must be above 0"),
        ({"pre_logits_dim": 0}, "pre_logits_dim must be above 0"),
        ({"layer_dropout": 1.0}, "layer_dropout must lie in"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        ViTConfig(**settings)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"mean": (0.5,)}, "three numbers"),
        ({"std": (0.5, 0.0, 0.5)}, "std must be above 0"),
        ({"interpolation": "cubic"}, "nearest, bilinear, bicubic"),
        ({"crop_pct": 1.5}, "crop_pct"),
    ],
)
def test_preprocessing_that_cannot_be_is_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        Preprocessing(**settings)


def test_a_config_survives_being_stored():
    config = ViTConfig(image_size=32, drop_path=0.2, preprocessing=Preprocessing(crop_pct=0.9))
    assert ViTConfig.from_dict(asdict(config)) == config


def test_settings_of_a_newer_version_are_refused():
    with pytest.raises(ValueError, match="rotary"):
        ViTConfig.from_dict({"rotary": True})

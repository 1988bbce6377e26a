import math

import pytest

from mindvit.errors import UserError
from mindvit.weights.sidecar_config import read_sidecar_config
from tests.weights.published import FOLDER, write_json

HALVES = (0.5, 0.5, 0.5)


@pytest.fixture
def sidecars(tmp_path):
    def read(config=None, preprocessing=None):
        for name, content in (("config.json", config), ("preprocessor_config.json", preprocessing)):
            if content is not None:
                write_json(tmp_path / name, content)
        return read_sidecar_config(tmp_path / "model.safetensors")

    return read


def test_without_files_there_are_no_settings(sidecars):
    assert sidecars() == ({}, None)


def test_files_of_transformers_are_read():
    settings, classes = read_sidecar_config(FOLDER / "huggingface_vit/model.safetensors")
    assert settings == {
        "gelu": "exact",
        "norm_eps": 1e-12,
        "mean": HALVES,
        "std": HALVES,
        "crop_pct": 1.0,
        "interpolation": "bilinear",
        "resize": "squash",
    }
    assert classes.names == tuple(f"name of {index}" for index in range(7))


def test_default_labels_of_transformers_are_no_class_names():
    settings, classes = read_sidecar_config(FOLDER / "huggingface_deit/model.safetensors")
    assert settings == {"gelu": "exact", "norm_eps": 1e-12}
    assert classes is None


def test_classes_are_sorted_by_index(sidecars):
    names = {str(index): f"n{index}" for index in reversed(range(12))}
    assert sidecars({"id2label": names})[1].names == tuple(f"n{index}" for index in range(12))


def test_files_of_timm_are_read(sidecars):
    published = {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "crop_pct": 0.95, "interpolation": "bicubic"}
    config = {
        "architecture": "vit_base_patch16_224",
        "pretrained_cfg": published | {"input_size": [3, 224, 224]},
        "label_names": ["n1", "n2"],
        "label_descriptions": {"n1": "cat"},
    }
    settings, classes = sidecars(config)
    assert settings == {
        "mean": (0.1, 0.2, 0.3),
        "std": (0.4, 0.5, 0.6),
        "crop_pct": 0.95,
        "interpolation": "bicubic",
    }
    assert (classes.ids, classes.names) == (("n1", "n2"), ("cat", "n2"))


def test_names_that_occur_twice_get_different_ids(sidecars):
    """ImageNet has two classes named crane: a bird and a machine."""
    classes = sidecars({"id2label": {"0": "crane", "1": "cat", "2": "crane"}})[1]
    assert classes.ids == ("crane (0)", "cat", "crane (2)")
    assert classes.names == ("crane", "cat", "crane")


def test_an_activation_among_the_arguments_of_timm_is_read(sidecars):
    assert sidecars({"model_args": {"act_layer": "gelu_tanh"}})[0] == {"gelu": "tanh"}
    with pytest.raises(UserError, match="the activation 'quick_gelu' is not supported"):
        sidecars({"model_args": {"act_layer": "quick_gelu"}})


@pytest.mark.parametrize(
    ("config", "preprocessing", "message"),
    [
        ({"pretrained_cfg": {"interpolation": "random"}}, None, "the interpolation 'random' is not supported"),
        (None, {"resample": 1}, "the resample 1 is not supported; supported are 0, 2, 3"),
    ],
)
def test_an_unsupported_interpolation_is_refused(sidecars, config, preprocessing, message):
    with pytest.raises(UserError, match=message):
        sidecars(config, preprocessing)


@pytest.mark.parametrize(
    ("name", "form"), [("gelu", "exact"), ("gelu_new", "tanh"), ("gelu_pytorch_tanh", "tanh"), ("gelu_tanh", "tanh")]
)
def test_forms_of_the_gelu(sidecars, name, form):
    assert sidecars({"hidden_act": name})[0] == {"gelu": form}


@pytest.mark.parametrize(("number", "name"), [(0, "nearest"), (2, "bilinear"), (3, "bicubic")])
def test_filter_numbers_of_pillow(sidecars, number, name):
    assert sidecars(preprocessing={"resample": number})[0] == {"interpolation": name}


def cropped(crop, size):
    return {"image_mean": HALVES, "image_std": HALVES, "do_center_crop": True, "size": size, "crop_size": crop}


@pytest.mark.parametrize(
    ("size", "crop", "resize"),
    [
        (256, 224, "squash"),
        ({"height": 256, "width": 256}, {"height": 224, "width": 224}, "squash"),
        ({"shortest_edge": 256}, 224, "timm"),
    ],
)
def test_the_resize_and_the_center_crop_of_transformers(sidecars, size, crop, resize):
    preprocessing = cropped(crop, size)
    settings = sidecars(preprocessing=preprocessing)[0]
    assert (settings["crop_pct"], settings["resize"]) == (0.875, resize)
    preprocessing["do_center_crop"] = False
    settings = sidecars(preprocessing=preprocessing)[0]
    assert (settings["crop_pct"], settings["resize"]) == (1.0, resize)


def test_the_size_of_transformers_is_not_changed_by_rounding(sidecars):
    """384 divided by the fraction 384 / 450 is slightly below 450, which evaluation would round down to 449."""
    for size in (438, 450, 462, 512):
        settings = sidecars(preprocessing=cropped(384, size))[0]
        assert math.floor(384 / settings["crop_pct"]) == size


@pytest.mark.parametrize(("mode", "settings"), [("center", "timm"), ("squash", "squash"), (None, None)])
def test_crop_modes_of_timm(sidecars, mode, settings):
    assert sidecars({"pretrained_cfg": {"crop_mode": mode}})[0].get("resize") == settings


@pytest.mark.parametrize(
    ("config", "preprocessing", "words"),
    [
        ({"hidden_act": "relu"}, None, "the activation 'relu' is not supported; supported are gelu, "),
        ({"hidden_act": ["gelu"]}, None, "has invalid values"),
        ({"layer_norm_eps": "small"}, None, "has invalid values"),
        ({"id2label": {"one": "cat"}}, None, "has invalid values"),
        ({"id2label": ["cat"]}, None, "has invalid values"),
        ({"pretrained_cfg": "none"}, None, "has invalid values"),
        ({"pretrained_cfg": {"crop_mode": "border"}}, None, "'border' is not supported; supported are center, squash"),
        (None, {"image_mean": HALVES}, "has invalid values"),
        (None, cropped(224, 0), "crop_size must be above 0 and at most size, 0, not 224"),
        (None, cropped(10**400, 10**401), "has invalid values"),
        (None, {"image_mean": 0.5, "image_std": 0.5}, "has invalid values"),
        ({"layer_norm_eps": 10**400}, None, "has invalid values"),
        ({"layer_norm_eps": float("nan")}, None, "has invalid values"),
        ({"id2label": {"0": 5}}, None, r"id2label\.0 must be a text without NUL, not 5"),
        ({"label_names": ["a", "b"], "label_descriptions": {"a": ["x"]}}, None, "a class name must be a text"),
        ({"label_names": {"a": 1}, "label_descriptions": 5}, None, "has invalid values"),
        ({"pretrained_cfg": {"mean": [["x"]]}}, None, "mean must be a list of 3 values, not of 1"),
        ({"pretrained_cfg": {"mean": 0.5}}, None, "mean must be a list, not 0.5"),
        ({"pretrained_cfg": {"crop_pct": "0.9"}}, None, "crop_pct must be a finite number, not '0.9'"),
        (["config"], None, r"config\.json, the config beside the weights, is not a JSON object"),
    ],
)
def test_invalid_values_are_reported(sidecars, config, preprocessing, words):
    with pytest.raises(UserError, match=words):
        sidecars(config, preprocessing)


@pytest.mark.parametrize("content", [b"\xff{", b'{"a":' * 100_000])
def test_a_file_that_is_not_json_is_reported(tmp_path, content):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(UserError, match=r"cannot read .*config\.json, the config beside the weights"):
        read_sidecar_config(tmp_path / "x.pth")


def test_null_settings_of_timm_are_ignored(sidecars):
    assert sidecars({"pretrained_cfg": None, "label_names": None}) == ({}, None)

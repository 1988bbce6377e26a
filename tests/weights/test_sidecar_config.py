import pytest

from mindvit.errors import UserError
from mindvit.weights.sidecar_config import read_sidecar_config
from tests.weights.published import FOLDER, write_json

HALVES = (0.5, 0.5, 0.5)


@pytest.fixture
def sidecars(tmp_path):
    def read(config=None, images=None):
        for name, content in (("config.json", config), ("preprocessor_config.json", images)):
            if content is not None:
                write_json(tmp_path / name, content)
        return read_sidecar_config(tmp_path / "model.safetensors")

    return read


def test_without_files_nothing_is_said(sidecars):
    assert sidecars() == ({}, None)


def test_those_that_transformers_wrote():
    settings, classes = read_sidecar_config(FOLDER / "huggingface_vit/model.safetensors")
    assert settings == {
        "gelu": "exact",
        "norm_eps": 1e-12,
        "mean": HALVES,
        "std": HALVES,
        "crop_pct": 1.0,
        "interpolation": "bilinear",
    }
    assert classes.names == tuple(f"name of {index}" for index in range(7))


def test_names_that_transformers_made_up_are_none():
    settings, classes = read_sidecar_config(FOLDER / "huggingface_deit/model.safetensors")
    assert settings == {"gelu": "exact", "norm_eps": 1e-12}
    assert classes is None


def test_classes_are_in_the_order_of_their_numbers(sidecars):
    names = {str(index): f"n{index}" for index in reversed(range(12))}
    assert sidecars({"id2label": names})[1].names == tuple(f"n{index}" for index in range(12))


def test_those_of_timm(sidecars):
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


def test_an_interpolation_that_we_do_not_have_is_passed_over(sidecars):
    assert sidecars({"pretrained_cfg": {"interpolation": "random"}}, {"resample": 1}) == ({}, None)


@pytest.mark.parametrize(
    ("name", "form"), [("gelu", "exact"), ("gelu_new", "tanh"), ("gelu_pytorch_tanh", "tanh"), ("gelu_tanh", "tanh")]
)
def test_forms_of_the_gelu(sidecars, name, form):
    assert sidecars({"hidden_act": name})[0] == {"gelu": form}


@pytest.mark.parametrize(("number", "name"), [(0, "nearest"), (2, "bilinear"), (3, "bicubic")])
def test_pillows_numbers_of_filters(sidecars, number, name):
    assert sidecars(images={"resample": number})[0] == {"interpolation": name}


@pytest.mark.parametrize(
    ("size", "crop"),
    [(256, 224), ({"height": 256, "width": 256}, {"height": 224, "width": 224}), ({"shortest_edge": 256}, 224)],
)
def test_deit_of_transformers_crops(sidecars, size, crop):
    images = {"image_mean": HALVES, "image_std": HALVES, "do_center_crop": True, "size": size, "crop_size": crop}
    assert sidecars(images=images)[0]["crop_pct"] == 0.875
    images["do_center_crop"] = False
    assert sidecars(images=images)[0]["crop_pct"] == 1.0


@pytest.mark.parametrize(
    ("config", "images", "words"),
    [
        ({"hidden_act": "relu"}, None, "the activation 'relu', where only gelu, "),
        ({"hidden_act": ["gelu"]}, None, "hold what cannot be"),
        ({"layer_norm_eps": "small"}, None, "hold what cannot be"),
        ({"id2label": {"one": "cat"}}, None, "hold what cannot be"),
        ({"id2label": ["cat"]}, None, "hold what cannot be"),
        ({"pretrained_cfg": "none"}, None, "hold what cannot be"),
        (None, {"image_mean": HALVES}, "hold what cannot be"),
        (None, {"image_mean": 0.5, "image_std": 0.5}, "hold what cannot be"),
        (["config"], None, r"config\.json stands beside the weights, but holds no JSON object"),
    ],
)
def test_what_cannot_be_is_told_in_a_sentence(sidecars, config, images, words):
    with pytest.raises(UserError, match=words):
        sidecars(config, images)


def test_a_file_that_is_no_json_is_named(tmp_path):
    (tmp_path / "config.json").write_bytes(b"\xff{")
    with pytest.raises(UserError, match=r"config\.json stands beside the weights, but cannot be read"):
        read_sidecar_config(tmp_path / "x.pth")


def test_no_published_settings_of_timm_are_none(sidecars):
    assert sidecars({"pretrained_cfg": None, "label_names": None}) == ({}, None)

from pathlib import Path

import numpy as np
import pytest

from mindvit.errors import UserError
from mindvit.weights.layouts.detect import LAYOUTS, detect_layout
from tests.weights.published import PublishedFile, renamed, tutorial_weights

PATH = Path("x.npz")
MODELS = {
    "timm": ["vit", "reg4_gap", "gap", "deit3", "distilled", "siglip", "qk_norm"],
    "huggingface": ["vit", "deit"],
    "torchvision": ["vit", "pre_logits"],
    "google": ["original", "big_vision", "map"],
    "mindcv": ["vit"],
}


@pytest.mark.parametrize(("library", "model"), [(name, model) for name, models in MODELS.items() for model in models])
def test_the_layout_of_a_library_is_detected_and_has_all_names(library, model):
    weights = PublishedFile(library).weights(model)
    layout = detect_layout(weights, PATH)
    assert layout.name == library
    assert layout.unexpected(weights) == []


@pytest.mark.parametrize(
    ("prefix", "head", "name"), [("", "dense.", "tutorial"), ("backbone.", "head.classifier.", "mindcv (before 0.3)")]
)
def test_the_names_of_the_tutorial_are_detected_with_and_without_the_old_prefix_of_mindcv(prefix, head, name):
    weights = tutorial_weights(PublishedFile("mindcv").weights("vit"))
    weights = renamed({prefix + key: values for key, values in weights.items()}, (f"{prefix}dense.", head))
    layout = detect_layout(weights, PATH)
    assert layout.name == name
    assert layout.unexpected(weights) == []


@pytest.mark.parametrize(
    ("name", "eps", "gelu", "mean", "interpolation", "crops", "resize"),
    [
        ("tutorial", 1e-7, "tanh", 0.485, "bilinear", (0.875, 0.875), "mindspore"),
        ("mindcv (before 0.3)", 1e-7, "tanh", 0.485, "bilinear", (0.875, 0.875), "mindspore"),
        ("mindcv", 1e-7, "tanh", 0.485, "bicubic", (0.875, 0.875), "mindspore"),
        ("timm", 1e-6, "exact", 0.5, "bicubic", (0.9, 1.0), "timm"),
        ("huggingface", 1e-12, "exact", 0.5, "bilinear", (1.0, 1.0), "squash"),
        ("torchvision", 1e-6, "exact", 0.485, "bilinear", (0.875, 0.875), "timm"),
        ("google", 1e-6, "tanh", 0.5, "bicubic", (0.9, 1.0), "timm"),
    ],
)
def test_numerics_and_preprocessing_of_a_layout(name, eps, gelu, mean, interpolation, crops, resize):
    layout = next(layout for layout in LAYOUTS if layout.name == name)
    assert (layout.norm_eps, layout.gelu) == (eps, gelu)
    preprocessing = [layout.preprocessing(side) for side in (224, 384)]
    assert {item.mean[0] for item in preprocessing} == {mean}
    assert {(item.interpolation, item.resize) for item in preprocessing} == {(interpolation, resize)}
    assert tuple(item.crop_pct for item in preprocessing) == crops


def arrays(*names):
    return {name: np.zeros(1, np.float32) for name in names}


def test_another_network_is_refused_with_the_nearest_layout_and_the_unknown_names():
    names = [f"layer1.{index}.bn1.running_mean" for index in range(9)]
    with pytest.raises(UserError) as error:
        detect_layout(arrays("cls_token", "head.weight", "head.bias", *names), PATH)
    text = str(error.value)
    assert text.startswith("x.npz has no known layout of a Vision Transformer (known are tutorial, ")
    assert "The nearest layout is mindcv; it has no layer1.0.bn1.running_mean, layer1.1" in text
    assert text.endswith("layer1.4.bn1.running_mean and 4 more")


def test_known_names_without_a_network_are_refused():
    with pytest.raises(
        UserError, match=r"nearest layout is tutorial; the file has none of patch_embedding\.conv\.weight"
    ):
        detect_layout(arrays("cls", "dense.weight"), PATH)


def test_an_empty_file_is_refused():
    with pytest.raises(UserError, match="no known layout of a Vision Transformer"):
        detect_layout({}, PATH)


def test_a_few_unknown_names_do_not_hide_the_layout():
    weights = PublishedFile("timm").weights("vit") | arrays("ema.decay", "head_other.weight")
    layout = detect_layout(weights, PATH)
    assert layout.name == "timm"
    assert layout.unexpected(weights) == ["ema.decay", "head_other.weight"]

"""Metadata of unknown origin: whatever it holds, reading it gives metadata that can be used, or one sentence."""

import json

import pytest

from mindvit.classes import Classes
from mindvit.errors import UserError
from mindvit.models import ViTConfig
from mindvit.weights.metadata import CheckpointMetadata

METADATA = CheckpointMetadata(
    model_name="vit_mini_4_32",
    model=ViTConfig(image_size=(32, 64), num_classes=2, window_size=3, layer_scale=0.1, qk_norm=True),
    classes=Classes(("n1", "n2"), ("Katze", "狗")),
    data_source="folder",
    data_path="dataset",
    epoch=3,
    metrics={"top1": 75.25, "val_loss": 1.5},
    origin="timm",
)


def changed(place, value):
    """The text of the metadata with another value at a dotted place."""
    stored = json.loads(METADATA.to_json())
    *parents, last = place.split(".")
    inner = stored
    for name in parents:
        inner = inner[name]
    inner[last] = value
    return json.dumps(stored)


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        ("model.depth", "12", "model.depth must be an integer, not '12'"),
        ("model.depth", 12.5, "model.depth must be an integer"),
        ("model.depth", True, "model.depth must be an integer"),
        ("model.depth", None, "model.depth must be an integer, not null"),
        ("model.num_heads", 0, "num_heads must be at least 1, not 0"),
        ("model.embed_dim", -4, "embed_dim must be at least 1"),
        ("model.patch_size", 10**300, r"model.patch_size must be an integer of at most 2\^53, not 10000"),
        ("model.image_size", [224, "x"], r"model.image_size\[1\] must be an integer"),
        ("model.image_size", [224, 224, 3], "model.image_size must be a list of 2 values, not of 3"),
        ("model.norm_eps", float("nan"), "model.norm_eps must be a finite number, not null"),
        ("model.norm_eps", "small", "model.norm_eps must be a finite number, not 'small'"),
        ("model.gelu", "relu", "model.gelu must be one of"),
        ("model.stem", 5, "model.stem must be one of"),
        ("model.qk_norm", "yes", "model.qk_norm must be true or false, not 'yes'"),
        ("model.preprocessing", None, "model.preprocessing must be an object, not null"),
        ("model.preprocessing.mean", [0.5, 0.5], "model.preprocessing.mean must be a list of 3 values, not of 2"),
        ("model.preprocessing.std", [0.5, 0.5, 0], "std must be above 0"),
        ("model", [1], "model must be an object, not a list"),
        ("model_name", "resnet50", r"model_name must be one of mindvit.list_models\(\), not 'resnet50'"),
        ("data_source", "ftp", "data_source must be one of folder, "),
        ("data_source", ["folder"], "data_source must be one of folder, .* not a list"),
        ("data_path", 3, "data_path must be a text without NUL, not 3"),
        ("data_path", "a\0b", "data_path must be a text without NUL"),
        ("data_path", "x" * 5000, "data_path must have at most 4096 bytes"),
        ("data_path", "\ud800", "cannot be read"),
        ("classes.ids", [1, 2], r"classes.ids\[0\] must be a text"),
        ("classes.ids", "n1", "classes.ids must be a list, not 'n1'"),
        ("classes.ids", ["n1", "n1"], "the class id 'n1' occurs twice"),
        ("classes.ids", ["n1"], "there are 1 class ids but 2 class names"),
        ("classes", {"ids": ["n1"], "names": ["cat"]}, "classes must be as many as model.num_classes, 2, not 1"),
        ("classes", ["n1", "n2"], "classes must be an object, not a list"),
        ("epoch", -1, "epoch must be 0 or more, not -1"),
        ("metrics", [1], "metrics must be an object, not a list"),
        ("metrics.top1", "high", "metrics.top1 must be a finite number, not 'high'"),
        ("is_class_subset", "no", "is_class_subset must be true or false"),
        ("format", "3", "format must be an integer"),
        ("format", True, "format must be an integer, 1 or more"),
        ("other", 1, "there is no field 'other'"),
        ("model.other\x1b[2J", 1, r"there is no field 'model.other\\x1b\[2J'"),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_a_wrong_value_is_named_with_what_is_expected(place, value, words):
    with pytest.raises(UserError, match=words) as error:
        CheckpointMetadata.from_json(changed(place, value))
    assert str(error.value).startswith("its metadata cannot be read (")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"model":' * 100_000, "", "null", "3", '"x"', "[]", "{}"])
def test_a_text_that_is_no_object_is_refused(text):
    with pytest.raises(UserError, match=r"^its metadata cannot be read \("):
        CheckpointMetadata.from_json(text)


def test_metrics_that_are_not_finite_are_neither_stored_nor_read():
    stored = changed("metrics", {"top1": 0.0, "val_loss": float("nan"), "train_loss": None, "x": float("inf")})
    assert CheckpointMetadata.from_json(stored).metrics == {"top1": 0.0}
    made = CheckpointMetadata("vit_mini_4_32", METADATA.model, metrics={"top1": 0.0, "val_loss": float("nan")})
    assert json.loads(made.to_json(), parse_constant=pytest.fail)["metrics"] == {"top1": 0.0}


def test_names_of_folders_that_are_not_utf8_survive():
    """Python reads them with surrogates, which UTF-8 cannot encode."""
    classes = Classes.named(("caf\udce9", "tab\t"))
    text = CheckpointMetadata("vit_mini_4_32", METADATA.model, classes, data_path="/d/\udcff").to_json()
    text.encode("utf-8")
    found = CheckpointMetadata.from_json(text)
    assert (found.classes, found.data_path) == (classes, "/d/\udcff")

"""Metadata of checkpoints, in the current format and in the format of version 0.1."""

import json
import warnings
from dataclasses import asdict, replace

import mindspore as ms
import numpy as np
import pytest

from mindvit.classes import Classes
from mindvit.errors import UserError
from mindvit.factory import load_trained
from mindvit.models import Preprocessing, ViT, ViTConfig
from mindvit.training.resume import read_train_checkpoint
from mindvit.weights.checkpoint import OLD_TRAIN_STATE_KEY, write_checkpoint
from mindvit.weights.formats.ckpt import read_ckpt, write_ckpt
from mindvit.weights.metadata import (
    FORMER_RESIZE_NOTE,
    METADATA_KEY,
    OLD_METADATA_KEY,
    CheckpointMetadata,
    read_metadata,
)
from mindvit.weights.read import read_weights
from tests.weights.published import FOLDER

pytestmark = pytest.mark.eager

METADATA = CheckpointMetadata(
    model_name="vit_ti_16_224",
    model=ViTConfig(image_size=32, num_classes=2, preprocessing=Preprocessing(crop_pct=0.9, interpolation="bicubic")),
    classes=Classes(("n1", "n2"), ("Katze", "狗")),
    data_source="imagenet",
    data_path="dataset",
    is_class_subset=True,
    epoch=3,
    metrics={"top1": 75.25, "loss": 1.5},
    origin="timm",
)
FORMAT_1 = FOLDER / "checkpoint_v1.ckpt"
# What tests/references/make_checkpoint_v1.py wrote, under the names of format 3.
METADATA_OF_FORMAT_1 = replace(
    METADATA,
    former_resize=True,
    model_name="vit_mini_4_32",
    model=ViTConfig(
        image_size=16,
        patch_size=4,
        num_classes=2,
        embed_dim=32,
        depth=2,
        num_heads=2,
        mlp_dim=64,
        pos_embed="learned2d",
        prefix_pos_embed=False,
        block_dropout=0.1,
        window_size=3,
        norm_eps=1e-5,
        gelu="exact",
        preprocessing=Preprocessing((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "bilinear", 0.8),
    ),
)


def test_metadata_is_restored_exactly():
    text = METADATA.to_json()
    assert json.loads(text)["format"] == 3
    assert CheckpointMetadata.from_json(text) == METADATA
    assert read_metadata({METADATA_KEY: text, "other": ""}) == METADATA


def test_the_choice_of_held_out_images_is_restored_and_left_out_if_there_is_none():
    divided = replace(METADATA, data_labels="a.csv", val_fraction=0.2, split_seed=0, divided_data="2 images")
    assert CheckpointMetadata.from_json(divided.to_json()) == divided
    assert not json.loads(METADATA.to_json()).keys() & {"data_labels", "val_fraction", "split_seed", "divided_data"}
    for broken, words in (
        (replace(divided, val_fraction=2.0), "lie between 0 and 1"),
        (replace(divided, split_seed=None), "together"),
    ):
        with pytest.raises(UserError, match=words):
            CheckpointMetadata.from_json(broken.to_json())


def test_texts_without_metadata_give_none():
    assert read_metadata({}) is None
    assert read_metadata({"other": "{}"}) is None


def test_metadata_without_an_origin_is_read():
    text = METADATA.to_json().replace(', "origin": "timm"', "")
    assert "origin" not in text
    assert CheckpointMetadata.from_json(text).origin is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "cannot be read"),
        ("{", "cannot be read"),
        ('{"format": 99}', "newer version"),
        ('{"format": 1}', "cannot be read"),
        ('{"format": 2}', "cannot be read"),
        (METADATA.to_json().replace('"depth"', '"deep"'), "deep"),
        (METADATA.to_json().replace('"window_size"', '"window"'), "window"),
        (METADATA.to_json().replace('"is_class_subset"', '"is_part"'), "is_part"),
    ],
)
def test_unreadable_metadata_is_reported(text, words):
    with pytest.raises(UserError, match=words):
        CheckpointMetadata.from_json(text)


def test_metadata_of_format_1_is_read():
    """The renamed settings have values other than their defaults, so that none can get lost."""
    _, texts = read_ckpt(FORMAT_1)
    assert list(texts) == [OLD_METADATA_KEY]
    assert json.loads(texts[OLD_METADATA_KEY])["format"] == 1
    with pytest.warns(match=FORMER_RESIZE_NOTE):
        metadata = load_trained(str(FORMAT_1)).metadata
    assert asdict(metadata) == asdict(METADATA_OF_FORMAT_1)
    for name in ("pos_embed", "prefix_pos_embed", "block_dropout", "window_size"):
        assert getattr(metadata.model, name) != getattr(ViTConfig(), name)
    assert metadata.is_class_subset


def test_metadata_of_format_1_is_written_in_format_3():
    metadata = read_weights(FORMAT_1).metadata
    text = metadata.to_json()
    assert json.loads(text)["format"] == 3
    assert CheckpointMetadata.from_json(text) == METADATA_OF_FORMAT_1


@pytest.mark.filterwarnings("error", "ignore:.*its recorded metrics were measured by mindvit 0.2")
def test_a_checkpoint_of_format_1_gives_the_same_logits():
    with np.load(FORMAT_1.with_suffix(".npz")) as stored:
        images, expected = stored["images"], stored["logits"]
    network = load_trained(str(FORMAT_1)).network.set_train(False)
    # Processors round matrix products differently; a setting that was read wrongly changes more.
    np.testing.assert_allclose(network(ms.Tensor(images)).asnumpy(), expected, rtol=0, atol=5e-6)


def in_format_2(**changes):
    """The text that version 0.2 wrote: it does not say how images are resized."""
    stored = json.loads(replace(METADATA, **changes).to_json())
    del stored["model"]["preprocessing"]["resize"], stored["former_resize"]
    return json.dumps({**stored, "format": 2})


@pytest.mark.parametrize(
    ("origin", "resize"),
    [(None, "timm"), ("timm", "timm"), ("tutorial", "mindspore"), ("mindcv", "mindspore"), ("google", "timm")],
)
def test_metadata_of_format_2_is_read_with_the_resize_of_its_origin(origin, resize):
    metadata = CheckpointMetadata.from_json(in_format_2(origin=origin))
    preprocessing = replace(METADATA.model.preprocessing, resize=resize)
    model = replace(METADATA.model, preprocessing=preprocessing)
    assert metadata == replace(METADATA, origin=origin, model=model, former_resize=True)


def test_metrics_that_were_measured_with_the_former_resize_stay_known():
    metadata = CheckpointMetadata.from_json(in_format_2())
    assert CheckpointMetadata.from_json(metadata.to_json()).former_resize
    assert not CheckpointMetadata.from_json(in_format_2(metrics={})).former_resize, "there are none"
    assert not CheckpointMetadata.from_json(METADATA.to_json()).former_resize


@pytest.mark.parametrize(("metrics", "notes"), [({"top1": 75.25}, 1), ({}, 0)])
def test_an_earlier_checkpoint_is_loaded_with_one_note_on_its_metrics(tmp_path, metrics, notes):
    stored = json.loads(read_ckpt(FORMAT_1)[1][OLD_METADATA_KEY])
    network = ViT(METADATA_OF_FORMAT_1.model)
    write_ckpt(tmp_path / "old.ckpt", network, {OLD_METADATA_KEY: json.dumps({**stored, "metrics": metrics})})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trained = load_trained(str(tmp_path / "old.ckpt"))
    texts = [str(warning.message) for warning in caught]
    assert texts == [f"{tmp_path / 'old.ckpt'}: {FORMER_RESIZE_NOTE}"] * notes
    write_checkpoint(tmp_path / "new.ckpt", network, replace(trained.metadata, former_resize=False))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        load_trained(str(tmp_path / "new.ckpt"))
    assert not caught


@pytest.fixture
def train_checkpoint_v1(tmp_path):
    """A training checkpoint of format 1."""
    texts = {OLD_TRAIN_STATE_KEY: '{"format": 1, "step": 3}', "mindvit.recipe": "{}"}
    write_ckpt(tmp_path / "epoch0001-step00000003.ckpt", {"weight": ms.Tensor(np.zeros(3, np.float32))}, texts)
    return tmp_path / "epoch0001-step00000003.ckpt"


def test_a_training_checkpoint_of_format_1_is_refused_as_weights(train_checkpoint_v1):
    assert OLD_TRAIN_STATE_KEY == "mindvit.state"
    words = r"step00000003\.ckpt is a training checkpoint, which is for --resume only; use best\.ckpt or last\.ckpt"
    with pytest.raises(UserError, match=words):
        read_weights(train_checkpoint_v1)


def test_a_training_checkpoint_of_format_1_is_refused_for_resuming(train_checkpoint_v1):
    words = r"step00000003\.ckpt was written by mindvit 0\.1 \(training checkpoint format 1\), .* cannot resume"
    with pytest.raises(UserError, match=words):
        read_train_checkpoint(train_checkpoint_v1)

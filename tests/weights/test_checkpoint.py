import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from mindvit.classes import Classes
from mindvit.errors import UserError
from mindvit.models import Preprocessing, ViTConfig
from mindvit.weights.checkpoint import (
    TRAIN_STATE_KEY,
    is_checkpoint,
    read_checkpoint,
    read_tensors,
    write_checkpoint,
    write_tensors,
)
from mindvit.weights.metadata import CheckpointMetadata

METADATA = CheckpointMetadata(
    model_name="vit_ti_16_224",
    model=ViTConfig(image_size=32, preprocessing=Preprocessing(crop_pct=0.9, interpolation="bicubic")),
    classes=Classes(("n1", "n2"), ("Katze", "狗")),
    data_source="imagenet",
    data_path="dataset",
    epoch=3,
    metrics={"top1": 75.25, "loss": 1.5},
    origin="timm",
)


@pytest.fixture
def written(tmp_path):
    network = nn.Dense(200, 50, weight_init="normal")
    write_checkpoint(tmp_path / "a.ckpt", network, METADATA)
    return tmp_path / "a.ckpt", network


def test_weights_and_passport_come_back_as_they_were(written):
    path, network = written
    checkpoint = read_checkpoint(path)
    assert checkpoint.metadata == METADATA
    assert checkpoint.layout is None
    assert checkpoint.tensors.keys() == {"weight", "bias"}
    assert {type(values) for values in checkpoint.tensors.values()} == {np.ndarray}
    np.testing.assert_array_equal(checkpoint.tensors["weight"], network.weight.asnumpy())


def test_weights_given_by_name_keep_those_names(tmp_path):
    network = nn.Dense(2, 3, weight_init="normal")
    write_checkpoint(tmp_path / "a.ckpt", {"ours.weight": network.weight, "ours.bias": network.bias}, METADATA)
    checkpoint = read_checkpoint(tmp_path / "a.ckpt")
    assert checkpoint.metadata == METADATA
    assert checkpoint.tensors.keys() == {"ours.weight", "ours.bias"}
    np.testing.assert_array_equal(checkpoint.tensors["ours.weight"], network.weight.asnumpy())


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.int32, np.int64, np.bool_])
def test_tensors_of_every_kind_come_back_bit_by_bit(tmp_path, rng, dtype):
    values = (100 * rng.standard_normal((3, 4))).astype(dtype)
    scalar = np.array(values[0, 0])
    tensors = {"a.b": ms.Tensor(values), "scalar": ms.Parameter(ms.Tensor(scalar), name="another name")}
    write_tensors(tmp_path / "a.ckpt", tensors, {})
    found, texts = read_tensors(tmp_path / "a.ckpt")
    assert found.keys() == {"a.b", "scalar"}
    assert texts == {}
    for name, expected in (("a.b", values), ("scalar", scalar)):
        got = found[name].asnumpy()
        assert (got.dtype, got.shape) == (expected.dtype, expected.shape)
        assert got.tobytes() == expected.tobytes()


def test_texts_come_back_apart_from_the_tensors(tmp_path):
    given = {"one": '{"a": [1, null]}', "other": "Katze 狗", "empty": ""}
    write_tensors(tmp_path / "a.ckpt", {"weight": ms.Tensor(np.zeros(3, np.float32))}, given)
    tensors, texts = read_tensors(tmp_path / "a.ckpt")
    assert texts == given
    assert tensors.keys() == {"weight"}


def test_a_checkpoint_of_another_program_has_no_passport(tmp_path):
    ms.save_checkpoint(nn.Dense(2, 3), str(tmp_path / "a.ckpt"))
    checkpoint = read_checkpoint(tmp_path / "a.ckpt")
    assert checkpoint.metadata is None
    assert checkpoint.tensors.keys() == {"weight", "bias"}


@pytest.mark.parametrize("keep", [0, 10, 0.5, -3])
def test_a_truncated_checkpoint_is_named(written, keep):
    path, _ = written
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data)) if 0 < keep < 1 else keep])
    with pytest.raises(UserError, match=r"a\.ckpt is damaged"):
        read_checkpoint(path)


def test_a_flipped_bit_among_the_weights_is_noticed(written):
    path, _ = written
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"a\.ckpt is damaged"):
        read_checkpoint(path)


def test_a_foreign_file_is_named(tmp_path):
    (tmp_path / "a.ckpt").write_bytes(np.random.default_rng(0).bytes(3000))
    with pytest.raises(UserError, match=r"a\.ckpt is damaged, or is no MindSpore checkpoint"):
        read_checkpoint(tmp_path / "a.ckpt")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="cannot read"):
        read_checkpoint(tmp_path / "a.ckpt")


def test_a_checkpoint_that_cannot_be_written_leaves_nothing(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write"):
        write_checkpoint(tmp_path / "file/a.ckpt", nn.Dense(2, 3), METADATA)


def test_a_state_of_a_run_is_no_checkpoint(tmp_path):
    write_tensors(tmp_path / "s.ckpt", {"weight": ms.Tensor(np.zeros(3, np.float32))}, {TRAIN_STATE_KEY: "{}"})
    with pytest.raises(UserError, match=r"s\.ckpt is a state that a run goes on from"):
        read_checkpoint(tmp_path / "s.ckpt")


def test_checkpoints_are_told_from_other_formats_by_their_first_byte(written, tmp_path):
    assert is_checkpoint(written[0])
    np.savez(tmp_path / "x.npz", weight=np.zeros(3))
    assert not is_checkpoint(tmp_path / "x.npz")
    (tmp_path / "empty").touch()
    assert not is_checkpoint(tmp_path / "empty")


def test_a_passport_from_before_origins_were_kept_has_none():
    text = METADATA.to_json().replace(', "origin": "timm"', "")
    assert "origin" not in text
    assert CheckpointMetadata.from_json(text).origin is None


def test_a_passport_that_cannot_be_read_names_its_file(tmp_path):
    write_tensors(tmp_path / "a.ckpt", {"weight": ms.Tensor(np.zeros(3, np.float32))}, {"mindvit.metadata": "{"})
    with pytest.raises(UserError, match=r"a\.ckpt: its metadata cannot be read"):
        read_checkpoint(tmp_path / "a.ckpt")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "cannot be read"),
        ("{", "cannot be read"),
        ('{"format": 99}', "newer version"),
        ('{"format": 1}', "cannot be read"),
        (METADATA.to_json().replace('"depth"', '"deep"'), "deep"),
    ],
)
def test_a_passport_that_cannot_be_read_is_told_in_a_sentence(text, words):
    with pytest.raises(UserError, match=words):
        CheckpointMetadata.from_json(text)

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from mindvit.classes import Classes
from mindvit.errors import UserError
from mindvit.models import Preprocessing, ViTConfig
from mindvit.weights.checkpoint import TRAIN_STATE_KEY, read_checkpoint, write_checkpoint
from mindvit.weights.formats.ckpt import read_ckpt, starts_ckpt, write_ckpt
from mindvit.weights.metadata import CheckpointMetadata

METADATA = CheckpointMetadata(
    model_name="vit_ti_16_224",
    model=ViTConfig(image_size=32, num_classes=2, preprocessing=Preprocessing(crop_pct=0.9, interpolation="bicubic")),
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


def test_weights_and_metadata_are_restored_exactly(written):
    path, network = written
    checkpoint = read_checkpoint(path)
    assert checkpoint.metadata == METADATA
    assert checkpoint.layout is None
    assert checkpoint.tensors.keys() == {"weight", "bias"}
    assert {type(values) for values in checkpoint.tensors.values()} == {np.ndarray}
    np.testing.assert_array_equal(checkpoint.tensors["weight"], network.weight.asnumpy())


def test_weights_given_by_name_keep_their_names(tmp_path):
    network = nn.Dense(2, 3, weight_init="normal")
    write_checkpoint(tmp_path / "a.ckpt", {"ours.weight": network.weight, "ours.bias": network.bias}, METADATA)
    checkpoint = read_checkpoint(tmp_path / "a.ckpt")
    assert checkpoint.metadata == METADATA
    assert checkpoint.tensors.keys() == {"ours.weight", "ours.bias"}
    np.testing.assert_array_equal(checkpoint.tensors["ours.weight"], network.weight.asnumpy())


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.int32, np.int64, np.bool_])
def test_tensors_of_every_data_type_are_restored_bit_for_bit(tmp_path, rng, dtype):
    values = (100 * rng.standard_normal((3, 4))).astype(dtype)
    scalar = np.array(values[0, 0])
    tensors = {"a.b": ms.Tensor(values), "scalar": ms.Parameter(ms.Tensor(scalar), name="another name")}
    write_ckpt(tmp_path / "a.ckpt", tensors, {})
    found, texts = read_ckpt(tmp_path / "a.ckpt")
    assert found.keys() == {"a.b", "scalar"}
    assert texts == {}
    for name, expected in (("a.b", values), ("scalar", scalar)):
        got = found[name].asnumpy()
        assert (got.dtype, got.shape) == (expected.dtype, expected.shape)
        assert got.tobytes() == expected.tobytes()


def test_texts_and_tensors_are_separated(tmp_path):
    given = {"one": '{"a": [1, null]}', "other": "Katze 狗", "empty": ""}
    write_ckpt(tmp_path / "a.ckpt", {"weight": ms.Tensor(np.zeros(3, np.float32))}, given)
    tensors, texts = read_ckpt(tmp_path / "a.ckpt")
    assert texts == given
    assert tensors.keys() == {"weight"}


def test_a_checkpoint_of_another_program_has_no_metadata(tmp_path):
    ms.save_checkpoint(nn.Dense(2, 3), str(tmp_path / "a.ckpt"))
    checkpoint = read_checkpoint(tmp_path / "a.ckpt")
    assert checkpoint.metadata is None
    assert checkpoint.tensors.keys() == {"weight", "bias"}


@pytest.mark.parametrize("keep", [0, 10, 0.5, -3])
def test_a_truncated_checkpoint_is_reported(written, keep):
    path, _ = written
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data)) if 0 < keep < 1 else keep])
    with pytest.raises(UserError, match=r"a\.ckpt is corrupt"):
        read_checkpoint(path)


def test_a_flipped_bit_is_reported(written):
    path, _ = written
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"a\.ckpt is corrupt"):
        read_checkpoint(path)


def test_a_file_that_is_not_a_checkpoint_is_reported(tmp_path):
    (tmp_path / "a.ckpt").write_bytes(np.random.default_rng(0).bytes(3000))
    with pytest.raises(UserError, match=r"a\.ckpt is corrupt, or is not a MindSpore checkpoint"):
        read_checkpoint(tmp_path / "a.ckpt")


def test_a_missing_file_is_reported(tmp_path):
    with pytest.raises(UserError, match="cannot read"):
        read_checkpoint(tmp_path / "a.ckpt")


def test_a_checkpoint_that_cannot_be_written_is_reported(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write"):
        write_checkpoint(tmp_path / "file/a.ckpt", nn.Dense(2, 3), METADATA)


def test_a_training_checkpoint_is_refused(tmp_path):
    write_ckpt(tmp_path / "s.ckpt", {"weight": ms.Tensor(np.zeros(3, np.float32))}, {TRAIN_STATE_KEY: "{}"})
    with pytest.raises(UserError, match=r"s\.ckpt is a training checkpoint, which is for --resume only"):
        read_checkpoint(tmp_path / "s.ckpt")


def test_checkpoints_are_detected_by_their_first_byte(written, tmp_path):
    assert starts_ckpt(written[0].read_bytes())
    np.savez(tmp_path / "x.npz", weight=np.zeros(3))
    assert not starts_ckpt((tmp_path / "x.npz").read_bytes())
    assert not starts_ckpt(b"")


def test_unreadable_metadata_is_reported_with_the_file(tmp_path):
    write_ckpt(tmp_path / "a.ckpt", {"weight": ms.Tensor(np.zeros(3, np.float32))}, {"mindvit.metadata": "{"})
    with pytest.raises(UserError, match=r"a\.ckpt: its metadata cannot be read"):
        read_checkpoint(tmp_path / "a.ckpt")

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from mindvit.data.split import Classes
from mindvit.errors import UserError
from mindvit.models import Preprocessing, ViTConfig
from mindvit.weights.checkpoint import read_checkpoint, write_checkpoint
from mindvit.weights.passport import Passport

PASSPORT = Passport(
    model_name="vit_ti_16_224",
    model=ViTConfig(image_size=32, preprocessing=Preprocessing(crop_pct=0.9, interpolation="bicubic")),
    classes=Classes(("n1", "n2"), ("Katze", "狗")),
    data_source="imagenet",
    data_path="dataset",
    epoch=3,
    metrics={"top1": 75.25, "loss": 1.5},
)


@pytest.fixture
def written(tmp_path):
    network = nn.Dense(200, 50, weight_init="normal")
    write_checkpoint(tmp_path / "a.ckpt", network, PASSPORT)
    return tmp_path / "a.ckpt", network


def test_weights_and_passport_come_back_as_they_were(written):
    path, network = written
    checkpoint = read_checkpoint(path)
    assert checkpoint.passport == PASSPORT
    assert checkpoint.tensors.keys() == {"weight", "bias"}
    np.testing.assert_array_equal(checkpoint.tensors["weight"].asnumpy(), network.weight.asnumpy())


def test_a_checkpoint_of_another_program_has_no_passport(tmp_path):
    ms.save_checkpoint(nn.Dense(2, 3), str(tmp_path / "a.ckpt"))
    checkpoint = read_checkpoint(tmp_path / "a.ckpt")
    assert checkpoint.passport is None
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
        write_checkpoint(tmp_path / "file/a.ckpt", nn.Dense(2, 3), PASSPORT)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "cannot be read"),
        ("{", "cannot be read"),
        ('{"format": 99}', "newer version"),
        ('{"format": 1}', "cannot be read"),
        (PASSPORT.to_json().replace('"depth"', '"deep"'), "deep"),
    ],
)
def test_a_passport_that_cannot_be_read_is_told_in_a_sentence(text, words):
    with pytest.raises(UserError, match=words):
        Passport.from_json(text)

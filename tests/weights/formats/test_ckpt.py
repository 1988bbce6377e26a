import mindspore as ms
import numpy as np
import pytest
from mindspore.train.checkpoint_pb2 import Checkpoint, TensorProto

from mindvit.errors import UserError
from mindvit.weights.checkpoint import TRAIN_STATE_KEY
from mindvit.weights.formats.ckpt import read_ckpt, write_ckpt
from mindvit.weights.formats.read_arrays import read_arrays
from mindvit.weights.read import read_weights


def write(path, texts=None):
    values = np.array([[1.5, -2.25], [0, 100]], np.float32)
    tensors = {
        dtype: ms.Tensor(values).astype(getattr(ms, dtype)) for dtype in ("float32", "float16", "bfloat16", "int32")
    }
    write_ckpt(path, tensors, texts or {})
    return values


@pytest.mark.parametrize("name", ["w.ckpt", "w.bin", "w"])
def test_tensors_of_every_data_type_are_read_from_a_file_of_any_name(tmp_path, name):
    values = write(tmp_path / "w.ckpt")
    (tmp_path / "w.ckpt").rename(tmp_path / name)
    found = read_arrays(tmp_path / name)
    assert list(found) == ["float32", "float16", "bfloat16", "int32"]
    for dtype in ("float32", "float16", "bfloat16"):
        assert found[dtype].dtype == np.float32
        np.testing.assert_array_equal(found[dtype], values)
    np.testing.assert_array_equal(found["int32"], values.astype(np.int32), strict=True)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["w.ckpt", "w.bin"])
def test_a_truncated_checkpoint_is_reported(tmp_path, name):
    write(tmp_path / "w.ckpt")
    (tmp_path / name).write_bytes((tmp_path / "w.ckpt").read_bytes()[:50])
    with pytest.raises(UserError, match=rf"^{tmp_path / name} is corrupt"):
        read_arrays(tmp_path / name)


@pytest.mark.parametrize("name", ["w.ckpt", "w.bin"])
def test_a_training_checkpoint_is_refused_under_any_name(tmp_path, name):
    write(tmp_path / "w.ckpt", {TRAIN_STATE_KEY: "{}"})
    (tmp_path / "w.ckpt").rename(tmp_path / name)
    with pytest.raises(UserError, match="is a training checkpoint, which is for --resume only"):
        read_weights(tmp_path / name)


def entry(name, dtype, dims, data):
    return Checkpoint.Value(tag=name, tensor=TensorProto(dims=dims, tensor_type=dtype, tensor_content=data))


@pytest.mark.parametrize(
    ("dims", "size"),
    [
        ([4], 64),  # MindSpore would write 48 bytes beyond the array
        ([4], 640_000),
        ([4], 12),
        ([2**40], 16),
        ([-2, -2], 16),
        ([2**62, 4], 0),
        ([0, 2**40], 0),
        ([1] * 40, 4),
        ([0], 0),
    ],
)
def test_tensors_with_a_wrong_size_are_refused_before_mindspore_reads_them(tmp_path, monkeypatch, dims, size):
    content = Checkpoint(value=[entry("a", "Float32", [1], bytes(4)), entry("b", "Float32", dims, bytes(size))])
    (tmp_path / "w.ckpt").write_bytes(content.SerializeToString())
    monkeypatch.setattr(ms, "load_checkpoint", lambda *_, **__: pytest.fail("MindSpore read it"))
    with pytest.raises(UserError, match=r"w\.ckpt is corrupt, or is not a MindSpore checkpoint"):
        read_arrays(tmp_path / "w.ckpt")


def test_a_split_tensor_is_read(tmp_path):
    values = np.arange(6, dtype=np.float32)
    parts = [entry("a", "Float32", [2, 3], values[:4].tobytes()), entry("a", "Float32", [2, 3], values[4:].tobytes())]
    (tmp_path / "w.ckpt").write_bytes(Checkpoint(value=parts).SerializeToString())
    np.testing.assert_array_equal(read_arrays(tmp_path / "w.ckpt")["a"], values.reshape(2, 3), strict=True)


def test_a_text_with_numbers_that_are_no_characters_is_refused(tmp_path):
    text = entry("a", "str", [0], np.array([65, 0x29000041], np.uint32).tobytes())
    (tmp_path / "w.ckpt").write_bytes(Checkpoint(value=[text]).SerializeToString())
    with pytest.raises(UserError, match=r"w\.ckpt is corrupt, or is not a MindSpore checkpoint"):
        read_ckpt(tmp_path / "w.ckpt")


def test_unsupported_data_types_are_reported(tmp_path):
    content = Checkpoint(value=[entry("a", "Int4", [2], bytes(1))])
    (tmp_path / "w.ckpt").write_bytes(content.SerializeToString())
    with pytest.raises(UserError, match="has the unsupported data type Int4 in a; save it in float32"):
        read_arrays(tmp_path / "w.ckpt")

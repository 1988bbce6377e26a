import mindspore as ms
import numpy as np
import pytest
from mindspore.train.checkpoint_pb2 import Checkpoint, TensorProto

from mindvit.errors import UserError
from mindvit.weights.checkpoint import TRAIN_STATE_KEY, write_tensors
from mindvit.weights.formats.read_arrays import read_arrays


def write(path, texts=None):
    values = np.array([[1.5, -2.25], [0, 100]], np.float32)
    tensors = {
        kind: ms.Tensor(values).astype(getattr(ms, kind)) for kind in ("float32", "float16", "bfloat16", "int32")
    }
    write_tensors(path, tensors, texts or {})
    return values


@pytest.mark.parametrize("name", ["w.ckpt", "w.bin", "w"])
def test_tensors_of_every_kind_are_read_whatever_the_name(tmp_path, name):
    values = write(tmp_path / "w.ckpt")
    (tmp_path / "w.ckpt").rename(tmp_path / name)
    found = read_arrays(tmp_path / name)
    assert list(found) == ["float32", "float16", "bfloat16", "int32"]
    for kind in ("float32", "float16", "bfloat16"):
        assert found[kind].dtype == np.float32
        np.testing.assert_array_equal(found[kind], values)
    np.testing.assert_array_equal(found["int32"], values.astype(np.int32), strict=True)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["w.ckpt", "w.bin"])
def test_a_checkpoint_that_is_cut_off_is_named(tmp_path, name):
    write(tmp_path / "w.ckpt")
    (tmp_path / name).write_bytes((tmp_path / "w.ckpt").read_bytes()[:50])
    with pytest.raises(UserError, match=rf"^{tmp_path / name} is damaged"):
        read_arrays(tmp_path / name)


def test_a_state_of_a_run_is_no_file_of_weights(tmp_path):
    write(tmp_path / "w.ckpt", {TRAIN_STATE_KEY: "{}"})
    with pytest.raises(UserError, match="is a state that a run goes on from"):
        read_arrays(tmp_path / "w.ckpt")


def entry(name, kind, dims, data):
    return Checkpoint.Value(tag=name, tensor=TensorProto(dims=dims, tensor_type=kind, tensor_content=data))


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
def test_tensors_that_are_not_as_large_as_they_say_do_not_come_to_mindspore(tmp_path, monkeypatch, dims, size):
    content = Checkpoint(value=[entry("a", "Float32", [1], bytes(4)), entry("b", "Float32", dims, bytes(size))])
    (tmp_path / "w.ckpt").write_bytes(content.SerializeToString())
    monkeypatch.setattr(ms, "load_checkpoint", lambda *_, **__: pytest.fail("MindSpore read it"))
    with pytest.raises(UserError, match=r"w\.ckpt is damaged, or is no MindSpore checkpoint"):
        read_arrays(tmp_path / "w.ckpt")


def test_a_tensor_in_several_parts_is_read(tmp_path):
    values = np.arange(6, dtype=np.float32)
    parts = [entry("a", "Float32", [2, 3], values[:4].tobytes()), entry("a", "Float32", [2, 3], values[4:].tobytes())]
    (tmp_path / "w.ckpt").write_bytes(Checkpoint(value=parts).SerializeToString())
    np.testing.assert_array_equal(read_arrays(tmp_path / "w.ckpt")["a"], values.reshape(2, 3), strict=True)


def test_kinds_that_cannot_be_read_are_named(tmp_path):
    content = Checkpoint(value=[entry("a", "Int4", [2], bytes(1))])
    (tmp_path / "w.ckpt").write_bytes(content.SerializeToString())
    with pytest.raises(UserError, match="holds Int4 numbers in a, which cannot be read"):
        read_arrays(tmp_path / "w.ckpt")

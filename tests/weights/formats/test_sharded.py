import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from mindvit.errors import UserError
from mindvit.weights.formats.read_arrays import read_arrays

SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


def write_index(folder, weight_map):
    path = folder / "model.safetensors.index.json"
    path.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map}))
    return path


@pytest.fixture
def index(tmp_path):
    save_file({"a": np.ones(2, np.float16), "c": np.full(3, 3.0)}, tmp_path / SHARDS[0])
    save_file({"b": np.full(1, 2, np.float32)}, tmp_path / SHARDS[1])
    return write_index(tmp_path, {"a": SHARDS[0], "b": SHARDS[1], "c": SHARDS[0]})


def test_the_tensors_of_all_shards_are_read(index):
    found = read_arrays(index)
    assert {name: array.tolist() for name, array in found.items()} == {"a": [1, 1], "b": [2], "c": [3, 3, 3]}
    assert {array.dtype for array in found.values()} == {np.dtype(np.float32)}


def test_missing_shards_are_reported(index):
    (index.parent / SHARDS[1]).unlink()
    with pytest.raises(
        UserError, match=rf"index\.json needs 2 files in the same folder, of which 1 are missing: {SHARDS[1]}"
    ):
        read_arrays(index)


@pytest.mark.parametrize(
    "shard", ["../secret.safetensors", "/etc/passwd", "a/../../b", "..", "", ".", "..\\b", "C:b", "a\0b"]
)
def test_files_in_other_folders_are_not_opened(index, shard):
    save_file({"a": np.ones(2)}, index.parent.parent / "secret.safetensors")
    with pytest.raises(UserError, match="which is not a file in the same folder"):
        read_arrays(write_index(index.parent, {"a": shard}))


def test_a_corrupt_shard_is_reported(index):
    shard = index.parent / SHARDS[0]
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(UserError, match=rf"{SHARDS[0]} is corrupt"):
        read_arrays(index)


@pytest.mark.parametrize("content", [b"", b"x", b'{"weight_map": {}}', b"\x80\x02."])
def test_a_shard_of_another_format_is_reported(index, content):
    (index.parent / SHARDS[0]).write_bytes(content)
    with pytest.raises(UserError, match=rf"{SHARDS[0]} is corrupt, or is not a safetensors file"):
        read_arrays(index)


def test_a_tensor_missing_from_its_shard_is_reported(index):
    with pytest.raises(UserError, match=rf"{SHARDS[1]} has no tensor d, but .*index\.json lists it there"):
        read_arrays(write_index(index.parent, {"a": SHARDS[0], "d": SHARDS[1]}))


@pytest.mark.parametrize(
    "text", ['{"weight_map": {"a"', "{}", '{"weight_map": []}', '{"weight_map": {"a": 1}}', "{" + '"a":[' * 100_000]
)
def test_another_json_file_is_reported(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UserError, match=r"config\.json is not a complete index of a sharded model"):
        read_arrays(tmp_path / "config.json")


def test_an_empty_index_is_reported(tmp_path):
    with pytest.raises(UserError, match="has no tensors"):
        read_arrays(write_index(tmp_path, {}))

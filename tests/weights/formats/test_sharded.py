import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from mindvit.errors import UserError
from mindvit.weights.formats.read_arrays import read_arrays

PARTS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


def write_index(folder, places):
    path = folder / "model.safetensors.index.json"
    path.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": places}))
    return path


@pytest.fixture
def index(tmp_path):
    save_file({"a": np.ones(2, np.float16), "c": np.full(3, 3.0)}, tmp_path / PARTS[0])
    save_file({"b": np.full(1, 2, np.float32)}, tmp_path / PARTS[1])
    return write_index(tmp_path, {"a": PARTS[0], "b": PARTS[1], "c": PARTS[0]})


def test_the_tensors_of_all_parts_are_read(index):
    found = read_arrays(index)
    assert {name: array.tolist() for name, array in found.items()} == {"a": [1, 1], "b": [2], "c": [3, 3, 3]}
    assert {array.dtype for array in found.values()} == {np.dtype(np.float32)}


def test_parts_that_are_missing_are_named(index):
    (index.parent / PARTS[1]).unlink()
    with pytest.raises(UserError, match=rf"index\.json needs 2 files beside it, and 1 are missing: {PARTS[1]}"):
        read_arrays(index)


@pytest.mark.parametrize(
    "place", ["../secret.safetensors", "/etc/passwd", "a/../../b", "..", "", ".", "..\\b", "C:b", "a\0b"]
)
def test_files_elsewhere_are_not_opened(index, place):
    save_file({"a": np.ones(2)}, index.parent.parent / "secret.safetensors")
    with pytest.raises(UserError, match="which is not a file beside it"):
        read_arrays(write_index(index.parent, {"a": place}))


def test_a_damaged_part_is_named(index):
    part = index.parent / PARTS[0]
    part.write_bytes(part.read_bytes()[:-1])
    with pytest.raises(UserError, match=rf"{PARTS[0]} is damaged"):
        read_arrays(index)


@pytest.mark.parametrize("content", [b"", b"x", b'{"weight_map": {}}', b"\x80\x02."])
def test_a_part_of_another_format_is_named(index, content):
    (index.parent / PARTS[0]).write_bytes(content)
    with pytest.raises(UserError, match=rf"{PARTS[0]} is no safetensors file"):
        read_arrays(index)


def test_a_tensor_that_is_not_in_its_part_is_named(index):
    with pytest.raises(UserError, match=rf"{PARTS[1]} lacks d, which .*index\.json says is in it"):
        read_arrays(write_index(index.parent, {"a": PARTS[0], "d": PARTS[1]}))


@pytest.mark.parametrize(
    "text", ['{"weight_map": {"a"', "{}", '{"weight_map": []}', '{"weight_map": {"a": 1}}', "{" + '"a":[' * 100_000]
)
def test_another_json_is_told_in_a_sentence(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UserError, match=r"config\.json is no whole index of a model in several files"):
        read_arrays(tmp_path / "config.json")


def test_an_index_of_nothing_holds_no_tensors(tmp_path):
    with pytest.raises(UserError, match="holds no tensors"):
        read_arrays(write_index(tmp_path, {}))

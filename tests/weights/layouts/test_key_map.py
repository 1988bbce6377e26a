import numpy as np
import pytest

from mindvit.weights.layouts.key_map import KeyMap, KeyRule, dense, mindspore_norm, norm

TABLE = KeyMap(
    [
        KeyRule("token", "cls"),
        *dense("b.{}.fc", "layers.{}.dense"),
        *norm("b.{}.n", "layers.{}.norm"),
        *mindspore_norm("b.{}.m", "layers.{}.other"),
        *[KeyRule(f"b.{{}}.{letter}", "layers.{}.qkv", part=(index, 3)) for index, letter in enumerate("qkv")],
        KeyRule("old_token", "cls"),
        KeyRule("kernel", "weight", transform=np.transpose),
    ]
)
THEIRS = {
    "token": [9],
    "b.0.fc.weight": [1],
    "b.10.fc.bias": [2],
    "b.10.n.weight": [3],
    "b.10.n.bias": [4],
    "b.0.m.gamma": [5],
    "b.0.m.beta": [6],
    "b.3.q": [7, 8],
    "b.3.k": [9, 10],
    "b.3.v": [11, 12],
}
OURS = {
    "cls": [9],
    "layers.0.dense.weight": [1],
    "layers.10.dense.bias": [2],
    "layers.10.norm.gamma": [3],
    "layers.10.norm.beta": [4],
    "layers.0.other.gamma": [5],
    "layers.0.other.beta": [6],
    "layers.3.qkv": [7, 8, 9, 10, 11, 12],
}


def lists(arrays):
    return {name: values.tolist() for name, values in arrays.items()}


def arrays(lists):
    return {name: np.array(values) for name, values in lists.items()}


def test_tensors_are_renamed_and_parts_joined_in_any_order_of_the_file():
    assert lists(TABLE.to_ours(arrays(THEIRS))) == OURS
    assert lists(TABLE.to_ours(arrays(dict(reversed(THEIRS.items()))))) == OURS


def test_reading_and_writing_are_inverse():
    assert lists(TABLE.to_theirs(arrays(OURS))) == THEIRS


def test_of_two_names_the_first_is_written():
    assert lists(TABLE.to_ours(arrays({"old_token": [1]}))) == {"cls": [1]}
    assert lists(TABLE.to_theirs(arrays({"cls": [1]}))) == {"token": [1]}


def test_a_rule_with_a_transform_is_for_reading_only():
    assert lists(TABLE.to_ours({"kernel": np.array([[1, 2], [3, 4]])})) == {"weight": [[1, 3], [2, 4]]}
    with pytest.raises(ValueError, match="the layout has no name for weight"):
        TABLE.to_theirs({"weight": np.zeros(2)})


def test_only_whole_names_match():
    assert TABLE.knows("b.12.fc.weight")
    for name in ("xb.1.fc.weight", "b.1.fc.weight.x", "b.x.fc.weight", "b.1xfc.weight", "b..fc.weight"):
        assert not TABLE.knows(name)
        assert TABLE.to_ours({name: np.zeros(1)}) == {}


def test_a_tensor_under_two_names_is_refused():
    with pytest.raises(ValueError, match="old_token is a duplicate: the file has this tensor under two names"):
        TABLE.to_ours(arrays({"token": [1], "old_token": [1]}))


def test_a_missing_part_is_refused():
    with pytest.raises(ValueError, match=r"the file has only 2 of the 3 parts of layers\.3\.qkv"):
        TABLE.to_ours(arrays({"b.3.q": [1], "b.3.v": [1]}))


def test_at_most_five_unknown_tensors_are_named():
    with pytest.raises(ValueError, match=r"the layout has no name for a0, a1, a2, a3, a4$"):
        TABLE.to_theirs({f"a{index}": np.zeros(1) for index in range(7)})

from pathlib import Path

import pytest

from mindvit.errors import UserError
from mindvit.weights.formats.state_dict import PREFERRED, find_state_dict
from mindvit.weights.formats.torch_pickle import Storage, TensorView

PATH = Path("w.pth")


def tensor(key="0", shape=(2,)):
    return TensorView(Storage("float32", key, 2), 0, shape, (1,) * len(shape), "float32")


A, B, C = (tensor(key) for key in "abc")
COUNT = tensor("n", ())


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"a": A, "b.weight": B, "steps": COUNT}, {"a": A, "b.weight": B, "steps": COUNT}),
        ({"a": A, "epoch": 3, "name": "x", "log": [1, 2], "nothing": None}, {"a": A}),
        ({"weights": {"a": A, "n": 1}, "epoch": 3}, {"a": A}),
        ({"weights": {"a": A}, "best": COUNT}, {"a": A}),
        ({"a": A, "config": {"lr": 0.1}}, {"a": A}),
        ({"state_dict": {"a": A}, "model": {"b": B}}, {"b": B}),
        ({"model_ema": {"a": A}, "state_dict": {"b": B}}, {"b": B}),
        ({"encoder": {"a": A}, "decoder": {"a": B}, "net": {"c": C}, "d": A}, {"c": C}),
        ({"weights": {"a": A}, "optimizer": {"b": B}, "optimizer_g": {"b": B}}, {"a": A}),
        ({"weights": {"a": A}, "optimizer": {"state": {"b": {"exp_avg": B}}, "param_groups": [{"lr": 1}]}}, {"a": A}),
    ],
)
def test_the_state_dict_is_found(content, expected):
    assert find_state_dict(PATH, content) == expected


def test_preferred_keys_are_used_in_order():
    places = {key: {key: A} for key in reversed(PREFERRED)}
    for key in PREFERRED:
        assert list(find_state_dict(PATH, places)) == [key]
        del places[key]
    assert PREFERRED[:2] == ("model", "state_dict")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["module.a", "module.b.weight"], ["a", "b.weight"]),
        (["_orig_mod.a", "_orig_mod.b"], ["a", "b"]),
        (["module._orig_mod.a", "module._orig_mod.b"], ["a", "b"]),
        (["module.a", "b"], ["module.a", "b"]),
        (["modules.a", "modules.b"], ["modules.a", "modules.b"]),
    ],
)
def test_the_prefix_of_a_model_wrapper_is_removed(names, expected):
    assert list(find_state_dict(PATH, {"model": dict.fromkeys(names, A)})) == expected


@pytest.mark.parametrize(
    "content", [None, 3, "text", [A, B], A, {}, {"epoch": 1}, {"deep": {"deeper": {"a": A}}}, {"optimizer": {"a": A}}]
)
def test_content_without_named_tensors_is_reported(content):
    with pytest.raises(UserError, match=r"w\.pth has no named tensors; save model\.state_dict\(\) in it"):
        find_state_dict(PATH, content)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"encoder": {"a": A}, "decoder": {"a": B}}, r"several places \(decoder, encoder\); save"),
        ({"encoder": {"a": A}, "queue": B}, r"several places \(encoder and the top level\); save"),
    ],
)
def test_an_ambiguous_choice_is_reported(content, words):
    with pytest.raises(UserError, match=words):
        find_state_dict(PATH, content)


def test_a_dictionary_that_contains_itself_is_handled():
    content = {"a": A}
    content["self"] = content
    with pytest.raises(UserError, match="several places"):
        find_state_dict(PATH, content)

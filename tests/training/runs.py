"""What tests look at in the folder of a run."""

import json

import numpy as np

from mindvit.weights.checkpoint import read_checkpoint


def records(folder, event="epoch"):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["event"] == event]


def tensors(path):
    return read_checkpoint(path).tensors


def figures(folder):
    """What a run computed: the lines of metrics.jsonl without what is measured by the clock."""
    clock = {"images_per_second", "mfu", "train_seconds", "eval_seconds"}
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name not in clock} for line in lines]


def assert_same_weights(one, other):
    one, other = tensors(one), tensors(other)
    assert one.keys() == other.keys()
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name], err_msg=name)

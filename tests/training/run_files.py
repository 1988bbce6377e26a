"""What tests read from the folder of a run."""

import json

import numpy as np

from mindvit.weights.formats.ckpt import read_ckpt

CLOCK = {"images_per_second", "mfu", "train_seconds", "eval_seconds"}
"""Metrics that depend on the speed of the machine."""


def lines(folder, event="epoch"):
    """The lines of metrics.jsonl of one kind."""
    return [line for line in _all_lines(folder) if line["event"] == event]


def metrics_without_clock(folder):
    """All lines of metrics.jsonl, without the metrics that depend on the speed of the machine."""
    return [{name: value for name, value in line.items() if name not in CLOCK} for line in _all_lines(folder)]


def tensors(path):
    """The tensors of any .ckpt file, training checkpoints included."""
    return {name: tensor.asnumpy() for name, tensor in read_ckpt(path)[0].items()}


def assert_same_tensors(one, other):
    one, other = tensors(one), tensors(other)
    assert one.keys() == other.keys()
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name], err_msg=name)


def _all_lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]

"""Checkpoints of this project with crafted metadata or state."""

import json

from tests.fuzz.corpus.case import ACCEPTED
from tests.fuzz.targets.checkpoints import write_small_checkpoint, write_small_train_checkpoint
from tests.weights.formats.crafted_ckpt import read_texts, without_checksum


def _metadata(place=None, value=None, text=None):
    """A checkpoint whose metadata have another value at a dotted place, or another text."""

    def write(folder):
        path = folder / "x.ckpt"
        write_small_checkpoint(path)
        ((key, before),) = read_texts(path).items()
        stored = json.loads(before)
        if place:
            *parents, last = place.split(".")
            inner = stored
            for name in parents:
                inner = inner[name]
            inner[last] = value
        without_checksum(path, lambda _: {key: json.dumps(stored) if text is None else text})

    return write


_METADATA = {
    "unchanged": (ACCEPTED, _metadata()),
    "deep JSON": ("its metadata cannot be read", _metadata(text='{"model":' * 100_000)),
    "numbers that are no characters": ("is corrupt", _metadata(text=b"\x41\0\0\x29" * 9)),
    "unknown source": ("data_source must be one of", _metadata("data_source", "ftp")),
    "fewer classes than outputs": (
        "classes must be as many as",
        _metadata("classes", {"ids": ["n1"], "names": ["cat"]}),
    ),
    "depth is text": ("model.depth must be an integer", _metadata("model.depth", "12")),
    "depth of 2 to the 50": ("does not fit its tensors", _metadata("model.depth", 2**50)),
    "no heads": ("num_heads must be at least 1", _metadata("model.num_heads", 0)),
    "epsilon is NaN": ("model.norm_eps must be a finite number", _metadata("model.norm_eps", float("nan"))),
    "metrics are NaN": (ACCEPTED, _metadata("metrics", {"top1": float("nan")})),
    "escape sequences in class names": (ACCEPTED, _metadata("classes.names", ["\x1b[2J", "a\nb\u202e"])),
    "empty": ("is corrupt", _metadata(text="")),
}


def _state(**changes):
    def write(folder):
        path = write_small_train_checkpoint(folder)

        def change(texts):
            stored = json.loads(texts["mindvit.train_state"])
            return {**texts, "mindvit.train_state": json.dumps({**stored, **changes})}

        without_checksum(path, change)

    return write


_TRAIN_CHECKPOINTS = {
    "unchanged": (ACCEPTED, _state()),
    "no steps per epoch": ("is not a training checkpoint|corrupt", _state(steps_per_epoch=0)),
    "negative step": ("is not a training checkpoint|corrupt", _state(step=-1)),
    "format is text": ("is not a training checkpoint", _state(format="3")),
    "newer format": ("newer version", _state(format=99)),
}

TABLES = {
    "metadata": _METADATA,
    "train_checkpoints": _TRAIN_CHECKPOINTS,
}

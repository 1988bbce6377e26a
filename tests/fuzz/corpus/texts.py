"""Class names, configs beside weights, metrics of runs, and data."""

import json

from tests.fuzz.corpus.case import ACCEPTED, written


def _name(text):
    return written("name.txt", text.encode("utf-8", "surrogatepass"))


_NAMES = {
    "escape sequence": (ACCEPTED, _name("\x1b[2J\x1b]0;title\x07")),
    "line breaks": (ACCEPTED, _name("a\nb\r\x85\u2028c")),
    "direction": (ACCEPTED, _name("a\u202egnp.exe")),
    "not UTF-8": (ACCEPTED, _name("caf\udce9")),
    "very long": (ACCEPTED, _name("x" * 100_000)),
}


def _config(text):
    return written("config.json", text.encode())


_SIDECARS = {
    "deep JSON": ("cannot read", _config('{"a":' * 100_000)),
    "label is a number": ("id2label.0 must be a text", _config('{"id2label": {"0": 5}}')),
    "epsilon NaN": ("invalid values", _config('{"layer_norm_eps": NaN}')),
    "unsupported model": ("dinov2", _config('{"model_type": "dinov2"}')),
    "not an object": ("is not a JSON object", _config("[]")),
}


def _metrics(text):
    def write(folder):
        (folder / "run").mkdir()
        (folder / "run/metrics.jsonl").write_bytes(text)

    return write


_EPOCH = b'{"event": "epoch", "epoch": 1, "train_loss": 1.0, "lr": 0.1}\n'
_RUN_FOLDERS = {
    "metrics of null": (ACCEPTED, _metrics(_EPOCH.replace(b"1.0", b"null"))),
    "metrics end in a line": ("line 2 of .* is corrupt", _metrics(_EPOCH + _EPOCH[:20])),
    "metrics are text": ("line 1 of .*train_loss must be", _metrics(_EPOCH.replace(b"1.0", b'"x"'))),
    "metrics without event": ("line 1 of .* is corrupt", _metrics(b'{"epoch": 1}\n')),
    "metrics are bytes": ("line 1 of .* is corrupt", _metrics(b"\xff\xfe\0")),
}


def _cifar(names):
    def write(folder):
        for name in (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"):
            (folder / name).write_bytes(b"\1" + bytes(3072))
        (folder / "batches.meta.txt").write_bytes(names)

    return write


_CIFAR = {
    "names": (ACCEPTED, _cifar(b"cat dog")),
    "names are not UTF-8": ("batches.meta.txt is corrupt", _cifar(b"cat d\x81g")),
    "a name twice": ("batches.meta.txt is corrupt .*'cat' occurs twice", _cifar(b"cat cat")),
    "label without name": ("it has the label 1 but only 1 class names", _cifar(b"cat")),
}


def _manifest(checksum, shard_name="a"):
    """Shards whose checksums are something else."""
    shard = {"name": shard_name, "count": 1, "data": checksum, "index": checksum}
    classes = {"ids": ["a", "b"], "names": ["a", "b"]}
    stored = {"format": 1, "classes": classes, "flip": True, "fingerprint": "", "splits": {"all": [shard]}}

    def write(folder):
        (folder / "data/all").mkdir(parents=True)
        for name in ("a.mindrecord", "a.mindrecord.db"):
            (folder / "data/all" / name).write_bytes(b"x")
        (folder / "data/manifest.json").write_text(json.dumps(stored))

    return write


_MINDRECORD = {
    "no checksum": ("is not finished", _manifest(None)),
    "checksum is a number": ("manifest.json is corrupt", _manifest(0.0)),
    "checksum is empty": ("manifest.json is corrupt", _manifest({})),
    "shard name is no file name": ("is not a possible file name", _manifest({"num_bytes": 1, "sha256": ""}, "\ud800")),
    "shard is no MindRecord file": ("or its index is corrupt", _manifest({"num_bytes": 1, "sha256": ""})),
}

TABLES = {
    "names": _NAMES,
    "sidecars": _SIDECARS,
    "run_folders": _RUN_FOLDERS,
    "cifar": _CIFAR,
    "mindrecord": _MINDRECORD,
}

"""CIFAR's binary files."""

from mindvit.data.sources import open_source
from tests.fuzz.target import FileTarget

_RECORD = 3073


def _make_cifar(folder):
    data = folder / "cifar10"
    data.mkdir()
    for name in (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"):
        (data / name).write_bytes((b"\1" + bytes(_RECORD - 1)) * 2)
    (data / "batches.meta.txt").write_text("airplane\nautomobile\nbird\n")


def _check_cifar(folder):
    source = open_source("cifar10", str(folder))
    for split in (source.train, source.val):
        assert 0 <= split.labels.min() <= split.labels.max() < len(split.classes)
        assert split.read(len(split) - 1).size == (32, 32)
    assert str(source.fingerprint)


CIFAR = FileTarget("cifar", _check_cifar, _make_cifar, blocks=1)

import numpy as np
import pytest

from mindvit.data.cifar import open_cifar10, open_cifar100
from mindvit.errors import UserError

NAMES = [f"class{i}" for i in range(10)]


def write_cifar10(root, records=3):
    root.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]:
        values = rng.integers(0, 256, (records, 3073), np.uint8)
        values[:, 0] %= 10
        values.tofile(root / name)
    (root / "batches.meta.txt").write_text("\n".join(NAMES) + "\n\n")
    return root


def test_cifar10_is_read_as_documented(tmp_path):
    root = write_cifar10(tmp_path / "cifar-10-batches-bin")
    source = open_cifar10(tmp_path)
    assert (len(source.train), len(source.val)) == (15, 3)
    assert source.train.classes.names == tuple(NAMES)
    record = np.fromfile(root / "data_batch_2.bin", np.uint8).reshape(-1, 3073)[1]
    assert source.train.labels[4] == record[0]
    image = np.asarray(source.train.read(4))
    assert image.shape == (32, 32, 3)
    # 1,024 red bytes, then green, then blue, each row by row.
    assert image[5, 7].tolist() == [record[1 + channel * 1024 + 5 * 32 + 7] for channel in range(3)]


def test_cifar100_has_its_fine_classes(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("train.bin", "test.bin"):
        values = rng.integers(0, 256, (4, 3074), np.uint8)
        values[:, 0], values[:, 1] = 19, [7, 99, 0, 50]
        values.tofile(tmp_path / name)
    (tmp_path / "fine_label_names.txt").write_text("\n".join(f"fine{i}" for i in range(100)))
    source = open_cifar100(tmp_path)
    assert source.val.labels.tolist() == [7, 99, 0, 50]
    assert len(source.val.classes) == 100


def test_missing_files_are_reported(tmp_path):
    root = write_cifar10(tmp_path / "c")
    (root / "data_batch_3.bin").unlink()
    with pytest.raises(UserError, match=r"lacks data_batch_3\.bin"):
        open_cifar10(root)


def test_a_truncated_file_is_reported(tmp_path):
    root = write_cifar10(tmp_path / "c")
    data = (root / "test_batch.bin").read_bytes()
    (root / "test_batch.bin").write_bytes(data[:-1])
    with pytest.raises(UserError, match=r"test_batch\.bin is corrupt"):
        open_cifar10(root)


def test_a_label_without_a_name_is_refused(tmp_path):
    root = write_cifar10(tmp_path / "c")
    values = np.zeros((1, 3073), np.uint8)
    values[0, 0] = 10
    values.tofile(root / "test_batch.bin")
    with pytest.raises(UserError, match="label 10 but only 10 class names"):
        open_cifar10(root)

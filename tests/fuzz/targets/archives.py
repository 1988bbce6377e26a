"""Zip archives, checked and extracted."""

import zipfile

from mindvit.download.archive import check_zip, extract_zip
from tests.fuzz.mutations import mutated_zip
from tests.fuzz.target import FileTarget, mutate_a_file

MAX_BYTES = 2_000_000


def _make_seeds(folder):
    for name, compression in (("stored", zipfile.ZIP_STORED), ("deflated", zipfile.ZIP_DEFLATED)):
        (folder / name).mkdir()
        with zipfile.ZipFile(folder / name / "x.zip", "w", compression) as archive:
            archive.mkdir("dataset")
            for member in ("dataset/train/n1/a.jpg", "dataset/train/n2/b.jpg", "dataset/val/n1/c 狗.jpg"):
                archive.writestr(member, b"an image " * 20)


def _mutate(folder, rng):
    path = folder / "x.zip"
    if rng.random() < 0.5:
        path.write_bytes(mutated_zip(path.read_bytes(), rng))
    else:
        mutate_a_file(folder, rng)


def _check(folder):
    before = set(folder.iterdir())
    try:
        check_zip(folder / "x.zip", MAX_BYTES)
        extract_zip(folder / "x.zip", folder / "out")
        extracted = list((folder / "out").rglob("*"))
        assert not any(path.is_symlink() for path in extracted)
        assert any(path.is_file() for path in extracted)
        assert sum(path.stat().st_size for path in extracted if path.is_file()) <= MAX_BYTES
    finally:
        assert set(folder.iterdir()) - before <= {folder / "out"}


ARCHIVES = FileTarget("archives", _check, _make_seeds, _mutate, blocks=4)

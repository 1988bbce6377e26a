import subprocess

import numpy as np
import pytest
from PIL import Image

from mindvit.data.mindrecord.converter import MindRecordSettings, convert_to_mindrecord


def write_images(root, splits=("train", "val"), classes=("cat", "dog", "emu"), counts=(5, 4, 2)):
    """Writes an image folder with different formats, sizes and unusual names. All images differ."""
    rng = np.random.default_rng(0)
    file_names = ["0.png", "1.jpg", "an 'odd' \"name\"; 狗.webp", "rotated.JPG", "z.gif"]
    for split in splits:
        for name, count in zip(classes, counts, strict=True):
            folder = root / split / name
            folder.mkdir(parents=True)
            for file in file_names[:count]:
                height, width = rng.integers(9, 20, 2)
                image = Image.fromarray(rng.integers(0, 256, (height, width, 3)).astype(np.uint8))
                exif = image.getexif()
                exif[0x0112] = 6 if file.startswith("rotated") else 1
                image.save(folder / file, exif=exif)
    return root


def convert(root, output, **settings):
    """Converts in this process, unless ``settings`` has another num_workers."""
    flags = {name: settings.pop(name) for name in ("overwrite", "download") if name in settings}
    settings = {"path": str(root), "num_workers": 1, **settings}
    convert_to_mindrecord(MindRecordSettings(output=str(output), **settings), **flags)
    return output


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    """An image folder. Tests must not change it."""
    return write_images(tmp_path_factory.mktemp("images") / "A folder?")


@pytest.fixture(scope="session")
def shards(images, tmp_path_factory):
    """The conversion of ``images``: 11 images per split in 3 shards. Tests must not change it."""
    return convert(images, tmp_path_factory.mktemp("shards") / "out? 100%", shards=3)


@pytest.fixture
def copy(shards, tmp_path):
    """A copy of the conversion that a test may change."""
    # shutil would write out the holes of the sparse shard files.
    subprocess.run(["cp", "-r", "--sparse=always", shards, tmp_path / "out"], check=True)
    return tmp_path / "out"

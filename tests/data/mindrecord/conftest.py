import subprocess

import numpy as np
import pytest
from PIL import Image

from mindvit.data.mindrecord.converter import MindRecordSettings, convert_to_mindrecord


def write_images(root, splits=("train", "val"), classes=("cat", "dog", "emu"), counts=(5, 4, 2)):
    """An image folder whose files are of all kinds, sizes and names, and all different."""
    rng = np.random.default_rng(0)
    kinds = ["0.png", "1.jpg", "an 'odd' \"name\"; 狗.webp", "turned.JPG", "z.gif"]
    for split in splits:
        for name, count in zip(classes, counts, strict=True):
            folder = root / split / name
            folder.mkdir(parents=True)
            for kind in kinds[:count]:
                height, width = rng.integers(9, 20, 2)
                image = Image.fromarray(rng.integers(0, 256, (height, width, 3)).astype(np.uint8))
                exif = image.getexif()
                exif[0x0112] = 6 if kind.startswith("turned") else 1
                image.save(folder / kind, exif=exif)
    return root


def convert(root, output, **settings):
    """Converts in this process, unless ``settings`` say otherwise."""
    flags = {name: settings.pop(name) for name in ("overwrite", "download") if name in settings}
    settings = {"path": str(root), "num_workers": 1, **settings}
    convert_to_mindrecord(MindRecordSettings(output=str(output), **settings), **flags)
    return output


@pytest.fixture(scope="session")
def random_images(tmp_path_factory):
    """An image folder; not to be changed."""
    return write_images(tmp_path_factory.mktemp("images") / "Ein Ordner?")


@pytest.fixture(scope="session")
def shards(images, tmp_path_factory):
    """Its conversion, 11 images a split in 3 shards; not to be changed."""
    return convert(images, tmp_path_factory.mktemp("shards") / "out? 100%", shards=3)


@pytest.fixture
def copy(shards, tmp_path):
    """The conversion, to be broken or gone on with."""
    # shutil would fill the holes of each shard.
    subprocess.run(["cp", "-r", "--sparse=always", shards, tmp_path / "out"], check=True)
    return tmp_path / "out"

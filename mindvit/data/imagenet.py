"""ImageNet (ILSVRC2012), complete or a subset, in the folder layout of the ViT tutorial."""

from functools import cache
from importlib import resources
from pathlib import Path

from mindvit.classes import Classes
from mindvit.data.folder import read_source
from mindvit.data.split import Source
from mindvit.download.published import TUTORIAL_DATA, download_archive
from mindvit.errors import UserError

DEFAULT_PATH = Path("dataset")
_META = Path("ILSVRC2012_devkit_t12/data/meta.mat")


def open_imagenet(path: Path, download: bool = False) -> Source:
    """Opens ``path/{train,val}/<WordNet id>/<image>``, or the folder of one split, as ``open_folder``.

    A label is the index of the class among all 1,000, also for a subset of ImageNet.

    Class names come from ``path/ILSVRC2012_devkit_t12/data/meta.mat``. If that file is missing, they come from the list
    in this package.

    Args:
        path: the folder.
        download: whether to download the ViT tutorial's subset (489.1 MB) if the folder does not exist.

    Raises:
        UserError: if the folder is missing or has another layout; the message says how to get the tutorial's subset.
    """
    path = Path(path)
    if not path.is_dir():
        if not download:
            raise UserError(
                f"the ImageNet folder {path} does not exist; set --data.path to the folder with train/ and val/, "
                f"or download the tutorial's subset ({TUTORIAL_DATA.size}) into it with --download true"
            )
        download_archive(TUTORIAL_DATA, path)
    classes = read_meta(path / _META) if (path / _META).is_file() else imagenet_classes()
    roots = [path / name for name in ("train", "val") if (path / name).is_dir()] or [path]
    if not any((root / name).is_dir() for root in roots for name in classes.ids):
        raise UserError(
            f"{path} has no images of ImageNet: no train/ or val/ with one folder per WordNet id (n01440764, …). "
            f"Set --data.path to a folder that has, or download the tutorial's subset ({TUTORIAL_DATA.size}) to a new "
            f"one with --data.path {path / 'imagenet'} --download true; for other classes set --data.source folder"
        )
    return read_source(path, classes)


def read_meta(path: Path) -> Classes:
    """Reads the class names from ``meta.mat`` of the development kit.

    The rows of its array ``synsets`` without children are the 1,000 classes. They are sorted by WordNet id. The class
    name is the first of the comma-separated words of a row.

    Raises:
        UserError: if the file is not a class list of this kind.
    """
    from scipy.io import loadmat  # The import takes half a second, and only ImageNet needs it.

    try:
        synsets = loadmat(path, squeeze_me=True, struct_as_record=True)["synsets"]
        leaves = sorted(
            (str(row["WNID"]), str(row["words"]).split(",")[0]) for row in synsets if row["num_children"] == 0
        )
    except Exception as error:  # scipy raises many exception types for other or truncated files.
        raise UserError(f"{path} is not the class list of the ILSVRC2012 development kit: {error}") from error
    return _classes(leaves)


@cache
def imagenet_classes() -> Classes:
    """The 1,000 classes from the list in this package: WordNet ids, and the first WordNet word of each as its name."""
    text = resources.files(__package__).joinpath("imagenet_classes.tsv").read_text(encoding="utf-8")
    return _classes([(wnid, words.split(",")[0]) for wnid, words in (line.split("\t") for line in text.splitlines())])


def _classes(rows: list[tuple[str, str]]) -> Classes:
    return Classes(ids=tuple(wnid for wnid, _ in rows), names=tuple(name for _, name in rows))

"""ImageNet (ILSVRC2012), whole or a part of it, in the layout of the ViT tutorial's archive."""

from functools import cache
from importlib import resources
from pathlib import Path

from mindvit.classes import Classes
from mindvit.data.folder import read_source
from mindvit.data.split import Source
from mindvit.download import TUTORIAL_DATA, download_archive
from mindvit.errors import UserError

DEFAULT_PATH = Path("dataset")
_META = Path("ILSVRC2012_devkit_t12/data/meta.mat")


def open_imagenet(path: Path, download: bool = False) -> Source:
    """Opens ``path/{train,val}/<WordNet id>/<image>``, or one split's folder, as ``open_folder`` does.

    The label is the class's place among all 1,000.

    Class names come from ``path/ILSVRC2012_devkit_t12/data/meta.mat`` where it is there, else from the list that the
    package carries. A part of ImageNet keeps the labels of the whole.

    Args:
        path: the folder.
        download: whether to fetch the tutorial's subset (489.1 MB) where the folder does not exist.

    Raises:
        UserError: if the folder is missing or not laid out as above.
    """
    path = Path(path)
    if not path.is_dir():
        if not download:
            raise UserError(
                f"there is no ImageNet in {path}; set --data.path to the folder that holds train/ and val/, "
                f"or fetch the tutorial's subset ({TUTORIAL_DATA.size}) into it with --download true"
            )
        download_archive(TUTORIAL_DATA, path)
    classes = read_meta(path / _META) if (path / _META).is_file() else imagenet_classes()
    if not any((path / name).is_dir() for name in ("train", "val", *classes.ids)):
        raise UserError(f"{path} has neither train/ nor val/; each must hold one folder per WordNet id (n01440764, …)")
    return read_source(path, classes)


def read_meta(path: Path) -> Classes:
    """Reads the class names from the development kit's ``meta.mat``.

    Of its structure ``synsets``, the rows with no children are the 1,000 classes; they are sorted by WordNet id, and
    the first of a row's comma-separated words is the name.

    Raises:
        UserError: if the file is not such a file.
    """
    from scipy.io import loadmat  # Takes half a second to import, and only ImageNet needs it.

    try:
        synsets = loadmat(path, squeeze_me=True, struct_as_record=True)["synsets"]
        leaves = sorted(
            (str(row["WNID"]), str(row["words"]).split(",")[0]) for row in synsets if row["num_children"] == 0
        )
    except Exception as error:  # scipy raises many kinds on a foreign or truncated file
        raise UserError(f"{path} is not the class list of the ILSVRC2012 development kit: {error}") from error
    return _classes(leaves)


@cache
def imagenet_classes() -> Classes:
    """The 1,000 classes as the package carries them: WordNet ids, and the first of WordNet's words for each."""
    text = resources.files(__package__).joinpath("imagenet_classes.tsv").read_text(encoding="utf-8")
    return _classes([(wnid, words.split(",")[0]) for wnid, words in (line.split("\t") for line in text.splitlines())])


def _classes(rows: list[tuple[str, str]]) -> Classes:
    return Classes(ids=tuple(wnid for wnid, _ in rows), names=tuple(name for _, name in rows))

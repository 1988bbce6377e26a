"""The available data sources, by name."""

import errno
from functools import partial
from pathlib import Path

from mindvit.data.cifar import open_cifar10, open_cifar100
from mindvit.data.digits import DEFAULT_PATH as DIGITS_PATH
from mindvit.data.digits import open_digits
from mindvit.data.folder import open_folder
from mindvit.data.holdout import hold_out
from mindvit.data.imagenet import DEFAULT_PATH as IMAGENET_PATH
from mindvit.data.imagenet import open_imagenet
from mindvit.data.labels_file import open_labels
from mindvit.data.mindrecord.reader import open_mindrecord
from mindvit.data.settings import SourceName
from mindvit.data.split import Source
from mindvit.errors import UserError
from mindvit.printable import printable

DEFAULT_PATHS: dict[SourceName, Path] = {"digits": DIGITS_PATH, "imagenet": IMAGENET_PATH}


def open_source(
    name: SourceName,
    path: str | None,
    download: bool = False,
    labels: str | None = None,
    val_fraction: float | None = None,
    split_seed: int = 0,
) -> Source:
    """Opens a data source.

    Args:
        name: name of the source.
        path: folder of the source. None selects the default folder of digits and imagenet.
        download: whether to download missing data, if they are published (the ImageNet subset of the ViT tutorial).
        labels: CSV file with the labels of a folder of images, as ``open_labels``.
        val_fraction: fraction of the images to hold out for validation, as ``hold_out``. None holds out none.
        split_seed: seed of this choice.

    Raises:
        UserError: if the data are missing, cannot be read or have another folder layout; if the source takes no
            labels; or as ``hold_out``.
    """
    if path is None and name not in DEFAULT_PATHS:
        raise UserError(f"the source {name} needs --data.path, the folder with the images")
    folder = Path(path or DEFAULT_PATHS[name])
    if labels is not None and name != "folder":
        raise UserError(f"data.labels is for data.source folder; the source {name} has its own labels")
    openers = {
        "folder": open_folder if labels is None else partial(open_labels, labels=labels),
        "imagenet": partial(open_imagenet, download=download),
        "cifar10": open_cifar10,
        "cifar100": open_cifar100,
        "digits": open_digits,
        "mindrecord": open_mindrecord,
    }
    try:
        source = openers[name](folder)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        where = printable(str(error.filename or folder), 200)
        raise UserError(f"cannot read the data at {where}: {error.strerror or error}") from error
    return source if val_fraction is None else hold_out(source, val_fraction, split_seed)

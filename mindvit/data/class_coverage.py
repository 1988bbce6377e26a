"""Notes on classes that have no images where others have some, so that no metric is taken for more than it is."""

import warnings

from mindvit.data.split import Source, Split
from mindvit.printable import first_names


def note_missing_in_splits(source: Source) -> None:
    """Warns of classes that have images in one of train and val, but not in the other."""
    if source.train is None or source.val is None:
        return
    in_train, in_val = (split.ids_with_images for split in (source.train, source.val))
    in_one_folder = source.train.origin == source.val.origin
    for name, split, missing, effect in (
        ("val", source.val, in_train - in_val, "the metrics of val do not cover them"),
        ("train", source.train, in_val - in_train, "val expects them, but nothing is learned about them"),
    ):
        if missing:
            where = f"the {name} split of {split.origin}" if in_one_folder else split.origin
            warnings.warn(f"{where} has no images of {_counted(missing)}; {effect}", stacklevel=2)


def note_not_evaluated(split: Split) -> None:
    """Warns of classes of a network that have no images in the split that it is evaluated on.

    Args:
        split: the split, with the classes of the network.
    """
    missing = set(split.classes.ids) - split.ids_with_images
    if missing:
        warnings.warn(
            f"{split.origin} has no images of {_counted(missing)}, of the {len(split.classes):,} of the model; "
            "the metrics do not cover them",
            stacklevel=2,
        )


def _counted(ids: set[str]) -> str:
    return f"{len(ids):,} {'class' if len(ids) == 1 else 'classes'} ({first_names(sorted(ids))})"

"""The data that a checkpoint is evaluated on, with the labels of its outputs."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mindvit.data.class_coverage import note_not_evaluated
from mindvit.data.holdout import hold_out
from mindvit.data.labels_file import find_labels
from mindvit.data.settings import EvalDataSettings
from mindvit.data.sources import open_source
from mindvit.data.split import Source, Split
from mindvit.errors import UserError
from mindvit.printable import first_names
from mindvit.weights.metadata import CheckpointMetadata

_SHOWN = 10
"""Class names in a note."""


@dataclass(frozen=True)
class EvalData:
    """The data of an evaluation."""

    whole: Split
    """The split of the source."""
    chosen: Split
    """The images of the chosen classes."""
    labelled: Split
    """The chosen images, with the labels of the network's outputs."""
    on_training_images: bool
    """Whether the network was trained on images of this split."""

    def omitted_classes(self) -> dict[str, Any]:
        """The classes of the split that are not evaluated, and the number of their images; JSON values."""
        if len(self.whole) == len(self.chosen):
            return {}
        others = tuple(name for name in self.whole.classes.ids if name not in self.chosen.classes.ids)
        return {"images_of_other_classes": len(self.whole) - len(self.chosen), "other_classes": others}


def open_eval_data(data: EvalDataSettings, metadata: CheckpointMetadata, name: str, download: bool) -> EvalData:
    """Opens the data to evaluate a checkpoint on. Warns if they say less about it than one may expect.

    Args:
        data: the settings.
        metadata: the metadata of the checkpoint.
        name: name of the checkpoint, for messages.
        download: whether to download published data that are missing.

    Raises:
        UserError: if the data are missing, or have classes that the checkpoint was not trained on.
    """
    source, path = _source_and_path(data, metadata)
    is_same = path is not None and _is_data_of_training(data, path, metadata)
    labels = data.labels or (metadata.data_labels if is_same and source == "folder" else None)
    opened = _with_val(open_source(source, path, download, labels), data, metadata, is_same)
    whole = getattr(opened, data.split)
    if whole is None:
        where = path or (opened.train or opened.val or opened.test).origin
        raise UserError(f"{where} has no {data.split} split; choose another split with data.split")
    chosen = _choose_classes(whole, data.classes, metadata)
    labelled = _labelled(chosen, name, metadata)
    if data.classes is None:
        note_not_evaluated(labelled)
    seen = _is_of_training(opened, whole, path, metadata) and (data.labels is None or is_same)
    seen |= is_same and data.val_fraction is not None and not _holds_out_as_in_training(data, metadata)
    if seen:
        warnings.warn(
            f"{whole.origin}: these are the images that the checkpoint was trained on, so the metrics do not tell how "
            "it does on others; set --data.path to other images",
            stacklevel=2,
        )
    return EvalData(whole, chosen, labelled, seen)


def _source_and_path(data: EvalDataSettings, metadata: CheckpointMetadata) -> tuple[str, str | None]:
    if data.source is not None:
        return data.source, data.path or (metadata.data_path if metadata.data_source == data.source else None)
    if data.path is None:
        return metadata.data_source, metadata.data_path
    is_folder = metadata.data_source in ("folder", "digits")
    return ("folder" if is_folder else metadata.data_source), data.path


def _is_data_of_training(data: EvalDataSettings, path: str, metadata: CheckpointMetadata) -> bool:
    """Whether the folder, and the CSV file with its labels, are those that the checkpoint was trained on."""
    if metadata.data_path is None or not _is_same_path(Path(path), Path(metadata.data_path)):
        return False
    if data.labels is None or metadata.data_labels is None:
        return data.labels is None
    return _is_same_path(*(find_labels(Path(path), labels) for labels in (data.labels, metadata.data_labels)))


def _with_val(source: Source, data: EvalDataSettings, metadata: CheckpointMetadata, is_same: bool) -> Source:
    """The source with the val split that the settings or, for the data of training, the checkpoint asks for."""
    if data.val_fraction is not None:
        seed = data.split_seed if data.split_seed is not None else metadata.split_seed
        return hold_out(source, data.val_fraction, seed or 0)
    if metadata.val_fraction is None or not source.is_unsplit:
        return source
    is_equal = str(source.train.fingerprint()) == metadata.divided_data
    if not is_same and not is_equal:
        return source
    if not is_equal:
        warnings.warn(
            f"{source.train.origin} has other images than in training, so data.val_fraction may hold out others too, "
            "and the checkpoint may have been trained on some of them",
            stacklevel=3,
        )
    elif not is_same:
        warnings.warn(
            f"{source.train.origin} has the file names of the training data; {data.split} is the split that "
            "data.val_fraction made of them",
            stacklevel=3,
        )
    return hold_out(source, metadata.val_fraction, metadata.split_seed)


def _holds_out_as_in_training(data: EvalDataSettings, metadata: CheckpointMetadata) -> bool:
    return data.val_fraction == metadata.val_fraction and data.split_seed in (None, metadata.split_seed)


def _choose_classes(split: Split, chosen: tuple[str, ...] | None, metadata: CheckpointMetadata) -> Split:
    """The images of the classes in the settings; by default of the class subset that the checkpoint was trained on."""
    if chosen is None and metadata.is_class_subset and metadata.classes is not None:
        present = split.ids_with_images
        chosen = tuple(name for name in metadata.classes.ids if name in present)
    return split.select_classes(chosen) if chosen else split


def _labelled(split: Split, name: str, metadata: CheckpointMetadata) -> Split:
    """The split with the labels of the network's outputs."""
    if metadata.classes is not None:
        return split.relabel(metadata.classes)
    outputs = metadata.model.num_classes
    if len(split.classes) != outputs:
        raise UserError(f"{split.origin} has {len(split.classes)} classes, but {name} has {outputs} classes")
    warnings.warn(
        f"{name} has no class names, so its outputs are taken for the classes of {split.origin} in sorted order: "
        f"{first_names(split.classes.ids, _SHOWN)}",
        stacklevel=2,
    )
    return split


def _is_of_training(source: Source, split: Split, path: str | None, metadata: CheckpointMetadata) -> bool:
    """Whether a split has the images that the checkpoint was trained on.

    The folder of its metadata may have the folder ``train``, and either of the two may be the one that is evaluated.
    """
    if metadata.data_path is None or split is not source.train:
        return False
    trained = Path(metadata.data_path)
    return any(
        _is_same_path(place, Path(other))
        for place in (trained, trained / "train")
        for other in (split.origin, path)
        if other is not None
    )


def _is_same_path(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except (OSError, ValueError):  # The folder of the metadata may be on another machine.
        return False

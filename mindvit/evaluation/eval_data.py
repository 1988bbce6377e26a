"""The data that a checkpoint is evaluated on, with the labels of its outputs."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mindvit.data.class_coverage import note_not_evaluated
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
    opened = open_source(source, path, download)
    whole = getattr(opened, data.split)
    if whole is None:
        where = path or (opened.train or opened.val).origin
        raise UserError(f"{where} has no {data.split} split; choose the other split with data.split")
    chosen = _choose_classes(whole, data.classes, metadata)
    labelled = _labelled(chosen, name, metadata)
    if data.classes is None:
        note_not_evaluated(labelled)
    seen = _is_of_training(opened, whole, path, metadata)
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
        _is_same_folder(place, Path(other))
        for place in (trained, trained / "train")
        for other in (split.origin, path)
        if other is not None
    )


def _is_same_folder(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except (OSError, ValueError):  # The folder of the metadata may be on another machine.
        return False

"""What the command check-data has found, as a table and as JSON."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mindvit.data.check.duplicates import DuplicateGroup, find_duplicates
from mindvit.data.check.image_scan import ScannedImage
from mindvit.data.class_balance import describe_balance, images_per_class, imbalance_ratio
from mindvit.data.split import Split
from mindvit.printable import first_names, printable

_MAX_CLASSES = 20
"""Classes in the table; of more, the largest and the smallest ones are shown."""
_SHOWN = 3
"""Files named in a row of the table. The JSON has all of them."""
_MAX_NAME = 32
"""Characters of a class name in the table."""


@dataclass(frozen=True)
class CorruptImage:
    """An image that cannot be decoded."""

    split: str
    label: str
    """Id of its class."""
    file: str
    error: str


@dataclass(frozen=True)
class DataReport:
    """The facts about a data set."""

    splits: dict[str, Split]
    """The splits that exist, by name: train, val, test."""
    folder: str
    """Folder of the data, which the table leaves out of the names of files."""
    scans: dict[str, list[ScannedImage]] = field(default_factory=dict)
    """What decoding the images has shown, by split; empty if they were not decoded."""
    corrupt: list[CorruptImage] = field(init=False)
    duplicates: list[DuplicateGroup] = field(init=False)

    def __post_init__(self) -> None:
        corrupt = [
            CorruptImage(name, split.classes.ids[split.labels[index]], split.describe(index), image.error)
            for name, split in self.splits.items()
            for index, image in enumerate(self.scans.get(name, ()))
            if image.error is not None
        ]
        object.__setattr__(self, "corrupt", corrupt)
        object.__setattr__(self, "duplicates", find_duplicates(self.splits, self.scans))

    @property
    def leaks(self) -> list[DuplicateGroup]:
        """Images that are in more than one split."""
        return [group for group in self.duplicates if group.is_leak]

    @property
    def conflicts(self) -> list[DuplicateGroup]:
        """Images that are in more than one class."""
        return [group for group in self.duplicates if group.has_several_labels]

    @property
    def sizes(self) -> np.ndarray:
        """Width and height of every image that can be decoded, int64 (num_images, 2)."""
        found = [image.size for images in self.scans.values() for image in images if image.size is not None]
        return np.array(found, np.int64).reshape(-1, 2)

    def without_images(self, name: str) -> list[str]:
        """Ids of the classes that have images in another split, but not in this one."""
        present = set().union(*(split.ids_with_images for split in self.splits.values()))
        return sorted(present - self.splits[name].ids_with_images)

    def to_json(self) -> dict[str, Any]:
        """All facts as JSON values."""
        content: dict[str, Any] = {
            "classes": list(next(iter(self.splits.values())).classes.ids),
            "splits": {name: self._split_to_json(name) for name in self.splits},
        }
        if self.scans:
            content["image_sizes"] = self._sizes_to_json()
            content["corrupt_images"] = [vars(image) for image in self.corrupt]
            content["duplicates"] = [group.to_json() for group in self.duplicates]
        return content

    def table(self) -> str:
        """The facts, for the screen."""
        return "\n".join([*self._class_rows(), *(f"{key:<10} {value}" for key, value in self._rows())])

    def _split_to_json(self, name: str) -> dict[str, Any]:
        split = self.splits[name]
        counts = images_per_class(split)
        return {
            "num_images": len(split),
            "images_per_class": dict(zip(split.classes.ids, counts.tolist(), strict=True)),
            "imbalance_ratio": imbalance_ratio(counts),
            "classes_without_images": self.without_images(name),
        }

    def _sizes_to_json(self) -> dict[str, Any]:
        sizes = self.sizes
        if not len(sizes):
            return {}
        facts = {"min": sizes.min(0), "median": np.median(sizes, axis=0), "max": sizes.max(0)}
        return {
            side: {name: float(values[column]) for name, values in facts.items()}
            for column, side in enumerate(("width", "height"))
        }

    def _class_rows(self) -> Iterator[str]:
        counts = {name: images_per_class(split) for name, split in self.splits.items()}
        classes = next(iter(self.splits.values())).classes
        chosen, omitted = np.arange(len(classes)), 0
        if len(classes) > _MAX_CLASSES:
            order = np.argsort(-next(iter(counts.values())), kind="stable")
            chosen = np.concatenate([order[: _MAX_CLASSES // 2], order[-(_MAX_CLASSES // 2) :]])
            omitted = len(classes) - _MAX_CLASSES
        names = [printable(classes.names[label], _MAX_NAME) for label in chosen]
        width = max(map(len, [*names, "class"]))
        yield f"{'class':<{width}}" + "".join(f"{name:>10}" for name in counts)
        for place, (name, label) in enumerate(zip(names, chosen, strict=True)):
            if omitted and place == _MAX_CLASSES // 2:
                yield f"… {omitted:,} more classes"
            yield f"{name:<{width}}" + "".join(f"{values[label]:>10,}" for values in counts.values())
        yield f"{'all':<{width}}" + "".join(f"{values.sum():>10,}" for values in counts.values())
        yield ""

    def _rows(self) -> Iterator[tuple[str, str]]:
        if "train" in self.splits:
            yield "balance", describe_balance(self.splits["train"])
        for name in self.splits:
            if missing := self.without_images(name):
                yield (
                    "missing",
                    f"{name} has no images of {_counted(len(missing), 'class', 'classes')}: {first_names(missing)}",
                )
        if not self.scans:
            return
        if len(self.sizes):
            low, middle, high = self.sizes.min(0), np.median(self.sizes, axis=0), self.sizes.max(0)
            sides = [
                f"{side} {low[i]} to {high[i]} px, median {middle[i]:g}" for i, side in enumerate(("width", "height"))
            ]
            yield "sizes", "; ".join(sides)
        yield (
            "corrupt",
            _listed(len(self.corrupt), "image", "images", [self._short(image.file) for image in self.corrupt]),
        )
        surplus = sum(len(group.images) - 1 for group in self.duplicates)
        yield (
            "duplicates",
            _listed(surplus, "copy", "copies", [self._short(group.images[1].file) for group in self.duplicates]),
        )
        for key, groups, where in (("leaks", self.leaks, "split"), ("conflicts", self.conflicts, "class")):
            pairs = [" = ".join(map(self._short, _pair(group, where))) for group in groups]
            yield (
                key,
                _listed(len(groups), f"image in more than one {where}", f"images in more than one {where}", pairs),
            )

    def _short(self, file: str) -> str:
        return file.removeprefix(f"{Path(self.folder)}/")


def _pair(group: DuplicateGroup, where: str) -> tuple[str, str]:
    """The files of two images of a group that are in different splits, or in different classes."""
    first = group.images[0]
    attribute = "split" if where == "split" else "label"
    other = next(image for image in group.images if getattr(image, attribute) != getattr(first, attribute))
    return first.file, other.file


def _counted(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def _listed(count: int, one: str, many: str, names: list[str]) -> str:
    if not count:
        return "none"
    return f"{_counted(count, one, many)}: {first_names(names, _SHOWN)}"

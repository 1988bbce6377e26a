"""Images that occur more than once in a data set, by their pixels."""

from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import Any

from mindvit.data.check.image_scan import ScannedImage
from mindvit.data.split import Split


@dataclass(frozen=True)
class Occurrence:
    """One of several equal images."""

    split: str
    label: str
    """Id of its class."""
    file: str


@dataclass(frozen=True)
class DuplicateGroup:
    """Images with the same pixels."""

    images: tuple[Occurrence, ...]
    same_file: bool
    """Whether the files are equal too, byte by byte. Otherwise they have another encoding or other metadata."""

    @property
    def is_leak(self) -> bool:
        """Whether they are in more than one split."""
        return len({image.split for image in self.images}) > 1

    @property
    def has_several_labels(self) -> bool:
        """Whether they are in more than one class."""
        return len({image.label for image in self.images}) > 1

    def to_json(self) -> dict[str, Any]:
        """The group as JSON values."""
        return {**asdict(self), "is_leak": self.is_leak, "has_several_labels": self.has_several_labels}


def find_duplicates(splits: dict[str, Split], scans: dict[str, list[ScannedImage]]) -> list[DuplicateGroup]:
    """Groups the images whose pixels are equal. Images that look alike, such as scaled ones, are not found.

    Args:
        splits: the splits, by name.
        scans: what ``scan_images`` found in each of them.
    """
    places = defaultdict(list)
    for name, images in scans.items():
        for index, image in enumerate(images):
            if image.pixels is not None:
                places[image.pixels].append((name, index))
    groups = []
    for found in places.values():
        if len(found) > 1:
            contents = {scans[name][index].content for name, index in found}
            occurrences = tuple(_occurrence(name, splits[name], index) for name, index in found)
            groups.append(DuplicateGroup(occurrences, len(contents) == 1 and None not in contents))
    return groups


def _occurrence(name: str, split: Split, index: int) -> Occurrence:
    return Occurrence(name, split.classes.ids[split.labels[index]], split.describe(index))

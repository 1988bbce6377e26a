"""The classes that a data set has and a network predicts."""

from collections import Counter
from dataclasses import dataclass

from mindvit.printable import printable


@dataclass(frozen=True)
class Classes:
    """Class ids and names, in the order of their labels.

    Raises:
        ValueError: if an id occurs twice, or if there are more ids than names or fewer.
    """

    ids: tuple[str, ...]
    """Identifier of each class in the data: a folder name, or a WordNet id for ImageNet."""
    names: tuple[str, ...]
    """Name of each class, for display."""

    def __post_init__(self) -> None:
        if len(self.ids) != len(self.names):
            raise ValueError(f"there are {len(self.ids)} class ids but {len(self.names)} class names")
        if len(set(self.ids)) != len(self.ids):
            twice = Counter(self.ids).most_common(1)[0][0]
            raise ValueError(f"the class id {printable(twice, 80)!r} occurs twice")

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def named(cls, names: tuple[str, ...]) -> "Classes":
        """Classes whose names are also their ids."""
        return cls(tuple(names), tuple(names))

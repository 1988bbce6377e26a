"""The classes that a data set has and a network predicts."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Classes:
    """Class ids and names, in the order of their labels."""

    ids: tuple[str, ...]
    """Identifier of each class in the data: a folder name, or a WordNet id for ImageNet."""
    names: tuple[str, ...]
    """Name of each class, for display."""

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def named(cls, names: tuple[str, ...]) -> "Classes":
        """Classes whose names are also their ids."""
        return cls(tuple(names), tuple(names))

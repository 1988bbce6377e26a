"""Tables of names, read in both directions."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import numpy as np

Transform = Callable[[np.ndarray], np.ndarray]


class Name(NamedTuple):
    """One tensor's name in another layout and in ours. ``{}`` in both stands for a number, such as a block's."""

    theirs: str
    ours: str
    part: tuple[int, int] | None = None
    """Where theirs is one of several equal parts of ours along the first axis: (which, of how many)."""
    transform: Transform | None = None
    """From their values to ours; such a name is read in this direction only."""


def dense(theirs: str, ours: str, part: tuple[int, int] | None = None) -> list[Name]:
    """The weight and bias of a linear layer, or of a convolution, as PyTorch and MindSpore both name them."""
    return [Name(f"{theirs}.{leaf}", f"{ours}.{leaf}", part) for leaf in ("weight", "bias")]


def norm(theirs: str, ours: str) -> list[Name]:
    """The weight and bias of a PyTorch norm, which are MindSpore's gamma and beta."""
    return [Name(f"{theirs}.weight", f"{ours}.gamma"), Name(f"{theirs}.bias", f"{ours}.beta")]


def same_norm(theirs: str, ours: str) -> list[Name]:
    """The gamma and beta of a MindSpore norm."""
    return [Name(f"{theirs}.{leaf}", f"{ours}.{leaf}") for leaf in ("gamma", "beta")]


class KeyMap:
    """A table of names.

    Args:
        names: those that are read; of several for the same tensor of ours the first is the one that is written.
    """

    def __init__(self, names: Iterable[Name]) -> None:
        self.names = list(names)
        self._theirs = [(_pattern(name.theirs), name) for name in self.names]
        self._ours = [(_pattern(name.ours), name) for name in self.names if name.transform is None]

    def knows(self, theirs: str) -> bool:
        """Whether the table has a name."""
        return any(pattern.fullmatch(theirs) for pattern, _ in self._theirs)

    def to_ours(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Renames, transforms and joins; names that the table does not have are left out.

        Raises:
            ValueError: where two of theirs are the same tensor of ours, or parts are missing.
        """
        found: dict[str, np.ndarray] = {}
        parts: dict[str, dict[int, np.ndarray]] = {}
        counts: dict[str, int] = {}
        for theirs, values in arrays.items():
            match = _first(self._theirs, theirs)
            if match is None:
                continue
            name, numbers = match
            ours = name.ours.format(*numbers)
            pieces = parts.setdefault(ours, {})
            which, count = name.part or (0, 1)
            if which in pieces:
                raise ValueError(f"{theirs} is there twice, under two names")
            pieces[which] = values if name.transform is None else name.transform(values)
            counts[ours] = count
        for ours, pieces in parts.items():
            if len(pieces) != counts[ours]:
                raise ValueError(f"only {len(pieces)} of the {counts[ours]} parts of {ours} are there")
            whole = [pieces[which] for which in range(len(pieces))]
            found[ours] = whole[0] if len(whole) == 1 else np.concatenate(whole)
        return found

    def to_theirs(self, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Renames and cuts into parts.

        Raises:
            ValueError: naming the tensors that the layout has no name for.
        """
        found: dict[str, np.ndarray] = {}
        unknown = []
        for ours, values in tensors.items():
            match = _first(self._ours, ours)
            if match is None:
                unknown.append(ours)
                continue
            name, numbers = match
            pieces = np.split(values, name.part[1]) if name.part else [values]
            for part in self._parts_of(name)[: len(pieces)]:
                found[part.theirs.format(*numbers)] = pieces[part.part[0] if part.part else 0]
        if unknown:
            raise ValueError(f"this layout has no place for {', '.join(unknown[:5])}")
        return found

    def _parts_of(self, first: Name) -> list[Name]:
        """A name and, where it stands for a part, those of the other parts."""
        if first.part is None:
            return [first]
        return [name for name in self.names if name.ours == first.ours and name.part is not None]


def _pattern(name: str) -> re.Pattern:
    return re.compile(re.escape(name).replace(r"\{\}", r"(\d+)"))


def _first(table: list[tuple[re.Pattern, Name]], text: str) -> tuple[Name, tuple[str, ...]] | None:
    for pattern, name in table:
        found = pattern.fullmatch(text)
        if found:
            return name, found.groups()
    return None

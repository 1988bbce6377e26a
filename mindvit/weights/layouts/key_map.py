"""Tables that map the tensor names of another layout to ours, and back."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import numpy as np

Transform = Callable[[np.ndarray], np.ndarray]
_SHOWN = 5


class KeyRule(NamedTuple):
    """The name of a tensor in another layout and in ours. ``{}`` in both stands for a number, such as a block index."""

    theirs: str
    ours: str
    part: tuple[int, int] | None = None
    """(index, count) if their tensor is one of several equal parts of ours along the first axis."""
    transform: Transform | None = None
    """Converts their values to ours. A rule with a transform is used for reading only."""


def dense(theirs: str, ours: str, part: tuple[int, int] | None = None) -> list[KeyRule]:
    """The rules for weight and bias of a linear layer or a convolution; PyTorch and MindSpore name them alike."""
    return [KeyRule(f"{theirs}.{leaf}", f"{ours}.{leaf}", part) for leaf in ("weight", "bias")]


def norm(theirs: str, ours: str) -> list[KeyRule]:
    """The rules for weight and bias of a PyTorch norm, which are gamma and beta in MindSpore."""
    return [KeyRule(f"{theirs}.weight", f"{ours}.gamma"), KeyRule(f"{theirs}.bias", f"{ours}.beta")]


def mindspore_norm(theirs: str, ours: str) -> list[KeyRule]:
    """The rules for gamma and beta of a MindSpore norm."""
    return [KeyRule(f"{theirs}.{leaf}", f"{ours}.{leaf}") for leaf in ("gamma", "beta")]


class KeyMap:
    """A table of names.

    Args:
        rules: the rules. If several have the same tensor of ours, all are read and the first is written.
    """

    def __init__(self, rules: Iterable[KeyRule]) -> None:
        self.rules = list(rules)
        self._theirs = [(_pattern(rule.theirs), rule) for rule in self.rules]
        self._ours = [(_pattern(rule.ours), rule) for rule in self.rules if rule.transform is None]

    def knows(self, theirs: str) -> bool:
        """Whether the table has a name of the other layout."""
        return any(pattern.fullmatch(theirs) for pattern, _ in self._theirs)

    def to_ours(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Renames, transforms and joins tensors; unknown names are skipped.

        Raises:
            ValueError: if two of their tensors are the same tensor of ours, or if parts are missing.
        """
        found: dict[str, np.ndarray] = {}
        parts: dict[str, dict[int, np.ndarray]] = {}
        counts: dict[str, int] = {}
        for theirs, values in arrays.items():
            match = _first_match(self._theirs, theirs)
            if match is None:
                continue
            rule, numbers = match
            ours = rule.ours.format(*numbers)
            pieces = parts.setdefault(ours, {})
            index, count = rule.part or (0, 1)
            if index in pieces:
                raise ValueError(f"{theirs} is a duplicate: the file has this tensor under two names")
            pieces[index] = values if rule.transform is None else rule.transform(values)
            counts[ours] = count
        for ours, pieces in parts.items():
            if len(pieces) != counts[ours]:
                raise ValueError(f"the file has only {len(pieces)} of the {counts[ours]} parts of {ours}")
            whole = [pieces[index] for index in range(len(pieces))]
            found[ours] = whole[0] if len(whole) == 1 else np.concatenate(whole)
        return found

    def to_theirs(self, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Renames tensors and splits them into parts.

        Raises:
            ValueError: naming the tensors that the layout has no name for.
        """
        found: dict[str, np.ndarray] = {}
        unknown = []
        for ours, values in tensors.items():
            match = _first_match(self._ours, ours)
            if match is None:
                unknown.append(ours)
                continue
            rule, numbers = match
            pieces = np.split(values, rule.part[1]) if rule.part else [values]
            for part in self._parts_of(rule)[: len(pieces)]:
                found[part.theirs.format(*numbers)] = pieces[part.part[0] if part.part else 0]
        if unknown:
            raise ValueError(f"the layout has no name for {', '.join(unknown[:_SHOWN])}")
        return found

    def _parts_of(self, rule: KeyRule) -> list[KeyRule]:
        """A rule and, if it is for a part, the rules for the other parts."""
        if rule.part is None:
            return [rule]
        return [other for other in self.rules if other.ours == rule.ours and other.part is not None]


def _pattern(name: str) -> re.Pattern:
    return re.compile(re.escape(name).replace(r"\{\}", r"(\d+)"))


def _first_match(table: list[tuple[re.Pattern, KeyRule]], text: str) -> tuple[KeyRule, tuple[str, ...]] | None:
    for pattern, rule in table:
        found = pattern.fullmatch(text)
        if found:
            return rule, found.groups()
    return None

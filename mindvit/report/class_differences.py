"""How the metrics of each class differ between two runs."""

from dataclasses import dataclass

from mindvit.evaluation.evaluation_file import EvaluationRecord


@dataclass(frozen=True)
class ClassDifference:
    """The F1 of a class in two evaluations; None where it has no images."""

    id: str
    name: str
    support: int
    """Images in the first evaluation, or in the second if the first lacks the class."""
    first: float | None
    second: float | None

    @property
    def change(self) -> float | None:
        """Second minus first."""
        return None if self.first is None or self.second is None else self.second - self.first


def class_differences(first: EvaluationRecord, second: EvaluationRecord) -> list[ClassDifference]:
    """The classes of two evaluations, the greatest change of F1 first; classes that only one has come last."""
    one, other = ({item.id: item for item in record.per_class if item.support} for record in (first, second))
    rows = [
        ClassDifference(
            id,
            (one.get(id) or other[id]).name,
            (one.get(id) or other[id]).support,
            one[id].f1 if id in one else None,
            other[id].f1 if id in other else None,
        )
        for id in dict.fromkeys([*one, *other])
    ]
    return sorted(rows, key=lambda row: -1.0 if row.change is None else abs(row.change), reverse=True)

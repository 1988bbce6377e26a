"""What the files of a run folder say, whether the run has ended or not."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

import yaml

from mindvit.bounded_yaml import MAX_BYTES, RefusedYAML, load_yaml
from mindvit.config import flatten
from mindvit.errors import UserError
from mindvit.files import reraise_os_errors
from mindvit.json_schema import decode
from mindvit.printable import printable
from mindvit.run_metrics import WeightsKind, read_records, shows_top5
from mindvit.strict_json import parse_json
from mindvit.training.best_checkpoints import Candidate
from mindvit.training.environment import Environment
from mindvit.training.overview import Summary
from mindvit.training.run_folder import RunFolder

T = TypeVar("T")


@dataclass(frozen=True)
class RunRecord:
    """What a run folder holds."""

    folder: RunFolder
    settings: dict[str, Any] | None
    """Settings of ``config.yaml`` by dotted name; None if it is missing."""
    epochs: list[dict[str, Any]]
    """The epoch lines of ``metrics.jsonl``."""
    steps: list[dict[str, Any]]
    """Its step lines."""
    summary: Summary | None
    """``summary.json``; None if the run has not ended."""
    best: Candidate | None
    """The best weights, by the metrics of the epochs; None without validation images."""
    environment: Environment | None = None
    """``environment.json``: versions and hardware; None if it is missing."""
    notes: list[str] = field(default_factory=list)
    """What is missing or cannot be read."""
    num_classes: int | None = None
    """Number of classes, if an evaluation tells it."""

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.folder.path.resolve().name or str(self.folder.path)

    @property
    def best_checkpoint(self) -> Path | None:
        """The best weights; those of the last epoch without validation images; None if there are none."""
        return next((path for path in self.folder.weights if path.is_file()), None)

    @property
    def shows_top5(self) -> bool:
        """Whether Top-5 says something, if the number of classes is known."""
        return self.num_classes is None or shows_top5(self.num_classes)

    @property
    def total_epochs(self) -> int | None:
        """Epochs that the run was to train, if its settings tell it."""
        settings = self.settings or {}
        planned = settings.get("train.epochs")
        return planned if isinstance(planned, int) and settings.get("train.steps") is None else None

    @property
    def steps_per_epoch(self) -> float | None:
        """Optimizer steps of an epoch; None before the end of the first."""
        last = self.epochs[-1] if self.epochs else {}
        return last["step"] / last["epoch"] if last.get("step") and last.get("epoch") else None


def read_run(path: Path) -> RunRecord:
    """Reads a run folder.

    Args:
        path: what ``output_dir`` of the run was. Files that are missing or corrupt become notes.

    Raises:
        UserError: if there is no such folder, or it holds no run.
    """
    folder = RunFolder(Path(path))
    with reraise_os_errors("read", folder.path):
        if not folder.path.is_dir():
            raise UserError(f"the run folder {folder.path} does not exist; give the output_dir of a run")
        found = [file for file in (folder.config, folder.metrics, folder.summary) if file.is_file()]
    if not found:
        raise UserError(
            f"{folder.path} holds no run: it has no config.yaml and no metrics.jsonl; give the output_dir of a run"
        )
    notes: list[str] = []
    settings = _read(folder.config, _parse_settings, notes)
    records = _read(folder.metrics, _read_metrics, notes) or []
    summary, environment = (
        _read(file, lambda path, kind=kind: _parse_json(path, kind), notes) if file.exists() else None
        for file, kind in ((folder.summary, Summary), (folder.environment, Environment))
    )
    epochs = [record for record in records if record["event"] == "epoch"]
    steps = [record for record in records if record["event"] == "step"]
    metric = (settings or {}).get("checkpoint.metric")
    return RunRecord(folder, settings, epochs, steps, summary, _best(epochs, metric), environment, notes)


def _read(path: Path, parse: Callable[[Path], T], notes: list[str]) -> T | None:
    """What a file holds; None, and a note, if it is missing or corrupt."""
    try:
        if not path.exists():
            notes.append(f"{path.name} is missing.")
            return None
        return parse(path)
    except (OSError, ValueError, yaml.YAMLError, RefusedYAML) as error:
        notes.append(f"{path.name} cannot be read: {printable(' '.join(str(error).split()), 200)}.")
        return None


def _parse_settings(path: Path) -> dict[str, Any]:
    with open(path, encoding="utf-8") as file:
        content = load_yaml(file.read(MAX_BYTES + 1))
    if not isinstance(content, dict):
        raise ValueError("it holds no settings")
    return flatten(content)


def _read_metrics(path: Path) -> list[dict[str, Any]]:
    return read_records(path, ("epoch", "step"), unfinished=True)


def _parse_json(path: Path, kind: type[T]) -> T:
    """A dataclass from a JSON file. Fields of a later version are ignored."""
    stored = parse_json(path.read_bytes())
    if not isinstance(stored, dict):
        raise ValueError("it must be a JSON object")
    known = {item.name for item in fields(kind)}
    return decode(kind, {name: value for name, value in stored.items() if name in known})


def _best(epochs: list[dict[str, Any]], metric: Any) -> Candidate | None:
    """The best weights of the epochs, by the same order as the run's own."""
    found = []
    for record in epochs:
        for kind in WeightsKind:
            values = [record.get(kind.prefixed(name)) for name in ("top1", "top5", "val_loss")]
            if None not in values:
                count = int(record.get("num_images") or 0)
                step = int(record.get("step") or 0)
                found.append(Candidate(kind, record["epoch"], step, record.get("train_loss"), count, *values))
    by = "val_loss" if metric == "val_loss" else "top1"
    return max(found, key=lambda item: item.score(by), default=None)

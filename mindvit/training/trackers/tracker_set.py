"""The trackers of a run. What fails in one of them is a note, and never ends the run."""

import math
import warnings
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any

from mindvit.errors import UserError
from mindvit.files import FileError, write_text
from mindvit.printable import printable
from mindvit.strict_json import dump_json, parse_json
from mindvit.training.trackers.tracker import RunStatus, TrackedRun, Tracker

_TRACKERS = {
    "tensorboard": ("tensorboardX", "tensorboard", "tensorboard:TensorBoard"),
    "mlflow": ("mlflow", "trackers", "mlflow:MLflow"),
    "wandb": ("wandb", "trackers", "wandb:WeightsAndBiases"),
    "swanlab": ("swanlab", "trackers", "swanlab:SwanLab"),
}
"""Of each tracker the package that it needs, the file in requirements/ that installs it, and its class."""
_MAX_ERROR = 300


def check_trackers(names: tuple[str, ...]) -> None:
    """Checks that the packages of trackers are installed.

    Raises:
        UserError: if one is not; it names the command that installs it.
    """
    for name in names:
        package, extra, _ = _TRACKERS[name]
        if find_spec(package) is None:
            raise UserError(
                f"train.tracker {name} needs the package {package}: pip install -r requirements/{extra}.txt"
            )


class TrackerSet:
    """Starts trackers, passes metrics on to each, and ends them, as a context manager.

    An error of a tracker, such as that of a network, is a note. Nothing is logged to that tracker any more. An error
    of the disk that the run folder is on ends the run, as that of any other file of the run.

    Args:
        names: names of the trackers.
        run: what they are told of the run.
        ids: JSON file that holds what each tracker knows the run by, for a run that resumes.
    """

    def __init__(self, names: tuple[str, ...], run: TrackedRun, ids: Path) -> None:
        self.names = names
        self.run = run
        self.ids = ids
        self.trackers: dict[str, Tracker] = {}

    def __enter__(self) -> "TrackerSet":
        former = self._former_ids() if self.run.resumed_step else {}
        for name in self.names:
            self._guard(name, lambda name=name: self._start(name, former.get(name)))
        ids = {name: tracker.id for name, tracker in self.trackers.items() if tracker.id is not None}
        if ids:
            write_text(self.ids, dump_json(former | ids, indent=2) + "\n")
        return self

    def log(self, metrics: dict[str, float | None], step: int) -> None:
        """Passes on the metrics that are finite numbers."""
        finite = {name: float(value) for name, value in metrics.items() if value is not None and math.isfinite(value)}
        if finite:
            for name, tracker in list(self.trackers.items()):
                self._guard(name, lambda tracker=tracker: tracker.log(finite, step))

    def flush(self) -> None:
        """Makes sure that what was logged is written."""
        for name, tracker in list(self.trackers.items()):
            self._guard(name, tracker.flush)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        status: RunStatus = "failed"
        if kind is None:
            status = "finished"
        elif issubclass(kind, KeyboardInterrupt):
            status = "interrupted"
        for name, tracker in list(self.trackers.items()):
            self._guard(name, lambda tracker=tracker: tracker.finish(status))

    def _start(self, name: str, former_id: str | None) -> None:
        module, kind = _TRACKERS[name][2].split(":")
        make = getattr(import_module(f"mindvit.training.trackers.{module}"), kind)
        self.trackers[name] = make(replace(self.run, former_id=former_id))

    def _guard(self, name: str, action: Callable[[], Any]) -> None:
        try:
            action()
        except FileError:
            raise
        except (Exception, SystemExit) as error:  # Some packages end the process if nobody is logged in.
            self.trackers.pop(name, None)
            message = printable(" ".join(str(error).split()) or type(error).__name__, _MAX_ERROR)
            warnings.warn(f"{name} failed, and nothing is logged to it any more: {message}", stacklevel=2)

    def _former_ids(self) -> dict[str, str]:
        try:
            found = parse_json(self.ids.read_bytes())
            return {name: value for name, value in found.items() if name in _TRACKERS and isinstance(value, str)}
        except (OSError, ValueError, AttributeError):
            return {}

"""The folder of a run: its files, and whether a run may write to it."""

from contextlib import suppress
from pathlib import Path

from mindvit.errors import UserError
from mindvit.files import delete, make_folder, remove_leftovers, reraise_os_errors, write_text
from mindvit.run_metrics import WeightsKind
from mindvit.training.run_lock import RunLock
from mindvit.training.run_state import RunState
from mindvit.training.train_checkpoint import list_train_checkpoints, step_of


class RunFolder:
    """The folder that a run is written to.

    Args:
        path: the folder; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.environment = path / "environment.json"
        self.metrics = path / "metrics.jsonl"
        self.curves = path / "curves.png"
        self.summary = path / "summary.json"
        self.corrupt_images = path / "corrupt_images.txt"
        self.evaluation = path / "evaluation"
        """An evaluation of the best weights, from ``mindvit report``."""
        self.report = path / "report.html"
        self.trackers = [path / name for name in ("tensorboard", "mlflow", "wandb", "swanlab")]
        """What experiment trackers write."""
        self.tracker_ids = path / "trackers.json"
        self.checkpoints = path / "checkpoints"
        """The best weights."""
        self.train_checkpoints = path / "train_checkpoints"
        """What the run can resume from."""
        self.weights = [path / "best.ckpt", *(path / f"{kind.suffixed('last')}.ckpt" for kind in WeightsKind)]
        """The best and the last weights."""
        self.lock = RunLock(path)
        self._is_new = False

    def acquire(self) -> None:
        """Creates the folder, and locks it for this process.

        Raises:
            UserError: if the folder cannot be written to, or another run is writing to it.
        """
        with reraise_os_errors("write into the folder", self.path):
            is_new = not self.path.exists()
        make_folder(self.path)
        self._is_new = is_new
        self.lock.acquire()

    def release(self) -> None:
        """Unlocks the folder. Removes it if ``acquire`` created it and nothing was written to it."""
        self.lock.release()
        if self._is_new:
            with suppress(OSError):
                self.path.rmdir()

    def check_free(self) -> None:
        """Checks that the folder holds nothing that a new run would delete.

        A run that ended before its first result leaves no more than its settings, which do not count.

        Raises:
            UserError: if the folder holds a run.
        """
        found = self._results()
        if found:
            raise UserError(
                f"{self.path} already holds a run ({found[0].relative_to(self.path)}); resume it with --resume auto, "
                "choose another folder with --output_dir, or overwrite it with --overwrite true"
            )

    def initialize(self, config: str, state: RunState) -> None:
        """Removes files that do not belong to the run, and writes its settings.

        Args:
            config: content of ``config.yaml``.
            state: progress of the run.

        Raises:
            UserError: if a file cannot be deleted or written.
        """
        if state.step == 0:
            for path in (
                *(self.train_checkpoints, self.checkpoints, *self.trackers, self.tracker_ids, *self.weights),
                *(self.metrics, self.summary, self.curves, self.corrupt_images),
                *(self.environment, self.evaluation, self.report),
            ):
                delete(path)
        for path in list_train_checkpoints(self.train_checkpoints):
            if step_of(path) > state.step:
                delete(path)
        for folder in (self.path, self.train_checkpoints, self.checkpoints):
            remove_leftovers(folder)
        write_text(self.config, config)

    def holds_trained_epochs(self) -> bool:
        """Whether the folder holds more than the start of a run that was interrupted in its first epoch.

        Raises:
            UserError: if this cannot be read.
        """
        if list_train_checkpoints(self.train_checkpoints):
            return True
        with reraise_os_errors("read", self.path):
            if not any(path.exists() for path in self.weights):
                return False
            metrics = self.metrics.read_text(encoding="utf-8", errors="replace") if self.metrics.exists() else ""
            return metrics.count('"event": "epoch"') != 1 or self.summary.exists()

    def has_checkpoint_of(self, state: RunState) -> bool:
        """Whether the newest training checkpoint is of this step."""
        newest = self._newest()
        return newest is not None and step_of(newest) == state.step

    def last_checkpoint(self) -> str:
        """A sentence that names the last training checkpoint."""
        newest = self._newest()
        return f"The last training checkpoint is {newest}." if newest else "There is no training checkpoint yet."

    def resume_hint(self, world_size: int = 1) -> str:
        """What a stopped run has saved, and the command that resumes it on ``world_size`` ranks."""
        newest = self._newest()
        if newest is None:
            return "stopped before the first training checkpoint; nothing was kept"
        start = "python train.py --config" if world_size == 1 else "bash scripts/run_distribute_train.sh"
        return f"stopped; kept {newest}. Resume with: {start} {self.config} --resume auto"

    def _results(self) -> list[Path]:
        """What the folder holds of a run that has trained."""
        checkpoints = list_train_checkpoints(self.train_checkpoints)
        with reraise_os_errors("read", self.path):
            best = sorted(self.checkpoints.iterdir()) if self.checkpoints.exists() else []
            files = [path for path in (*self.weights, self.summary, self.curves) if path.exists()]
            logged = [self.metrics] if self.metrics.exists() and self.metrics.stat().st_size else []
            return [*files, *checkpoints, *best, *logged]

    def _newest(self) -> Path | None:
        return next(reversed(list_train_checkpoints(self.train_checkpoints)), None)

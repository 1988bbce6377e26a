"""The folder of a run: its files, and whether a run may write to it."""

import shutil
from pathlib import Path

from mindvit.errors import UserError
from mindvit.files import make_folder, remove_leftovers, write_text
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
        self.metrics = path / "metrics.jsonl"
        self.curves = path / "curves.png"
        self.summary = path / "summary.json"
        self.corrupt_images = path / "corrupt_images.txt"
        self.tensorboard = path / "tensorboard"
        self.checkpoints = path / "checkpoints"
        """The best weights."""
        self.train_checkpoints = path / "train_checkpoints"
        """What the run can resume from."""

    def check_writable(self, overwrite: bool, resumes: bool) -> None:
        """Creates the folder, and checks that the run may write to it.

        Args:
            overwrite: whether a run that the folder holds may be overwritten.
            resumes: whether this run resumes the one that the folder holds.

        Raises:
            UserError: if the folder cannot be written to, or holds another run.
        """
        make_folder(self.path)
        if self.config.exists() and not overwrite and not resumes:
            raise UserError(
                f"{self.path} already holds a run; resume it with --resume auto, choose another folder with "
                "--output_dir, or overwrite it with --overwrite true"
            )

    def initialize(self, config: str, state: RunState) -> None:
        """Removes files that do not belong to the run, and writes its settings.

        Args:
            config: content of ``config.yaml``.
            state: progress of the run.
        """
        if state.step == 0:
            for path in (*self.path.glob("*.ckpt"), self.summary, self.curves, self.corrupt_images):
                path.unlink(missing_ok=True)
            for folder in (self.train_checkpoints, self.checkpoints, self.tensorboard):
                shutil.rmtree(folder, ignore_errors=True)
        for folder in (self.path, self.train_checkpoints, self.checkpoints):
            remove_leftovers(folder)
        for path in list_train_checkpoints(self.train_checkpoints):
            if step_of(path) > state.step:
                path.unlink()
        write_text(self.config, config)

    def holds_trained_epochs(self) -> bool:
        """Whether the folder holds more than the start of a run that was interrupted in its first epoch."""
        if list_train_checkpoints(self.train_checkpoints):
            return True
        if not any(self.path.glob("*.ckpt")):
            return False
        metrics = self.metrics.read_text(encoding="utf-8") if self.metrics.exists() else ""
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

    def _newest(self) -> Path | None:
        return next(reversed(list_train_checkpoints(self.train_checkpoints)), None)

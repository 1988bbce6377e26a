"""A run's folder: whom it belongs to, and what in it a run can go on from."""

import shutil
from pathlib import Path

from mindvit.errors import UserError
from mindvit.files import make_folder, remove_leftovers, write_text
from mindvit.training.run_state import RunState
from mindvit.training.states import Saved, list_states, newest_state, read_state, step_of


class RunFolder:
    """The folder that a run is written to.

    Args:
        path: the folder; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.states = path / "states"
        self.metrics = path / "metrics.jsonl"

    def find_state(self, resume: str | None) -> Saved | None:
        """The state that ``--resume`` asks for; None where the run is to begin anew.

        A run that was killed in its first epoch, before its first state, begins anew.

        Raises:
            UserError: if it cannot be read, or ``auto`` finds states but no whole one, or the weights of several epochs
                without a state: to begin anew would then lose something.
        """
        if resume is None:
            return None
        if resume != "auto":
            return read_state(Path(resume))
        saved = newest_state(self.states)
        if saved is None and (list_states(self.states) or (any(self.path.glob("*.ckpt")) and self._is_beyond_start())):
            raise UserError(
                f"{self.path} holds a run but no whole state to go on from; choose another folder with --output_dir, "
                "or begin anew, which removes what it holds, with --overwrite true and without --resume"
            )
        return saved

    def _is_beyond_start(self) -> bool:
        """Whether the record tells of more than a first epoch that was broken off."""
        record = self.metrics.read_text(encoding="utf-8") if self.metrics.exists() else ""
        return record.count('"event": "epoch"') != 1 or (self.path / "summary.json").exists()

    def check_free(self, resume: str | None, overwrite: bool, saved: Saved | None) -> None:
        """Makes the folder, and checks that the run may be written into it.

        Raises:
            UserError: if it cannot be written, or holds another run.
        """
        make_folder(self.path)
        goes_on_here = resume == "auto" or (saved and saved.path.resolve().parent.parent == self.path.resolve())
        if (self.path / "config.yaml").exists() and not overwrite and not goes_on_here:
            raise UserError(
                f"{self.path} already holds a run; go on with it with --resume auto, choose another folder with "
                "--output_dir, or write over it with --overwrite true"
            )

    def claim(self, config: str, state: RunState) -> None:
        """Removes what does not belong to the run, and writes its settings.

        Args:
            config: the text of ``config.yaml``.
            state: where the run stands.
        """
        if state.step == 0:
            for path in (*self.path.glob("*.ckpt"), *map(self.path.joinpath, ("summary.json", "curves.png"))):
                path.unlink(missing_ok=True)
            (self.path / "damaged.txt").unlink(missing_ok=True)
            for name in ("states", "checkpoints", "tensorboard"):
                shutil.rmtree(self.path / name, ignore_errors=True)
        for place in (self.path, self.states, self.path / "checkpoints"):
            remove_leftovers(place)
        for path in list_states(self.states):
            if step_of(path) > state.step:
                path.unlink()
        write_text(self.path / "config.yaml", config)

    def has_state_of(self, state: RunState) -> bool:
        """Whether the newest state is of this step."""
        saved = list_states(self.states)
        return bool(saved) and step_of(saved[-1]) == state.step

    def last_state(self) -> str:
        """Which state was kept last, as a sentence."""
        saved = list_states(self.states)
        return f"The last good state is {saved[-1]}." if saved else "No state had been kept yet."

    def how_to_go_on(self, world_size: int = 1) -> str:
        """What was kept of a run that was stopped, and the command that goes on with it, on so many workers."""
        saved = list_states(self.states)
        if not saved:
            return "stopped before the first state; nothing was kept"
        config = self.path / "config.yaml"
        start = "python train.py --config" if world_size == 1 else "bash scripts/run_distribute_train.sh"
        return f"stopped; kept {saved[-1]}. Go on with: {start} {config} --resume auto"

"""Weights & Biases."""

import wandb

from mindvit.training.trackers.tracker import RunStatus, TrackedRun


class WeightsAndBiases:
    """Logs to Weights & Biases. Offline, ``wandb sync`` uploads ``wandb/`` of the run folder later.

    Args:
        run: the run.
    """

    def __init__(self, run: TrackedRun) -> None:
        self.run = wandb.init(
            project=run.project,
            name=run.name,
            id=run.former_id,
            resume="allow" if run.former_id else None,
            dir=str(run.folder),
            config=run.settings,
            allow_val_change=True,
            mode="offline" if run.is_offline else None,
            # It must neither read what the progress bar prints nor write to the terminal.
            settings=wandb.Settings(console="off", silent=True),
        )
        self.id = self.run.id

    def log(self, metrics: dict[str, float], step: int) -> None:
        """See ``Tracker``."""
        self.run.log(metrics, step=step)

    def flush(self) -> None:
        """See ``Tracker``. A process of wandb writes and sends what was logged."""

    def finish(self, status: RunStatus) -> None:
        """See ``Tracker``."""
        self.run.finish(exit_code=0 if status == "finished" else 1)

"""TensorBoard: event files in the run folder."""

from contextlib import suppress

from tensorboardX import SummaryWriter

from mindvit.files import reraise_os_errors
from mindvit.training.trackers.tracker import RunStatus, TrackedRun


class TensorBoard:
    """Writes event files to ``tensorboard/``. It sends nothing.

    A run that resumes makes TensorBoard discard the entries that were written after its training checkpoint.

    Args:
        run: the run.

    Raises:
        FileError: if the folder cannot be written to.
    """

    def __init__(self, run: TrackedRun) -> None:
        self.id = None
        self.folder = run.folder / "tensorboard"
        with reraise_os_errors("write", self.folder):
            # A thread writes the entries. It ends when the disk is full, and a queue with a limit would then block the
            # run; the error is reported when the epoch is flushed.
            purge_step = run.resumed_step + 1 if run.resumed_step else None
            self.writer = SummaryWriter(str(self.folder), purge_step=purge_step, max_queue=0)

    def log(self, metrics: dict[str, float], step: int) -> None:
        """See ``Tracker``."""
        for name, value in metrics.items():
            self.writer.add_scalar(name, value, step)

    def flush(self) -> None:
        """See ``Tracker``."""
        with reraise_os_errors("write", self.folder):
            self.writer.flush()

    def finish(self, status: RunStatus) -> None:
        """See ``Tracker``."""
        with suppress(OSError):  # What matters was flushed at the end of the epoch.
            self.writer.close()

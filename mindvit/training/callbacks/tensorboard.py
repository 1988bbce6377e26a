"""The run's figures for TensorBoard."""

from pathlib import Path

from mindspore.train import Callback, RunContext

from mindvit.errors import UserError
from mindvit.training.callbacks.record import EpochRecord
from mindvit.training.run_state import RunState

_NOT_FIGURES = ("event", "epoch", "step")


class TensorBoard(Callback):
    """Writes event files: loss, learning rate and norm of the gradient of steps, and all figures of each epoch.

    Args:
        folder: where they go. A run that goes on lets TensorBoard drop what came after its state.
        record: the run's record of the epoch.
        state: where the run stands.
        log_steps: steps between two entries within an epoch.

    Raises:
        UserError: if the package tensorboardX is not installed.
    """

    def __init__(self, folder: Path, record: EpochRecord, state: RunState, log_steps: int) -> None:
        super().__init__()
        try:
            from tensorboardX import SummaryWriter
        except ImportError as error:
            raise UserError(
                "train.tensorboard needs the package tensorboardX: pip install -r requirements-tensorboard.txt"
            ) from error
        self.writer = SummaryWriter(str(folder), purge_step=state.step + 1 if state.step else None)
        self.record = record
        self.state = state
        self.log_steps = log_steps

    def on_train_step_end(self, run_context: RunContext) -> None:
        if self.state.step % self.log_steps == 0:
            self.record.read()
            figures = {"loss": self.record.loss, "lr": self.state.lr, "grad_norm": self.record.norm}
            self._add("step", figures)

    def on_train_epoch_end(self, run_context: RunContext) -> None:
        if self.record.epoch is not None:
            self._add("epoch", {k: v for k, v in self.record.epoch.items() if k not in _NOT_FIGURES})
            self.writer.flush()

    def _add(self, group: str, figures: dict[str, float]) -> None:
        for name, value in figures.items():
            self.writer.add_scalar(f"{group}/{name}", value, self.state.step)

    def __exit__(self, *error: object) -> None:
        self.writer.close()

"""The checkpoints of a run."""

from dataclasses import replace
from pathlib import Path

from mindspore import nn
from mindspore.train import Callback, RunContext

from mindvit.weights.checkpoint import write_checkpoint
from mindvit.weights.passport import Passport

_METRICS = ("train_loss", "top1", "top5", "val_loss", "num_images")


class Checkpoints(Callback):
    """Writes ``last.ckpt`` after each epoch, and ``best.ckpt`` where Top-1 has reached a new height.

    Of epochs with equal Top-1 the one with the smaller validation loss is better.

    Args:
        folder: the run's folder.
        network: the network whose weights are kept.
        passport: the run's passport; epoch and metrics are filled in.
    """

    def __init__(self, folder: Path, network: nn.Cell, passport: Passport) -> None:
        super().__init__()
        self.folder = folder
        self.network = network
        self.passport = passport
        self.best: dict | None = None
        """The record of the best epoch."""
        self.last: dict | None = None
        """The record of the last epoch that was kept."""

    def on_train_epoch_end(self, run_context: RunContext) -> None:
        params = run_context.original_args()
        record = params.record
        finished = params.cur_step_num // params.batch_num  # One less than the epoch's number if it was broken off.
        metrics = {key: record[key] for key in _METRICS if key in record}
        passport = replace(self.passport, epoch=finished, metrics=metrics)
        write_checkpoint(self.folder / "last.ckpt", self.network, passport)
        self.last = record
        if "top1" in record and self._is_best(record):
            write_checkpoint(self.folder / "best.ckpt", self.network, passport)
            self.best = record

    def _is_best(self, record: dict) -> bool:
        if self.best is None:
            return True
        return (record["top1"], -record["val_loss"]) > (self.best["top1"], -self.best["val_loss"])

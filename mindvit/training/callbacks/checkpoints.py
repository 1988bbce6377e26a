"""The weights that a run keeps for use."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from mindspore import Parameter
from mindspore.train import Callback, RunContext

from mindvit.files import link
from mindvit.training.callbacks.record import EpochRecord
from mindvit.training.ranking import CheckpointSettings, candidates, key_of, score
from mindvit.training.run_state import RunState
from mindvit.weights.checkpoint import write_checkpoint
from mindvit.weights.passport import Passport

_METRICS = ("train_loss", "top1", "top5", "val_loss", "num_images")


class Checkpoints(Callback):
    """Writes the last weights and the best ones, without anything but weights and passport, after each epoch.

    The last are ``last.ckpt``, and ``last_ema.ckpt`` and ``last_swa.ckpt`` of the averages. The best ``keep_best`` of
    all kinds lie in ``checkpoints/``, with epoch, loss and Top-1 in their names; ``best.ckpt`` is the best of them.

    Args:
        folder: the run's folder.
        weights: the kinds of weights, by name: tensors by name, or None where there are none yet.
        passport: the run's passport; epoch and metrics are filled in.
        record: the run's record of the epoch.
        state: where the run stands; it holds the list of the best.
        settings: how many to keep, and by which measure.
    """

    def __init__(
        self,
        folder: Path,
        weights: dict[str, Callable[[], dict[str, Parameter] | None]],
        passport: Passport,
        record: EpochRecord,
        state: RunState,
        settings: CheckpointSettings,
    ) -> None:
        super().__init__()
        self.folder = folder
        self.weights = weights
        self.passport = passport
        self.record = record
        self.state = state
        self.settings = settings

    def on_train_epoch_end(self, run_context: RunContext) -> None:
        record = self.record.epoch
        if record is None:
            return
        found = {candidate["weights"]: candidate for candidate in candidates(record)}
        for name, tensors in self.weights.items():
            values = tensors()
            if values is not None:
                figures = found.get(name, record)
                metrics = {key: figures[key] for key in _METRICS if key in figures}
                passport = replace(self.passport, epoch=record["epoch"], metrics=metrics)
                last = self.folder / f"{key_of('last', name) if name else 'last'}.ckpt"
                write_checkpoint(last, values, passport)
                if name in found:
                    self._enter(found[name], last)

    def _enter(self, candidate: dict, written: Path) -> None:
        """Enters weights into the list of the best, if they belong there, and drops the one that no longer does."""
        kind = f"-{candidate['weights']}" if candidate["weights"] else ""
        name = f"epoch{candidate['epoch']:04d}-loss{candidate['val_loss']:.4f}-top1_{candidate['top1']:.2f}{kind}.ckpt"
        entry = {**candidate, "file": f"checkpoints/{name}"}
        # Of equals the earlier one stays in front: sorting is stable.
        ranked = sorted([*self.state.best, entry], key=lambda item: score(item, self.settings.metric), reverse=True)
        kept = ranked[: self.settings.keep_best]
        if entry not in kept:
            return
        link(self.folder / entry["file"], written)
        self.state.best = kept
        if kept[0] is entry:
            link(self.folder / "best.ckpt", written)
        names = {Path(item["file"]).name for item in kept}
        for path in (self.folder / "checkpoints").glob("epoch*.ckpt"):
            if path.name not in names:
                path.unlink()

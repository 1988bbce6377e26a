"""Saves the weights of a run, for evaluation and inference."""

from dataclasses import replace
from pathlib import Path

from mindspore import Parameter
from mindspore.train import Callback, RunContext

from mindvit.files import delete, link, make_folder
from mindvit.run_metrics import WeightsKind
from mindvit.training.best_checkpoints import BestCheckpoint, Candidate, candidates
from mindvit.training.callbacks.metrics_recorder import MetricsRecorder
from mindvit.training.run import Run
from mindvit.weights.checkpoint import write_checkpoint


class WeightSaver(Callback):
    """Writes the last and the best weights after each epoch, with their metadata.

    The last weights are ``last.ckpt``, and ``last_ema.ckpt`` and ``last_swa.ckpt`` for averages. The best
    ``checkpoint.keep_best`` of all kinds are in ``checkpoints/``, with epoch, loss and Top-1 in their names;
    ``best.ckpt`` is the best of them. Weights whose metrics are not finite are never among the best.

    Args:
        run: the run; its state holds the list of the best weights.
        recorder: holds the metrics of the epoch.
    """

    def __init__(self, run: Run, recorder: MetricsRecorder) -> None:
        super().__init__()
        self.run = run
        self.recorder = recorder

    def on_train_epoch_end(self, run_context: RunContext) -> None:
        epoch = self.recorder.epoch
        if epoch is None:
            return
        evaluated = {candidate.weights: candidate for candidate in candidates(epoch)}
        for kind, tensors in self._weights().items():
            found = evaluated.get(kind)
            metrics = {"train_loss": epoch.train_loss}
            if found is not None:
                metrics |= {name: getattr(found, name) for name in ("top1", "top5", "val_loss", "num_images")}
            last = self.run.folder.path / f"{kind.suffixed('last')}.ckpt"
            write_checkpoint(last, tensors, replace(self.run.metadata, epoch=epoch.epoch, metrics=metrics))
            if found is not None and found.is_finite:
                self._rank(found, last)

    def _weights(self) -> dict[WeightsKind, dict[str, Parameter]]:
        """The tensors of each kind of weights that exists by now."""
        ema, swa = self.run.components.ema, self.run.components.swa
        weights = {WeightsKind.RAW: {parameter.name: parameter for parameter in self.run.network.get_parameters()}}
        if ema is not None:
            weights[WeightsKind.EMA] = ema.tensors()
        if swa is not None and swa.has_begun:
            weights[WeightsKind.SWA] = swa.tensors()
        return weights

    def _rank(self, candidate: Candidate, written: Path) -> None:
        """Adds weights to the best ones if they belong there, and deletes the file that no longer does."""
        settings, state, folder = self.run.recipe.checkpoint, self.run.state, self.run.folder
        kind = "" if candidate.weights is WeightsKind.RAW else f"-{candidate.weights.value}"
        name = f"epoch{candidate.epoch:04d}-loss{candidate.val_loss:.4f}-top1_{candidate.top1:.2f}{kind}.ckpt"
        entry = BestCheckpoint(**vars(candidate), file=f"{folder.checkpoints.name}/{name}")
        # Sorting is stable: of equal scores the earlier one stays in front.
        ranked = sorted([*state.best, entry], key=lambda item: item.score(settings.metric), reverse=True)
        kept = ranked[: settings.keep_best]
        if entry not in kept:
            return
        make_folder(folder.checkpoints, parents=False)
        link(folder.path / entry.file, written)
        state.best = kept
        if kept[0] is entry:
            link(folder.path / "best.ckpt", written)
        names = {Path(item.file).name for item in kept}
        for path in folder.checkpoints.glob("epoch*.ckpt"):
            if path.name not in names:
                delete(path)

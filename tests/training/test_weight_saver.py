"""The callback that saves the last and the best weights, with stand-ins for the run and the recorder."""

from types import SimpleNamespace

import mindspore as ms
import pytest
from mindspore import nn

from mindvit.models import ViTConfig
from mindvit.run_metrics import EpochMetrics, EvalMetrics, WeightsKind
from mindvit.training.best_checkpoints import CheckpointSettings
from mindvit.training.callbacks.weight_saver import WeightSaver
from mindvit.training.run_folder import RunFolder
from mindvit.training.run_state import RunState
from mindvit.weights.checkpoint import read_checkpoint
from mindvit.weights.metadata import CheckpointMetadata

NAN = float("nan")
MEASURED = {"lr": 0.1, "grad_norm": 1.0, "images_per_second": 9.0, "mfu": 0.1, "train_seconds": 2.0, "num_images": 4}


@pytest.fixture
def end_epoch(tmp_path):
    """Ends epochs with given validation metrics. Returns the state of the run."""
    run = SimpleNamespace(
        recipe=SimpleNamespace(checkpoint=CheckpointSettings(keep_best=2)),
        folder=RunFolder(tmp_path),
        components=SimpleNamespace(ema=None, swa=None),
        network=nn.Dense(2, 3),
        state=RunState(steps_per_epoch=1, total_steps=9),
        metadata=CheckpointMetadata("vit_mini_4_32", ViTConfig()),
    )
    recorder = SimpleNamespace(epoch=None)
    saver = WeightSaver(run, recorder)

    def end(number, top1, val_loss, train_loss=0.5):
        run.network.bias.set_data(ms.Tensor([float(number)] * 3))
        evaluations = {WeightsKind.RAW: EvalMetrics(top1, top1, val_loss)}
        recorder.epoch = EpochMetrics(number, number, train_loss, **MEASURED, evaluations=evaluations)
        saver.on_train_epoch_end(None)
        return run.state

    return end


def epoch_of(path):
    return int(read_checkpoint(path).tensors["bias"][0])


@pytest.mark.parametrize(("top1", "val_loss"), [(NAN, NAN), (90.0, NAN), (90.0, float("inf")), (NAN, 0.1)])
def test_weights_whose_metrics_are_not_finite_are_never_the_best(end_epoch, tmp_path, top1, val_loss):
    assert end_epoch(1, top1, val_loss, train_loss=NAN).best == []
    assert not (tmp_path / "best.ckpt").exists()
    assert not (tmp_path / "checkpoints").exists()
    assert end_epoch(2, 10.0, 3.0).best[0].epoch == 2
    assert [entry.epoch for entry in end_epoch(3, top1, val_loss).best] == [2]
    assert (epoch_of(tmp_path / "best.ckpt"), epoch_of(tmp_path / "last.ckpt")) == (2, 3)


def test_metrics_that_are_not_finite_are_not_in_the_metadata(end_epoch, tmp_path):
    end_epoch(1, NAN, NAN, train_loss=NAN)
    assert read_checkpoint(tmp_path / "last.ckpt").metadata.metrics == {"num_images": 4}
    end_epoch(2, 50.0, 0.25)
    found = read_checkpoint(tmp_path / "last.ckpt").metadata.metrics
    assert found == {"train_loss": 0.5, "top1": 50.0, "top5": 50.0, "val_loss": 0.25, "num_images": 4}

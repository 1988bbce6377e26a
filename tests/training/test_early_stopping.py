"""When early stopping ends a run, and what it says."""

from types import SimpleNamespace

import pytest

from mindvit.run_metrics import EpochMetrics, EvalMetrics, WeightsKind
from mindvit.training.best_checkpoints import CheckpointSettings
from mindvit.training.callbacks.early_stopping import EarlyStopping
from mindvit.training.overview import write_summary
from mindvit.training.recipe import Recipe, TrainSettings
from mindvit.training.run_folder import RunFolder
from mindvit.training.run_state import RunState

RAW, EMA, NAN = WeightsKind.RAW, WeightsKind.EMA, float("nan")


class Context:
    stops = False

    def request_stop(self):
        self.stops = True


def train(evaluations, metric="top1", patience=2, total_epochs=20):
    """The state at the end of a run with these evaluations (Top-1 and loss by kind) after its epochs of one step."""
    state, context = RunState(steps_per_epoch=1, total_steps=total_epochs), Context()
    recorder = SimpleNamespace(epoch=None)
    stopping = EarlyStopping(recorder, state, metric, patience)
    for evaluated in evaluations:
        assert not context.stops
        state.step += 1
        recorder.epoch = EpochMetrics(state.epoch, state.step, 1.0, 0.1, 1.0, 9.0, 0.1, 2.0, num_images=10)
        recorder.epoch.evaluations = {kind: EvalMetrics(top1, 99.0, loss) for kind, (top1, loss) in evaluated.items()}
        stopping.on_train_epoch_end(context)
    assert context.stops is stopping.is_due
    return state


def test_an_equal_top1_with_a_smaller_loss_is_better_as_for_the_best_weights():
    state = train([{RAW: (50, 0.9)}, {RAW: (50, 0.8)}, {RAW: (50, 0.7)}, {RAW: (50, 0.7)}])
    assert (state.best_score, state.best_epoch, state.epochs_without_gain) == ((50, -0.7), 3, 1)


def test_an_equal_loss_with_a_greater_top1_is_better():
    state = train([{RAW: (50, 0.9)}, {RAW: (51, 0.9)}], metric="val_loss")
    assert (state.best_score, state.best_epoch) == ((-0.9, 51), 2)


def test_better_weights_of_any_kind_count():
    state = train([{RAW: (50, 0.9), EMA: (10, 2)}, {RAW: (40, 1), EMA: (60, 0.8)}, {RAW: (55, 0.9), EMA: (50, 1)}])
    assert (state.best_score, state.best_epoch, state.epochs_without_gain) == ((60, -0.8), 2, 1)


@pytest.mark.parametrize("metrics", [(NAN, 1.0), (90.0, NAN), (90.0, float("inf"))])
def test_metrics_that_are_not_finite_are_never_better(metrics):
    state = train([{RAW: metrics}, {RAW: (10, 2)}, {RAW: metrics, EMA: metrics}])
    assert (state.best_score, state.epochs_without_gain) == ((10, -2), 1)


def test_an_epoch_without_evaluation_does_not_count():
    assert train([{RAW: (50, 0.9)}, {}, {}, {}]).epochs_without_gain == 0


def summary_of(tmp_path, state, metric="top1", patience=2):
    recipe = Recipe(train=TrainSettings(patience=patience), checkpoint=CheckpointSettings(metric=metric))
    run = SimpleNamespace(recipe=recipe, state=state, folder=RunFolder(tmp_path), epochs=20)
    return write_summary(run, None)


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        ("top1", "no better top1 than 60.00 % since epoch 2"),
        ("val_loss", "no better val_loss than 0.8000 since epoch 2"),
    ],
)
def test_a_run_that_stopped_early_says_why(tmp_path, capsys, metric, words):
    state = train([{RAW: (50, 0.9)}, {RAW: (60, 0.8)}, {RAW: (60, 0.8)}, {RAW: (1, 3)}], metric)
    assert summary_of(tmp_path, state, metric).stopped_early
    assert f"stopped early after epoch 4 of 20: {words} (train.patience 2)\n" in capsys.readouterr().out


def test_a_run_without_any_finite_metric_stops_early_too(tmp_path, capsys):
    assert summary_of(tmp_path, train([{RAW: (NAN, NAN)}] * 2)).stopped_early
    assert "no better top1 in 2 epochs" in capsys.readouterr().out


def test_a_run_that_reached_its_end_did_not_stop_early(tmp_path, capsys):
    worse = [{RAW: (50, 0.9)}, {RAW: (50, 0.9)}, {RAW: (50, 0.9)}]
    for state, patience in ((train(worse, total_epochs=3), 2), (train(worse[:2]), 2), (train(worse), None)):
        assert not summary_of(tmp_path, state, patience=patience).stopped_early
    assert "stopped early" not in capsys.readouterr().out

"""Stopping a run by a signal."""

import signal
from types import SimpleNamespace

import pytest

from mindvit.evaluation.metrics import NumImages
from mindvit.parsing import parse
from mindvit.training import trainer
from mindvit.training.callbacks import stop_on_signal
from mindvit.training.callbacks.stop_on_signal import StopOnSignal
from mindvit.training.callbacks.train_checkpoint_saver import TrainCheckpointSaver
from mindvit.training.recipe import Recipe
from mindvit.training.run_state import RunState
from mindvit.weights.checkpoint import read_checkpoint
from tests.training.run_files import assert_same_tensors, lines, metrics_without_clock

pytestmark = pytest.mark.usefixtures("default_signal_handling")
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


# A terminal that closes may send SIGHUP several times, also while the training checkpoint is written.
@pytest.mark.parametrize(("number", "again"), [(signal.SIGINT, False), (signal.SIGHUP, True)])
def test_a_signal_stops_a_run_after_its_step_and_the_run_resumes_exactly(
    train, make_folder, signalled, monkeypatch, tmp_path, number, again
):
    if again:
        save = TrainCheckpointSaver.save

        def signalled_save(saver):
            if saver.run.state.step == 4:
                signal.raise_signal(number)
            save(saver)

        monkeypatch.setattr(TrainCheckpointSaver, "save", signalled_save)
    options = ["--data.path", make_folder(counts=6), "--train.epochs", 3, "--model.drop_path", 0.2]
    uninterrupted = train(*options, name="uninterrupted")
    end_signals = signalled(4, *[number] * (1 + again))
    handlers = [signal.getsignal(known) for known in _SIGNALS]
    with pytest.raises(
        KeyboardInterrupt, match=r"kept .*step00000004\.ckpt.*train\.py --config .* --resume auto"
    ) as stop:
        train(*options)
    name = "Ctrl-C or SIGTERM" if number == signal.SIGINT else "SIGHUP"
    assert str(stop.value).startswith(f"{name} after step 4 of 9 (epoch 2): stopped; kept ")
    assert [signal.getsignal(known) for known in _SIGNALS] == handlers
    folder = tmp_path / "run"
    assert read_checkpoint(folder / "last.ckpt").metadata.epoch == 1, "the second epoch was not finished"
    assert (folder / "curves.png").exists()
    assert not (folder / "summary.json").exists()
    assert [line["epoch"] for line in lines(folder)] == [1]
    end_signals()
    recipe, _ = parse(Recipe, "", ["--config", str(folder / "config.yaml"), "--resume", "auto"])
    trainer.train(recipe)
    assert metrics_without_clock(folder) == metrics_without_clock(uninterrupted)
    assert_same_tensors(folder / "last.ckpt", uninterrupted / "last.ckpt")


def test_an_evaluation_that_a_signal_interrupted_is_repeated_when_the_run_resumes(
    train, make_folder, monkeypatch, tmp_path
):
    options = ["--data.path", make_folder(counts=6), "--train.epochs", 2, "--swa.start_epoch", 1]
    uninterrupted = train(*options, name="uninterrupted")

    class Signalled(NumImages):
        def update(self, *inputs):
            if not self._count:
                signal.raise_signal(signal.SIGTERM)
            super().update(*inputs)

    with monkeypatch.context() as patched:
        patched.setattr("mindvit.evaluation.metrics.NumImages", Signalled)
        with pytest.raises(KeyboardInterrupt, match=r"step00000003\.ckpt"):
            train(*options)
    folder = tmp_path / "run"
    assert not lines(folder)
    train(*options, "--resume", "auto")
    assert metrics_without_clock(folder) == metrics_without_clock(uninterrupted)
    for name in ("last.ckpt", "last_swa.ckpt"):
        assert_same_tensors(folder / name, uninterrupted / name)


@pytest.mark.parametrize(("step", "words"), [(2, "nothing was kept"), (5, r"kept .*epoch0001-step00000003")])
def test_a_second_signal_stops_at_once(train, make_folder, signalled, step, words):
    signalled(step, signal.SIGINT, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt, match=words):
        train("--data.path", make_folder(counts=6), "--train.epochs", 3)


@pytest.mark.parametrize("number", _SIGNALS)
def test_a_signal_that_the_parent_process_ignores_stays_ignored(number):
    signal.signal(number, signal.SIG_IGN)
    with StopOnSignal(None, None) as stop:
        signal.raise_signal(number)
    assert stop.received is None
    assert signal.getsignal(number) == signal.SIG_IGN


@pytest.mark.parametrize("world_size", [1, 2])
def test_a_run_stops_when_its_time_is_over(monkeypatch, world_size):
    hours, asked = [0.0], []
    monkeypatch.setattr(stop_on_signal.time, "monotonic", lambda: 3600 * hours[0])
    recorder = SimpleNamespace(state=RunState(3, 9, step=4), stop_asked=False)
    context = SimpleNamespace(request_stop=lambda: asked.append("run"))
    step = SimpleNamespace(ask_to_stop=lambda: asked.append("ranks"))
    stop = StopOnSignal(recorder, step, world_size, max_hours=1.5)
    for hours[0] in (0.5, 1.4):
        stop.on_train_step_end(context)
        assert not asked and stop.reason == ""
    hours[0] = 1.6
    stop.on_train_step_end(context)
    assert asked == (["run"] if world_size == 1 else ["ranks"]), "several ranks stop after the same step"
    assert stop.reason == "the 1.5 hours of train.max_hours were over after step 4 of 9 (epoch 2):"

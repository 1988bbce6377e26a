"""Stopping a run, and going on with it."""

import json
import signal
from dataclasses import replace

import numpy as np
import pytest
from mindspore.train import Model, RunContext
from mindspore.train.callback import _CallbackManager, _InternalCallbackParam

from mindvit.parsing import parse
from mindvit.errors import UserError
from mindvit.evaluation.metrics import NumImages
from mindvit.training import preparation, trainer
from mindvit.training.callbacks.metrics_recorder import MetricsRecorder
from mindvit.training.recipe import Recipe
from mindvit.weights.checkpoint import read_checkpoint
from tests.training.runs import assert_same_weights, figures, records


@pytest.fixture
def signalled(monkeypatch):
    """Makes runs receive signals at the end of a step; gives back how to make them stop doing so."""

    def arrange(step, *numbers):
        class SignalledRecord(MetricsRecorder):
            def on_train_step_end(self, run_context):
                super().on_train_step_end(run_context)
                if self.state.step == step:
                    for number in numbers:
                        signal.raise_signal(number)

        monkeypatch.setattr(trainer, "MetricsRecorder", SignalledRecord)
        return lambda: monkeypatch.setattr(trainer, "MetricsRecorder", MetricsRecorder)

    return arrange


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_a_run_after_its_step_and_it_goes_on_exactly(train, make_folder, signalled, tmp_path, number):
    options = ["--data.path", make_folder(counts=6), "--train.epochs", 3, "--model.drop_path", 0.2]
    whole = train(*options, name="whole")
    undisturbed = signalled(4, number)
    handlers = [signal.getsignal(known) for known in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(KeyboardInterrupt, match=r"kept .*step00000004\.ckpt.*train\.py --config .* --resume auto"):
        train(*options)
    assert [signal.getsignal(known) for known in (signal.SIGINT, signal.SIGTERM)] == handlers
    folder = tmp_path / "run"
    assert read_checkpoint(folder / "last.ckpt").metadata.epoch == 1, "the second epoch was not finished"
    assert (folder / "curves.png").exists()
    assert not (folder / "summary.json").exists()
    assert [record["epoch"] for record in records(folder)] == [1]
    undisturbed()
    recipe, _ = parse(Recipe, "", ["--config", str(folder / "config.yaml"), "--resume", "auto"])
    trainer.train(recipe)
    assert figures(folder) == figures(whole)
    assert_same_weights(folder / "last.ckpt", whole / "last.ckpt")


def test_a_signal_during_an_evaluation_leaves_it_to_the_run_that_goes_on(train, make_folder, monkeypatch, tmp_path):
    options = ["--data.path", make_folder(counts=6), "--train.epochs", 2, "--swa.start_epoch", 1]
    whole = train(*options, name="whole")

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
    assert not records(folder)
    train(*options, "--resume", "auto")
    assert figures(folder) == figures(whole)
    for name in ("last.ckpt", "last_swa.ckpt"):
        assert_same_weights(folder / name, whole / name)


@pytest.mark.parametrize(("step", "words"), [(2, "nothing was kept"), (5, r"kept .*epoch0001-step00000003")])
def test_a_second_signal_stops_at_once(train, make_folder, signalled, step, words):
    signalled(step, signal.SIGINT, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt, match=words):
        train("--data.path", make_folder(counts=6), "--train.epochs", 3)


@pytest.fixture
def sinking(monkeypatch):
    """Has runs take their batches through a queue, with the loop that ``Model`` has for devices which have one."""

    def train_sunk(self, epoch, dataset, callbacks, initial_epoch, dataset_sink_mode, sink_size):
        assert (dataset_sink_mode, sink_size) == (True, 1)
        passes = dataset.create_tuple_iterator(num_epochs=epoch)
        queue = (batch for _ in range(epoch) for batch in passes)
        arguments = _InternalCallbackParam()
        context = RunContext(arguments)
        with _CallbackManager(callbacks) as told:
            told.on_train_begin(context)
            for _ in range(initial_epoch, epoch):
                told.on_train_epoch_begin(context)
                told.on_train_step_begin(context)
                arguments.net_outputs = self._train_network.set_train()(*next(queue))
                told.on_train_step_end(context)
                told.on_train_epoch_end(context)
                if context.get_stop_requested():
                    break
            told.on_train_end(context)

    start = preparation.start
    monkeypatch.setattr(preparation, "start", lambda *settings: replace(start(*settings), data_sink=True))
    monkeypatch.setattr(Model, "train", train_sunk)


def test_data_sinking_changes_neither_weights_nor_records_nor_where_a_run_can_be_stopped(
    train, make_folder, signalled, request
):
    options = ["--data.path", make_folder(counts=6), "--train.epochs", 2, "--train.log_steps", 1]
    options += ["--model.drop_path", 0.2]
    plain = train(*options, name="plain")
    request.getfixturevalue("sinking")
    undisturbed = signalled(4, signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt, match="stopped"):
        train(*options, name="sunk")
    undisturbed()
    sunk = train(*options, "--resume", "auto", name="sunk")
    assert figures(sunk) == figures(plain)
    assert len(records(sunk)) == 2
    assert_same_weights(sunk / "last.ckpt", plain / "last.ckpt")


def test_a_finished_run_is_left_as_it_is(train, make_folder):
    options = ["--data.path", make_folder(counts=6), "--train.epochs", 1, "--resume", "auto"]
    folder = train(*options)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.ckpt")}
    (folder / "summary.json").unlink()
    train(*options)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.ckpt")} == before
    assert json.loads((folder / "summary.json").read_text())["epochs"] == 1


def test_changed_settings_are_refused_by_name_unless_allowed(train, make_folder):
    options = ["--data.path", make_folder(counts=6), "--train.epochs", 1, "--optimizer.lr", 0.01]
    folder = train(*options)
    changed = ["--train.epochs", 2, "--train.log_steps", 7, "--optimizer.rules", "[{pattern: cls, frozen: false}]"]
    with pytest.raises(
        UserError, match=r"optimizer\.rules: .*train\.epochs: 1 -> 2.*--allow_config_changes true"
    ) as refused:
        train(*options, *changed, "--resume", "auto")
    assert "log_steps" not in str(refused.value), "how often to log has no bearing on the result"
    assert len(records(folder)) == 1
    train(*options, *changed, "--resume", "auto", "--allow_config_changes", "true")
    assert [record["step"] for record in records(folder)] == [3, 6]


def test_a_run_goes_on_with_another_batch_size_where_it_stood(train, make_folder):
    options = ["--data.path", make_folder(counts=12), "--schedule.name", "linear"]
    folder = train(*options, "--train.epochs", 1)
    more = ["--train.epochs", 2, "--data.batch_size", 8, "--train.log_steps", 1]
    train(*options, *more, "--resume", "auto", "--allow_config_changes", "true")
    steps = records(folder, "step")
    assert [record["step"] for record in steps] == [4, 5, 6], "three steps an epoch now, and one epoch done"
    np.testing.assert_allclose([record["lr"] for record in steps], [1e-3 * (1 - i / 6) for i in (3, 4, 5)], rtol=1e-5)


def test_a_run_goes_on_from_a_state_that_is_named_into_another_folder(train, make_folder, tmp_path):
    options = ["--data.path", make_folder(counts=6), "--train.epochs", 2]
    whole = train(*options)
    first = sorted((whole / "states").iterdir())[0]
    copy = train(*options, "--resume", first, name="copy")
    assert [record["epoch"] for record in records(copy)] == [2]
    assert_same_weights(copy / "last.ckpt", whole / "last.ckpt")


def test_a_damaged_state_is_named_and_the_one_before_it_taken(train, make_folder, capfd):
    options = ["--data.path", make_folder(counts=6), "--train.epochs", 2]
    whole = train(*options, name="whole")
    folder = train(*options)
    newest = sorted((folder / "states").iterdir())[-1]
    newest.write_bytes(newest.read_bytes()[:-1000])
    (folder / "last.ckpt").unlink()
    train(*options, "--resume", "auto")
    assert f"{newest.name} is damaged" in capfd.readouterr().err
    assert figures(folder) == figures(whole)
    assert_same_weights(folder / "last.ckpt", whole / "last.ckpt")


def test_going_on_never_removes_a_run_that_has_no_whole_state(train, make_folder):
    options = ["--data.path", make_folder(counts=6), "--train.epochs", 1]
    folder = train(*options)
    (state,) = (folder / "states").iterdir()
    state.write_bytes(b"damaged")
    for _ in range(2):
        with pytest.raises(UserError, match="no whole state to go on from"):
            train(*options, "--resume", "auto")
        assert (folder / "best.ckpt").exists()
        state.unlink(missing_ok=True)


def test_a_run_that_was_killed_before_its_first_state_begins_anew(train, make_folder):
    options = ["--data.path", make_folder(counts=6), "--train.epochs", 1]
    folder = train(*options)
    weights = (folder / "last.ckpt").read_bytes()
    (folder / "summary.json").unlink()
    for state in (folder / "states").iterdir():
        state.unlink()
    train(*options, "--resume", "auto")
    assert [record["epoch"] for record in records(folder)] == [1]
    assert (folder / "last.ckpt").read_bytes() == weights


def test_going_back_to_an_earlier_state_drops_the_later_ones(train, make_folder):
    options = ["--data.path", make_folder(counts=6)]
    folder = train(*options, "--train.epochs", 2)
    earlier, later = sorted((folder / "states").iterdir())
    train(*options, "--train.epochs", 1, "--resume", earlier, "--allow_config_changes", "true")
    assert (earlier.exists(), later.exists()) == (True, False)
    assert [record["epoch"] for record in records(folder)] == [1]

"""Experiment trackers: what they write offline, and what happens when one fails. Nothing is sent over a network."""

import errno
import json
import math
import re
import warnings
from threading import Thread
from types import SimpleNamespace

import pytest

from mindvit.errors import UserError
from mindvit.parsing import parse
from mindvit.run_metrics import EpochMetrics, EvalMetrics, WeightsKind
from mindvit.training.callbacks.track_metrics import TrackMetrics
from mindvit.training.recipe import Recipe
from mindvit.training.run_state import RunState
from mindvit.training.trackers import tracker_set
from mindvit.training.trackers.tracker import TrackedRun
from mindvit.training.trackers.tracker_set import TrackerSet, check_trackers
from tests.programs.jobs import wait_for

pytestmark = pytest.mark.eager

SETTINGS = {"optimizer.lr": 0.001, "data.classes": None, "train.tracker": "none"}


@pytest.fixture(autouse=True)
def no_network(monkeypatch, tmp_path):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("SWANLAB_MODE", "offline")
    monkeypatch.setenv("SWANLAB_SAVE_DIR", str(tmp_path / "home"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # What is sent all the same goes nowhere.


@pytest.fixture
def tracked(tmp_path):
    def make(**changes):
        return TrackedRun(**{"name": "猫 run", "project": "pets", "folder": tmp_path, "settings": SETTINGS, **changes})

    return make


def callback_of(trackers, num_classes=10, step=1):
    recorder = SimpleNamespace(loss=0.5, norm=None, epoch=None, read=lambda: None)
    return TrackMetrics(trackers, recorder, RunState(5, 20, step=step, lr=1e-3), 1, num_classes)


def log_an_epoch(callback, step=5, loss=0.25):
    callback.state.step = step
    callback.on_train_step_end(None)
    callback.recorder.epoch = EpochMetrics(1, step, loss, 1e-3, math.nan, 50.0, 0.1, 2.0)
    callback.recorder.epoch.evaluations[WeightsKind.RAW] = EvalMetrics(top1=75.0, top5=100.0, val_loss=0.75)
    callback.on_train_epoch_end(None)


class Recording:
    """A tracker that remembers what it is told."""

    def __init__(self, run):
        self.run, self.id, self.logged, self.ended = run, "id of the first session", [], None
        self.id = run.former_id or self.id

    def log(self, metrics, step):
        self.logged.append((step, metrics))

    def flush(self):
        pass

    def finish(self, status):
        self.ended = status


@pytest.fixture
def recording(monkeypatch, tmp_path, tracked):
    """A set of one tracker that records."""
    monkeypatch.setattr(tracker_set, "import_module", lambda name: SimpleNamespace(WeightsAndBiases=Recording))
    return lambda **changes: TrackerSet(("wandb",), tracked(**changes), tmp_path / "trackers.json")


def test_trackers_get_the_finite_metrics_of_steps_and_epochs(recording):
    with recording() as trackers:
        log_an_epoch(callback_of(trackers))
        tracker = trackers.trackers["wandb"]
    (first, step_metrics), (second, epoch_metrics) = tracker.logged
    assert (first, second) == (5, 5)
    assert step_metrics == {"step/loss": 0.5, "step/lr": 1e-3}, "a norm that is not known yet is no metric"
    assert epoch_metrics["epoch/top1"] == 75.0 and epoch_metrics["epoch/top5"] == 100.0
    assert "epoch/grad_norm" not in epoch_metrics, "it is not finite"
    assert tracker.ended == "finished"


def test_top5_is_left_out_where_it_says_nothing(recording):
    with recording() as trackers:
        log_an_epoch(callback_of(trackers, num_classes=5))
        assert "epoch/top5" not in trackers.trackers["wandb"].logged[1][1]


@pytest.mark.parametrize(
    ("error", "status"), [(KeyboardInterrupt(), "interrupted"), (UserError("the loss is not finite"), "failed")]
)
def test_a_tracker_learns_how_the_run_ended(recording, error, status):
    with pytest.raises(type(error)), recording() as trackers:
        tracker = trackers.trackers["wandb"]
        raise error
    assert tracker.ended == status


def test_a_resumed_run_continues_its_run_in_the_tracker_and_a_new_one_does_not(recording):
    with recording():
        pass
    with recording(resumed_step=7) as trackers:
        assert trackers.trackers["wandb"].run.former_id == "id of the first session"
    with recording() as trackers:
        assert trackers.trackers["wandb"].run.former_id is None
    trackers.ids.write_text("[broken")
    with recording(resumed_step=7) as trackers:
        assert trackers.trackers["wandb"].run.former_id is None


@pytest.mark.parametrize("where", ["__init__", "log", "flush", "finish"])
@pytest.mark.parametrize("error", [ConnectionError("no\x1b[2J route"), SystemExit(1), ValueError()])
def test_a_tracker_that_fails_is_a_note_and_never_ends_the_run(recording, monkeypatch, where, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(Recording, where, fail)
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        with recording() as trackers:
            callback = callback_of(trackers)
            log_an_epoch(callback)
            log_an_epoch(callback, step=10)
    assert len(notes) == 1, "one note, not one a step"
    text = str(notes[0].message)
    assert re.match(r"wandb failed, and nothing is logged to it any more: \S", text) and "\x1b" not in text


@pytest.mark.slow
def test_mlflow_has_parameters_metrics_and_status(tracked, tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    from mlflow.tracking import MlflowClient

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # Not used offline.
    ids = tmp_path / "trackers.json"
    with TrackerSet(("mlflow",), tracked(is_offline=True), ids) as trackers:
        log_an_epoch(callback_of(trackers))
    with (
        pytest.raises(KeyboardInterrupt),
        TrackerSet(("mlflow",), tracked(is_offline=True, resumed_step=5), ids) as trackers,
    ):
        log_an_epoch(callback_of(trackers), step=10, loss=0.125)
        raise KeyboardInterrupt
    client = MlflowClient(tracking_uri=(tmp_path / "mlflow").as_uri())
    (run,) = client.search_runs([client.get_experiment_by_name("pets").experiment_id])
    assert run.info.run_id == json.loads(ids.read_text())["mlflow"], "both sessions are one run"
    assert (run.info.run_name, run.info.status) == ("猫 run", "KILLED")
    assert run.data.params == {name: str(value) for name, value in SETTINGS.items()}
    history = client.get_metric_history(run.info.run_id, "epoch/train_loss")
    assert [(metric.step, metric.value) for metric in history] == [(5, 0.25), (10, 0.125)]
    assert run.data.metrics["epoch/top1"] == 75.0


@pytest.mark.slow
def test_wandb_writes_a_file_to_upload_later(tracked, tmp_path):
    pytest.importorskip("wandb")
    ids = tmp_path / "trackers.json"
    with TrackerSet(("wandb",), tracked(is_offline=True), ids) as trackers:
        log_an_epoch(callback_of(trackers))
    (log,) = (tmp_path / "wandb").glob("offline-run-*/run-*.wandb")
    assert log.stem == f"run-{json.loads(ids.read_text())['wandb']}"
    # A process of wandb writes the file, and may still do so.
    wait_for(lambda: b"epoch/top1" in log.read_bytes(), timeout=60)
    content = log.read_bytes()
    for words in (b"step/loss", b"optimizer.lr", "猫 run".encode(), b"pets"):
        assert words in content, words
    assert b"epoch/grad_norm" not in content


@pytest.mark.slow
def test_swanlab_writes_a_folder_to_upload_later(tracked, tmp_path):
    pytest.importorskip("swanlab")
    with TrackerSet(("swanlab",), tracked(is_offline=True), tmp_path / "trackers.json") as trackers:
        log_an_epoch(callback_of(trackers))
    (log,) = (tmp_path / "swanlab").glob("run-*/backup.swanlab")
    content = log.read_bytes()
    for words in (b"epoch/top1", b"step/loss", b"pets"):
        assert words in content, words
    assert "optimizer.lr" in next((tmp_path / "swanlab").glob("run-*/files/config.yaml")).read_text()


def test_tensorboard_discards_what_a_resumed_run_repeats(tracked, tmp_path):
    for step in (0, 7):
        with TrackerSet(("tensorboard",), tracked(resumed_step=step), tmp_path / "trackers.json") as trackers:
            log_an_epoch(callback_of(trackers))
    content = b"".join(path.read_bytes() for path in (tmp_path / "tensorboard").iterdir())
    assert b"epoch/top1" in content and b"step/loss" in content
    assert not (tmp_path / "trackers.json").exists(), "event files have no id"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_disk_that_fails_neither_blocks_the_run_nor_passes_silently(tmp_path, monkeypatch, tracked):
    trackers = TrackerSet(("tensorboard",), tracked(), tmp_path / "trackers.json")
    callback = callback_of(trackers.__enter__())
    board = trackers.trackers["tensorboard"]

    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    file = board.writer.file_writer.event_writer._ev_writer
    monkeypatch.setattr(file, "write_event", fail)
    monkeypatch.setattr(file, "flush", fail)

    def write_more_than_the_default_queue_holds():
        for _ in range(50):
            callback.on_train_step_end(None)

    steps = Thread(target=write_more_than_the_default_queue_holds, daemon=True)
    steps.start()
    steps.join(timeout=10)
    assert not steps.is_alive()
    with pytest.raises(UserError, match=r"cannot write .*: No space left on device"):
        log_an_epoch(callback)
    board.writer.file_writer.event_writer._worker.join(timeout=10)
    trackers.__exit__(None, None, None)


def test_a_folder_that_cannot_be_made_is_a_user_error(tmp_path, tracked):
    (tmp_path / "file").touch()
    trackers = TrackerSet(("tensorboard",), tracked(folder=tmp_path / "file"), tmp_path / "trackers.json")
    with pytest.raises(UserError, match=r"cannot write .*file/tensorboard"):
        trackers.__enter__()


@pytest.mark.parametrize("name", ["tensorboard", "mlflow", "wandb", "swanlab"])
def test_a_missing_package_is_reported_with_the_command_that_installs_it(monkeypatch, name):
    monkeypatch.setattr(tracker_set, "find_spec", lambda package: None)
    with pytest.raises(UserError, match=rf"train.tracker {name} needs the package \w+: pip install -r requirements/"):
        check_trackers((name,))
    check_trackers(())


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ([], ()),
        (["--train.tracker", "wandb"], ("wandb",)),
        (["--train.tracker", "wandb", "mlflow"], ("wandb", "mlflow")),
        (["--train.tracker", '["tensorboard"]', "--train.tensorboard", "true"], ("tensorboard",)),
        (["--train.tensorboard", "true"], ("tensorboard",)),
    ],
)
def test_the_setting_names_one_tracker_or_several(options, names):
    assert parse(Recipe, "", options)[0].train.trackers == names


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--train.tracker", "aim"], "^train.tracker must be one of none, tensorboard, mlflow, wandb, swanlab"),
        (["--train.tracker", "none", "wandb"], "train.tracker lists none beside a tracker"),
        (["--train.tracker_project", ""], "train.tracker_project must not be empty"),
    ],
)
def test_a_wrong_tracker_setting_is_an_error(options, words):
    with pytest.raises(UserError, match=words):
        parse(Recipe, "", options)

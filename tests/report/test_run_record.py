import json

import pytest

from mindvit.errors import UserError
from mindvit.report.key_figures import compare_figures, key_figures, status
from mindvit.report.run_record import read_run
from mindvit.run_metrics import WeightsKind
from tests.report.conftest import epoch

SUMMARY = {
    "top1": 53.0,
    "top5": 90.0,
    "num_images": 200,
    "best_epoch": 3,
    "best_weights": "raw",
    "epochs": 3,
    "stopped_early": False,
    "train_seconds": 3661.0,
    "images_per_second": 123.4,
}


def figures_of(run):
    return {item.label: item.text for item in key_figures(run, None)}


def test_a_run_that_has_ended_is_read(make_run):
    run = read_run(make_run(summary={**SUMMARY, "of_a_later_version": 1}))
    assert (len(run.epochs), run.settings["train.epochs"], run.notes) == (3, 10, [])
    assert status(run) == "finished after epoch 3"
    assert figures_of(run) == {
        "Top-1": "53.00 %",
        "Top-5": "90.00 %",
        "Loss": "0.3333",
        "Best epoch": "3",
        "Epochs": "3",
        "Images/s": "123",
        "Time": "1 h 1 min",
    }
    assert status(read_run(make_run("early", summary={**SUMMARY, "stopped_early": True}))).startswith("stopped early")


def test_a_run_that_was_killed_is_read_up_to_its_last_line(make_run):
    run = read_run(make_run(extra=json.dumps(epoch(4))[:50]))
    assert [record["epoch"] for record in run.epochs] == [1, 2, 3]
    assert status(run) == "not finished: 3 of 10 epochs"
    assert figures_of(run)["Images/s"] == "102", "the median of the epochs"
    assert figures_of(run)["Time"] == "36 s", "training and evaluation of three epochs"
    assert run.notes == []


def test_a_run_before_its_first_epoch_is_read(make_run):
    run = read_run(make_run(epochs=0, extra='{"event": "step", "epoch": 1, "step": 5, "train_loss": 2.0}\n'))
    assert (run.best, run.steps_per_epoch, len(run.steps)) == (None, None, 1)
    assert figures_of(run) == {"Epochs": "0"}


def test_the_best_weights_follow_the_metric_of_the_run(make_run):
    lines = "".join(
        json.dumps(epoch(number, **values)) + "\n"
        for number, values in (
            (1, {"top1": 80.0, "val_loss": 0.9, "ema_top1": 80.0, "ema_top5": 90.0, "ema_val_loss": 0.8}),
            (2, {"top1": 79.0, "val_loss": 0.5}),
            (3, {"top1": None, "val_loss": None, "top5": None}),
        )
    )
    run = read_run(make_run(epochs=0, extra=lines))
    assert (run.best.epoch, run.best.weights) == (1, WeightsKind.EMA), "of equal Top-1, the lower loss"
    run = read_run(make_run("by_loss", epochs=0, extra=lines, checkpoint__metric="val_loss"))
    assert (run.best.epoch, run.best.weights) == (2, WeightsKind.RAW)


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("metrics.jsonl", "{\n", "metrics.jsonl cannot be read: line 1"),
        ("summary.json", "[]", "summary.json cannot be read: it must be a JSON object"),
        ("config.yaml", "- 1", "config.yaml cannot be read: it holds no settings"),
        ("config.yaml", "a: [", "config.yaml cannot be read"),
        ("config.yaml", "\udcff", "config.yaml cannot be read"),
        ("environment.json", '{"mindvit": 3}', "environment.json cannot be read"),
    ],
)
def test_a_corrupt_file_is_a_note(make_run, file, content, words):
    folder = make_run()
    (folder / file).write_bytes(content.encode("utf-8", "surrogateescape"))
    (note,) = read_run(folder).notes
    assert words in note


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(UserError, match="absent does not exist"):
        read_run(tmp_path / "absent")
    with pytest.raises(UserError, match=r"holds no run: it has no config\.yaml"):
        read_run(tmp_path)


def test_figures_of_two_runs_are_compared(make_run):
    first = key_figures(read_run(make_run("a", summary=SUMMARY)), None)
    second = key_figures(read_run(make_run("b", epochs=2)), None)
    rows = {row.label: (row.first, row.second, row.difference, row.is_better) for row in compare_figures(first, second)}
    minus = "\N{MINUS SIGN}"
    assert rows["Top-1"] == ("53.00 %", "52.00 %", f"{minus}1.00", False)
    assert rows["Loss"] == ("0.3333", "0.5000", "+0.1667", False)
    assert rows["Top-5"] == ("90.00 %", "90.00 %", "0.00", None)
    assert rows["Time"] == ("1 h 1 min", "24 s", f"{minus}1 h 0 min", None)

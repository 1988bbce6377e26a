"""What the progress bar shows, and what it does not know yet."""

import io
import re
from types import SimpleNamespace

import pytest
from mindspore import Tensor

from mindvit.run_metrics import EpochMetrics, EvalMetrics, WeightsKind
from mindvit.training.callbacks import progress
from mindvit.training.callbacks.metrics_recorder import MetricsRecorder, Throughput
from mindvit.training.callbacks.progress import ProgressBar
from mindvit.training.run_state import RunState


@pytest.fixture
def shown():
    """What the bar of a run of two epochs of three steps shows after each step, if the first update is skipped."""
    state = RunState(steps_per_epoch=3, total_steps=6)
    recorder = MetricsRecorder(state, Throughput(8, 1.0, 1e9), loss_scaled=True, max_skipped=9, last_checkpoint=str)
    bar, values = ProgressBar(recorder, state, epochs=2), []
    for step in range(1, 7):
        outputs = [Tensor(value) for value in (float(step), 2.0, 1e-3, step != 1)]
        arguments = SimpleNamespace(net_outputs=outputs)
        context = SimpleNamespace(original_args=lambda found=arguments: found, request_stop=lambda: None)
        if state.step % 3 == 0:
            recorder.on_train_epoch_begin(context)
        recorder.on_train_step_end(context)
        values.append(bar.values())
        if state.step % 3 == 0:
            recorder.read()
    return values


def test_the_bar_shows_no_value_before_it_is_known(shown):
    # The outputs of a step are read after the next step, and those of the first one are not finite.
    assert [values.get("loss") for values in shown] == [None, None, "2.0000", None, "4.0000", "5.0000"]
    assert shown[2].keys() == {"loss", "lr", "norm", "img/s", "mfu"}
    assert shown[1].keys() == {"img/s", "mfu"}
    assert shown[0] == {}, "the first step compiles, and has no speed"
    assert "nan" not in str(shown)


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def shown_lines(monkeypatch, capsys):
    """What a run of two epochs of three steps prints on a terminal of a width, or into a file (None)."""

    def run(columns, num_classes=10, blocks=12, seconds=0.0):
        clock = iter(range(10**6))
        monkeypatch.setattr(progress, "terminal_columns", lambda stream: columns)
        monkeypatch.setattr(progress.time, "monotonic", lambda: seconds * next(clock))
        screen = Terminal()
        monkeypatch.setattr("sys.stderr", screen)
        monkeypatch.setattr(progress, "_REFRESH_SECONDS", 0)
        monkeypatch.setattr("tqdm.std._screen_shape_wrapper", lambda: lambda stream: (columns - 1, 24))
        state = RunState(steps_per_epoch=9, total_steps=18)
        recorder = MetricsRecorder(state, Throughput(8, 1.0, 1e9), loss_scaled=True, max_skipped=9, last_checkpoint=str)
        bar = ProgressBar(recorder, state, 2, num_classes, blocks)
        with bar:
            bar.on_train_begin(None)
            for step in range(1, 19):
                outputs = [Tensor(value) for value in (float(step), 2.0, 1e-3, True)]
                arguments = SimpleNamespace(net_outputs=outputs)
                context = SimpleNamespace(original_args=lambda found=arguments: found, request_stop=lambda: None)
                if state.step % 9 == 0:
                    recorder.on_train_epoch_begin(context)
                recorder.on_train_step_end(context)
                bar.on_train_step_end(context)
                if state.at_epoch_end:
                    recorder.on_train_epoch_end(context)
                    found = EvalMetrics(top1=50.0, top5=100.0, val_loss=0.5)
                    recorder.epoch.evaluations = {WeightsKind.RAW: found, WeightsKind.EMA: found}
                    bar.on_train_epoch_end(context)
        return capsys.readouterr().out, screen.getvalue()

    return run


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_no_line_is_longer_than_the_terminal(shown_lines, columns):
    out, bar = shown_lines(columns)
    drawn = [line for line in re.split(r"[\r\n]", out + bar) if line.strip()]
    assert max(map(len, drawn)) < columns
    assert "epoch 2/2" in bar and "evaluating epoch 1/2" in bar and "compiling" in bar
    assert ("loss=" in bar) and ("mfu=" in bar) == (columns == 120)
    assert "nan" not in out + bar


def test_a_file_gets_plain_lines(shown_lines):
    out, bar = shown_lines(None, seconds=40.0)
    assert bar == "" and "\r" not in out and "\x1b" not in out
    lines = out.splitlines()
    assert lines[:2] == [
        "compiling the graph of 12 blocks, which usually takes about a minute …",
        "compiled; the first step is done after 40 s",
    ]
    assert re.fullmatch(r"epoch 1/2  step 2/18  loss 1\.0000  img/s [\d.]+  lr 1\.00e-03 .* left", lines[3])
    epochs = [line for line in lines if "val loss 0.5000  Top-1 50.00 %  Top-5 100.00 %  ema loss" in line]
    assert [line.split("  ")[0] for line in epochs] == ["epoch 1/2", "epoch 2/2"]


@pytest.mark.parametrize(("num_classes", "is_shown"), [(2, False), (5, False), (6, True)])
def test_top5_is_shown_only_where_it_says_something(shown_lines, num_classes, is_shown):
    out, _ = shown_lines(None, num_classes)
    assert ("Top-5" in out) == is_shown
    assert "Top-1" in out


@pytest.mark.parametrize(
    ("blocks", "words"),
    [(6, "usually takes less than a minute"), (12, "usually takes about a minute"), (24, "can take minutes")],
)
def test_the_wait_for_the_compilation_depends_on_the_depth(shown_lines, blocks, words):
    assert f"compiling the graph of {blocks} blocks, which {words}" in shown_lines(None, blocks=blocks)[0]


def test_an_epoch_of_skipped_steps_has_no_loss_to_show():
    state = RunState(steps_per_epoch=3, total_steps=6, step=3, skipped_steps=3)
    epoch = EpochMetrics(1, 3, float("nan"), 1e-3, float("nan"), 5.0, 0.1, 1.0, skipped_steps=3)
    groups = ProgressBar(None, state, 2)._describe(epoch)
    assert groups == [
        ["epoch 1/2", "no step changed the weights", "5.0 images/s", "MFU 10 %", "3 skipped steps"],
    ]

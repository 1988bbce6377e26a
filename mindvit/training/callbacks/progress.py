"""Shows the progress of a run."""

import sys
import time

from mindspore.train import Callback, RunContext
from tqdm import tqdm

from mindvit.console import fit_groups, fit_text, terminal_columns
from mindvit.run_metrics import EpochMetrics, WeightsKind, shows_top5
from mindvit.training.callbacks.metrics_recorder import MetricsRecorder
from mindvit.training.run_state import RunState

_REFRESH_SECONDS = 0.5
_LINE_SECONDS = 30.0
"""Time between two lines within an epoch where there is no terminal."""
_MIN_BAR = 8
"""Columns of the bar itself."""
_BAR_FORMAT = "{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"
_FEW_BLOCKS, _MANY_BLOCKS = 8, 16
"""Up to the first, a graph compiles in seconds; beyond the second, in minutes."""


class ProgressBar(Callback):
    """Shows the position in the run, its speed and the time left, and prints the metrics of each epoch.

    In a terminal this is a bar, and no line is longer than the terminal is wide. Elsewhere it is a plain line every 30
    seconds.

    Args:
        recorder: holds the metrics of the step and of the epoch.
        state: progress of the run.
        epochs: epochs of the run.
        num_classes: classes; where they are few, Top-5 says nothing and is omitted.
        blocks: Transformer blocks of the graph, which its compilation time depends on; None if no graph is compiled.
    """

    def __init__(
        self,
        recorder: MetricsRecorder,
        state: RunState,
        epochs: int,
        num_classes: int = 1000,
        blocks: int | None = 12,
    ) -> None:
        super().__init__()
        self.recorder = recorder
        self.state = state
        self.epochs = epochs
        self.num_classes = num_classes
        self.blocks = blocks
        self.bar: tqdm | None = None
        self._compiled = False
        self._since = time.monotonic()

    def on_train_begin(self, run_context: RunContext) -> None:
        self._since = time.monotonic()
        if self.blocks is None:
            line = "computing operator by operator (runtime.mode pynative), which is slow, but can be debugged"
        else:
            blocks = "1 block" if self.blocks == 1 else f"{self.blocks} blocks"
            line = f"compiling the graph of {blocks}, which {compile_time(self.blocks)} …"
        print(fit_text(line, terminal_columns(sys.stdout), indent=2), flush=True)
        if terminal_columns(sys.stderr) is not None:
            self.bar = tqdm(
                desc="first step" if self.blocks is None else "compiling",
                total=self.state.total_steps,
                initial=self.state.step,
                mininterval=_REFRESH_SECONDS,
                dynamic_ncols=True,
                smoothing=0.1,
                bar_format=_BAR_FORMAT,
            )

    def on_train_step_end(self, run_context: RunContext) -> None:
        if not self._compiled:
            self._compiled = True
            if self.blocks is not None:
                self._write(f"compiled; the first step is done after {time.monotonic() - self._since:.0f} s")
            if self.bar is not None:
                self.bar.unpause()  # The time of the compilation is none of the steps to come.
        if self.bar is None:
            self._print_step()
        elif self.state.at_epoch_end:
            self.bar.update(1)
            self.bar.set_postfix_str("", refresh=False)
            self.bar.set_description_str(f"evaluating epoch {self.state.epoch}/{self.epochs}")
        elif self.bar.update(1):  # True if the bar was redrawn; the text below shows at the next drawing.
            self.bar.set_description_str(f"epoch {self.state.epoch}/{self.epochs}", refresh=False)
            self.bar.set_postfix_str(self._fitting_values(), refresh=False)

    def on_train_epoch_end(self, run_context: RunContext) -> None:
        if self.bar is not None:
            self.bar.set_description_str(f"epoch {self.state.epoch}/{self.epochs}", refresh=False)
        if self.recorder.epoch is not None:
            first, *others = self._describe(self.recorder.epoch)
            indent = len(first[0]) + 2
            self._write(fit_groups([first, *others], terminal_columns(sys.stdout), indent))
            self._since = time.monotonic()

    def values(self) -> dict[str, str]:
        """What is known of the run, the most important first: the outputs of a step are read after the next starts."""
        recorder, state = self.recorder, self.state
        speed = recorder.images_per_second
        values = {}
        if recorder.loss is not None:
            values["loss"] = f"{recorder.loss:.4f}"
        if speed:
            values["img/s"] = f"{speed:.1f}"
        if recorder.loss is not None:
            values |= {"lr": f"{state.lr:.2e}", "norm": f"{recorder.norm:.2f}"}
        if speed:
            values["mfu"] = f"{100 * recorder.mfu(speed):.0f}%"
        return values

    def _describe(self, epoch: EpochMetrics) -> list[list[str]]:
        """The metrics of an epoch: those of training, and those of each kind of weights."""
        training = [f"epoch {epoch.epoch:>{len(str(self.epochs))}}/{self.epochs}"]
        if self.state.losses:
            training += [f"loss {epoch.train_loss:.4f}", f"lr {epoch.lr:.2e}", f"norm {epoch.grad_norm:.2f}"]
        else:
            training.append("no step changed the weights")
        training += [f"{epoch.images_per_second:.1f} images/s", f"MFU {100 * epoch.mfu:.0f} %"]
        for name in ("skipped_steps", "skipped_images"):
            if getattr(epoch, name):
                training.append(f"{getattr(epoch, name)} {name.replace('_', ' ')}")
        groups = [training]
        for kind, found in epoch.evaluations.items():
            name = "val" if kind is WeightsKind.RAW else kind.value
            groups.append([f"{name} loss {found.val_loss:.4f}", f"Top-1 {found.top1:.2f} %"])
            if shows_top5(self.num_classes):
                groups[-1].append(f"Top-5 {found.top5:.2f} %")
        return groups

    def _print_step(self) -> None:
        now, state = time.monotonic(), self.state
        if now - self._since < _LINE_SECONDS or state.at_epoch_end:
            return
        self._since = now
        values = [f"{name} {value}" for name, value in self.values().items()]
        speed = self.recorder.images_per_second
        if speed:
            left = (state.total_steps - state.step) * self.recorder.throughput.images_per_step / speed
            values.append(f"{tqdm.format_interval(left)} left")
        print("  ".join([f"epoch {state.epoch}/{self.epochs}", f"step {state.step}/{state.total_steps}", *values]))

    def _fitting_values(self) -> str:
        """As many of the values as the terminal has room for beside the bar."""
        columns, shown = terminal_columns(sys.stderr), ""
        drawn = {**self.bar.format_dict, "ncols": None, "postfix": None, "bar_format": _BAR_FORMAT.replace("{bar}", "")}
        room = columns - len(tqdm.format_meter(**drawn)) - _MIN_BAR - 2
        for name, value in self.values().items():
            longer = f"{shown}, {name}={value}".removeprefix(", ")
            if len(longer) > room:
                break
            shown = longer
        return shown

    def _write(self, line: str) -> None:
        if self.bar is None:
            print(line, flush=True)
        else:
            self.bar.write(line, file=sys.stdout)

    def __exit__(self, *error: object) -> None:
        if self.bar is not None:
            self.bar.set_postfix_str("", refresh=False)
            self.bar.close()


def compile_time(blocks: int) -> str:
    """How long MindSpore takes to compile a training step, in words. Two cores take 2 to 4 s a block."""
    if blocks <= _FEW_BLOCKS:
        return "usually takes less than a minute"
    return "usually takes about a minute" if blocks <= _MANY_BLOCKS else "can take minutes"

import gc
import signal
from pathlib import Path

import pytest

from mindvit.parsing import parse
from mindvit.training import trainer
from mindvit.training.callbacks import plot_curves
from mindvit.training.callbacks.metrics_recorder import MetricsRecorder
from mindvit.training.recipe import Recipe


@pytest.fixture
def train(tmp_path, tiny, monkeypatch):
    """Trains a tiny network with the options of train.py, and returns the run folder."""

    def run(*arguments, name="run", draws=False):
        if not draws:  # It takes a second.
            monkeypatch.setattr(plot_curves, "draw_curves", lambda metrics, target: Path(target).touch())
        recipe, _ = parse(Recipe, "", [*tiny, "--output_dir", str(tmp_path / name), *map(str, arguments)])
        gc.collect()  # See free_graphs: the graphs of an earlier run of the same test.
        trainer.train(recipe)
        return tmp_path / name

    return run


@pytest.fixture
def signalled(monkeypatch):
    """Makes runs receive signals at the end of a step. Returns a function that ends this."""

    def arrange(step, *numbers):
        class SignalledRecorder(MetricsRecorder):
            def on_train_step_end(self, run_context):
                super().on_train_step_end(run_context)
                if self.state.step == step:
                    for number in numbers:
                        signal.raise_signal(number)

        monkeypatch.setattr(trainer, "MetricsRecorder", SignalledRecorder)
        return lambda: monkeypatch.setattr(trainer, "MetricsRecorder", MetricsRecorder)

    return arrange

"""What the progress bar shows, and what it does not know yet."""

from types import SimpleNamespace

import pytest
from mindspore import Tensor

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
    assert shown[2].keys() == {"loss", "lr", "norm", "img_s", "mfu"}
    assert shown[1].keys() == {"img_s", "mfu"}
    assert shown[0] == {}, "the first step compiles, and has no speed"
    assert "nan" not in str(shown)

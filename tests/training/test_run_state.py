import json

import pytest

from mindvit.run_metrics import WeightsKind
from mindvit.training.best_checkpoints import BestCheckpoint
from mindvit.training.run_state import RunState


@pytest.mark.parametrize(
    ("step", "epoch", "at_end"),
    [(0, 1, False), (1, 1, False), (9, 1, False), (10, 1, True), (11, 2, False), (20, 2, True), (24, 3, False)],
)
def test_the_epoch_is_the_one_of_the_last_step(step, epoch, at_end):
    state = RunState(steps_per_epoch=10, total_steps=25, step=step)
    assert (state.epoch, state.at_epoch_end) == (epoch, at_end)


def test_a_run_that_ends_within_an_epoch_ends_that_epoch():
    state = RunState(steps_per_epoch=10, total_steps=25, step=25)
    assert (state.epoch, state.at_epoch_end) == (3, True)


def test_an_epoch_is_unrecorded_until_it_was_evaluated():
    state = RunState(steps_per_epoch=10, total_steps=25)
    unrecorded = []
    for step in (0, 9, 10, 11, 20, 25):
        state.step = step
        unrecorded.append(state.is_unrecorded)
        state.recorded_epochs = state.epoch if state.at_epoch_end else state.recorded_epochs
        assert not state.is_unrecorded
    assert unrecorded == [False, False, True, False, True, True]


def test_an_epoch_starts_without_the_values_of_the_previous_epoch():
    state = RunState(10, 25, step=10, losses=[1.0], norms=[2.0], skipped_steps=3, skipped_in_a_row=2)
    state.begin_epoch()
    assert (state.losses, state.norms, state.skipped_steps) == ([], [], 0)
    assert state.skipped_in_a_row == 2, "consecutive overflows are counted across epochs"


def test_resuming_within_an_epoch_keeps_its_values():
    state = RunState(10, 25, step=13, losses=[1.0], norms=[2.0], skipped_steps=3)
    state.begin_epoch()
    assert (state.losses, state.norms, state.skipped_steps) == ([1.0], [2.0], 3)


def test_run_states_share_no_list():
    first, second = RunState(1, 1), RunState(1, 1)
    first.losses.append(1.0)
    first.best.append({})
    assert second.losses == second.best == []


def test_a_run_state_survives_json():
    best = BestCheckpoint(WeightsKind.EMA, 1, 10, 0.5, 100, 80.0, 95.0, 0.9, file="a.ckpt")
    state = RunState(10, 25, step=13, losses=[1.0], norms=[2.0], best=[best], best_score=(80.0, -0.9))
    assert RunState.from_json(json.loads(json.dumps(state.to_json()))) == state


def test_weights_whose_loss_was_not_finite_are_no_longer_among_the_best():
    best = BestCheckpoint(WeightsKind.RAW, 1, 10, 0.5, 100, 0.0, 0.0, 0.9, file="a.ckpt")
    stored = RunState(10, 25, best=[best]).to_json()
    stored["best"].append(stored["best"][0] | {"val_loss": None})
    assert RunState.from_json(stored).best == [best]


@pytest.mark.parametrize("change", [{"steps_per_epoch": 0}, {"step": -1}, {"total_steps": -5}, {"metrics_bytes": -1}])
def test_a_run_state_out_of_range_is_refused(change):
    with pytest.raises(ValueError, match="a negative number of steps or bytes, or an epoch without steps"):
        RunState.from_json({**RunState(10, 25).to_json(), **change})

import json
import math

import numpy as np
import pytest
from mindspore.nn import cosine_decay_lr

from mindvit.errors import UserError
from mindvit.training import lr_schedule
from mindvit.training.lr_schedule import ScheduleSettings, learning_rates, warn_of_warmup_only
from tests.conftest import ROOT

NAMES = ("cosine", "linear", "step", "constant", "inverse_sqrt")
TIMM_SCHEDULES = json.loads((ROOT / "tests/references/recipes.json").read_text())["schedules"]


def test_warmup_rises_linearly_and_cosine_falls_to_min_lr():
    rates = learning_rates(ScheduleSettings(warmup_epochs=2, warmup_lr=0.1, min_lr=0.2), 1.0, 50, 5)
    assert rates.shape == (50,)
    assert rates.dtype == np.float32
    for step in (0, 3, 9):
        assert rates[step] == pytest.approx(0.1 + 0.9 * step / 10)
    for step in (10, 25, 49):
        assert rates[step] == pytest.approx(0.2 + 0.8 * (1 + math.cos(math.pi * (step - 10) / 40)) / 2)


def test_without_warmup_the_first_step_has_the_peak_learning_rate():
    rates = learning_rates(ScheduleSettings(), 5e-5, 30, 3)
    assert rates[0] == pytest.approx(5e-5)
    assert (np.diff(rates) < 0).all()


def test_warmup_may_be_a_fraction_of_an_epoch():
    rates = learning_rates(ScheduleSettings(warmup_epochs=0.5), 1.0, 16, 8)
    assert rates.argmax() == 4


def test_a_run_shorter_than_its_warmup_ends_within_it():
    rates = learning_rates(ScheduleSettings(warmup_epochs=5, cooldown_epochs=1), 1.0, 8, 4)
    np.testing.assert_allclose(rates, np.arange(8) / 20, rtol=1e-6)


def test_linear_falls_by_the_same_amount_each_step_to_min_lr():
    rates = learning_rates(ScheduleSettings("linear", warmup_steps=2, min_lr=0.2), 1.0, 10, 5)
    np.testing.assert_allclose(rates, [0.0, 0.5, 1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3], rtol=1e-6)


def test_step_drops_after_each_period_but_not_below_min_lr():
    settings = ScheduleSettings("step", warmup_steps=1, step_epochs=1.5, step_factor=0.5, min_lr=0.2)
    rates = learning_rates(settings, 1.0, 11, 2)
    np.testing.assert_allclose(rates, [0.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.2], rtol=1e-6)


def test_step_drops_to_a_tenth_every_thirty_epochs_by_default():
    rates = learning_rates(ScheduleSettings("step"), 1.0, 180, 2)
    np.testing.assert_allclose(rates[[0, 59, 60, 119, 120, 179]], [1.0, 1.0, 0.1, 0.1, 0.01, 0.01], rtol=1e-6)


def test_constant_keeps_the_peak_learning_rate():
    rates = learning_rates(ScheduleSettings("constant", warmup_steps=2, min_lr=0.1), 0.4, 5, 5)
    np.testing.assert_allclose(rates, [0.0, 0.2, 0.4, 0.4, 0.4], rtol=1e-6)


def test_inverse_sqrt_falls_with_the_root_of_the_steps_after_warmup_but_not_below_min_lr():
    settings = ScheduleSettings("inverse_sqrt", warmup_steps=1, timescale_steps=3, min_lr=0.4)
    rates = learning_rates(settings, 1.0, 30, 5)
    expected = [0.0, 1.0, math.sqrt(3 / 4), math.sqrt(3 / 5), math.sqrt(3 / 6), math.sqrt(3 / 7)]
    np.testing.assert_allclose(rates[:6], expected, rtol=1e-6)
    assert rates[10] == pytest.approx(0.5)  # sqrt(3 / (3 + 9))
    assert rates[16] == pytest.approx(math.sqrt(3 / 18))
    np.testing.assert_allclose(rates[17:], 0.4, rtol=1e-6)  # sqrt(3 / 19) = 0.397


@pytest.mark.parametrize(
    ("settings", "last"),
    [
        (ScheduleSettings("constant", min_lr=0.2, cooldown_steps=4), 1.0),
        (ScheduleSettings("inverse_sqrt", timescale_steps=2, min_lr=0.2, cooldown_epochs=2), 0.5),  # sqrt(2 / (2 + 6))
        (ScheduleSettings("step", step_steps=4, step_factor=0.6, min_lr=0.2, cooldown_steps=4), 0.6),
        (ScheduleSettings("cosine", min_lr=0.2, cooldown_epochs=2), 0.2),
        (ScheduleSettings("linear", min_lr=0.2, cooldown_steps=4), 0.2),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_cooldown_falls_linearly_from_the_last_rate_to_min_lr(settings, last):
    rates = learning_rates(settings, 1.0, 10, 2)
    np.testing.assert_allclose(rates[6:], [last + (0.2 - last) * part for part in (0, 0.25, 0.5, 0.75)], rtol=1e-6)


@pytest.mark.parametrize("name", ["cosine", "linear"])
def test_the_schedule_ends_where_the_cooldown_starts(name):
    plain = learning_rates(ScheduleSettings(name, warmup_steps=2, min_lr=0.1), 1.0, 10, 5)
    cooled = learning_rates(ScheduleSettings(name, warmup_steps=2, min_lr=0.1, cooldown_steps=3), 1.0, 13, 5)
    np.testing.assert_array_equal(cooled[:10], plain)
    np.testing.assert_allclose(cooled[10:], 0.1, rtol=1e-6)


def test_a_cooldown_that_is_too_long_takes_the_steps_that_the_warmup_leaves():
    rates = learning_rates(ScheduleSettings(warmup_steps=4, cooldown_steps=8), 1.0, 8, 4)
    np.testing.assert_allclose(rates, [0.0, 0.25, 0.5, 0.75, 1.0, 0.75, 0.5, 0.25], rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_length_in_steps_is_the_same_as_in_epochs(name):
    in_epochs = ScheduleSettings(name, warmup_epochs=1.5, cooldown_epochs=2, step_epochs=0.5)
    in_steps = ScheduleSettings(name, warmup_steps=6, cooldown_steps=8, step_steps=2)
    rates = learning_rates(in_epochs, 1.0, 32, 4)
    np.testing.assert_array_equal(rates, learning_rates(in_steps, 1.0, 32, 4))
    assert len(rates) == 32
    assert rates[5] < rates[6] == 1.0
    assert rates[-1] < 1.0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"warmup_epochs": 1, "warmup_steps": 5}, "schedule.warmup_epochs and schedule.warmup_steps both set"),
        ({"cooldown_epochs": 1, "cooldown_steps": 0}, "schedule.cooldown_epochs and schedule.cooldown_steps"),
        ({"step_epochs": 10, "step_steps": 5}, "schedule.step_epochs and schedule.step_steps"),
        ({"warmup_steps": -1}, "schedule.warmup_steps must not be negative, not -1"),
        ({"warmup_epochs": -0.5}, "schedule.warmup_epochs must not be negative, not -0.5"),
        ({"warmup_lr": -1}, "schedule.warmup_lr must not be negative"),
        ({"cooldown_epochs": -1}, "schedule.cooldown_epochs must not be negative"),
        ({"cooldown_steps": -1}, "schedule.cooldown_steps must not be negative"),
        ({"step_epochs": 0}, "schedule.step_epochs must be above 0, not 0"),
        ({"step_steps": 0}, "schedule.step_steps must be above 0, not 0"),
        ({"step_factor": 1.5}, "schedule.step_factor must be above 0 and at most 1, not 1.5"),
        ({"timescale_steps": 0}, "schedule.timescale_steps must be above 0, not 0"),
        ({"delay_epochs": -1}, "schedule.delay_epochs must not be negative, not -1"),
        ({"hold_epochs": -1}, "schedule.hold_epochs must not be negative, not -1"),
        ({"decay_epochs": 0}, "schedule.decay_epochs must be above 0, not 0"),
        ({"name": "step", "decay_epochs": 3}, "schedule.decay_epochs is for cosine and linear, not for step"),
        ({"interval": "batch"}, "schedule.interval must be one of step, epoch, not 'batch'"),
    ],
)
def test_a_setting_out_of_range_is_an_error(settings, words):
    with pytest.raises(ValueError, match=words):
        ScheduleSettings(**settings)


def timm_settings(arguments):
    """The settings that make a schedule of timm's training script."""
    return ScheduleSettings(
        arguments["sched"],
        interval="step" if arguments["updates"] else "epoch",
        warmup_epochs=arguments["warmup_epochs"],
        warmup_lr=0.05,
        warmup_prefix=bool(arguments.get("warmup_prefix")),
        decay_epochs=arguments["num_epochs"] if arguments["sched"] == "cosine" else None,
        min_lr=arguments.get("min_lr", 0),
        cooldown_epochs=arguments.get("cooldown_epochs", 0),
        **({"step_epochs": arguments["decay_epochs"]} if "decay_epochs" in arguments else {}),
    )


@pytest.mark.parametrize("case", TIMM_SCHEDULES)
def test_schedules_of_timms_training_script(case):
    expected = TIMM_SCHEDULES[case]["rates"]
    rates = learning_rates(timm_settings(TIMM_SCHEDULES[case]["arguments"]), 0.5, len(expected), 4)
    np.testing.assert_allclose(rates, expected, rtol=1e-6)


def test_with_interval_epoch_all_steps_of_an_epoch_have_the_rate_of_its_first_step():
    settings = {"warmup_epochs": 2, "warmup_lr": 0.1, "min_lr": 0.2, "cooldown_epochs": 1}
    by_step = learning_rates(ScheduleSettings(**settings), 1.0, 30, 4)
    by_epoch = learning_rates(ScheduleSettings(**settings, interval="epoch"), 1.0, 30, 4)
    np.testing.assert_array_equal(by_epoch, np.repeat(by_step[::4], 4)[:30])


def test_interval_epoch_is_mindspores_cosine_decay_lr():
    expected = cosine_decay_lr(0.1, 1.0, 21, 3, 5)
    rates = learning_rates(ScheduleSettings(interval="epoch", decay_epochs=5, min_lr=0.1), 1.0, 21, 3)
    np.testing.assert_allclose(rates, expected, rtol=1e-6)


def test_without_warmup_prefix_the_warmup_replaces_the_start_of_the_schedule():
    plain = learning_rates(ScheduleSettings(), 1.0, 20, 5)
    rates = learning_rates(ScheduleSettings(warmup_steps=4, warmup_prefix=False), 1.0, 20, 5)
    np.testing.assert_allclose(rates[:4], [0, 0.25, 0.5, 0.75], rtol=1e-6)
    np.testing.assert_array_equal(rates[4:], plain[4:])


@pytest.mark.parametrize("name", NAMES)
def test_delay_epochs_repeats_the_first_rate_and_cuts_off_the_end(name):
    settings = {"name": name, "warmup_steps": 3, "warmup_lr": 0.2, "cooldown_steps": 4}
    plain = learning_rates(ScheduleSettings(**settings), 1.0, 20, 5)
    delayed = learning_rates(ScheduleSettings(**settings, delay_epochs=1), 1.0, 20, 5)
    np.testing.assert_array_equal(delayed, [*[plain[0]] * 5, *plain[:15]])


def test_hold_epochs_keeps_the_peak_before_the_schedule_falls():
    rates = learning_rates(ScheduleSettings("linear", warmup_steps=2, hold_epochs=1), 1.0, 11, 5)
    np.testing.assert_allclose(rates, [0, 0.5, *[1.0] * 6, 0.75, 0.5, 0.25], rtol=1e-6)


def test_decay_epochs_is_the_length_of_the_fall_whatever_the_length_of_the_run():
    settings = ScheduleSettings("linear", warmup_steps=2, decay_epochs=2, min_lr=0.2)
    np.testing.assert_allclose(learning_rates(settings, 1.0, 4, 2), [0, 0.5, 1, 0.8], rtol=1e-6)
    np.testing.assert_allclose(learning_rates(settings, 1.0, 8, 2), [0, 0.5, 1, 0.8, 0.6, 0.4, 0.2, 0.2], rtol=1e-6)


def test_a_run_that_lies_in_its_warmup_is_noted_with_both_lengths_and_the_cure():
    words = (
        r"warmup takes 110 steps \(schedule.warmup_epochs 5\), the run 110\..*smaller schedule.warmup_epochs or train"
    )
    with pytest.warns(UserWarning, match=words):
        warn_of_warmup_only(ScheduleSettings(warmup_epochs=5), 110, 22)
    with pytest.warns(UserWarning, match=r"schedule.warmup_steps 200\), the run 110"):
        warn_of_warmup_only(ScheduleSettings(warmup_steps=200), 110, 22)
    with pytest.warns(UserWarning, match=r"after schedule.delay_epochs 1, the run 132"):
        warn_of_warmup_only(ScheduleSettings(warmup_epochs=5, interval="epoch", delay_epochs=1), 132, 22)


def test_a_run_that_reaches_its_peak_is_not_noted(recwarn):
    warn_of_warmup_only(ScheduleSettings(), 1, 22)
    warn_of_warmup_only(ScheduleSettings(warmup_epochs=5), 111, 22)
    warn_of_warmup_only(ScheduleSettings(warmup_epochs=5, interval="epoch", delay_epochs=1), 154, 22)
    assert not recwarn.list


def test_more_steps_than_a_run_may_have_are_refused_with_the_bound():
    words = (
        r"22,000,000,000 steps, 22 per epoch, .*at most 100,000,000 steps; set a smaller train.epochs or train.steps"
    )
    with pytest.raises(UserError, match=words):
        learning_rates(ScheduleSettings(), 1.0, 22 * 10**9, 22)


def test_the_learning_rates_of_a_long_run_are_computed_in_pieces(monkeypatch):
    settings = ScheduleSettings(warmup_steps=5, cooldown_steps=7)
    expected = learning_rates(settings, 1.0, 50, 5)
    monkeypatch.setattr(lr_schedule, "_CHUNK", 8)
    np.testing.assert_array_equal(learning_rates(settings, 1.0, 50, 5), expected)


@pytest.mark.parametrize("part", ["warmup", "cooldown", "step"])
@pytest.mark.parametrize("length", [{"epochs": 1e38}, {"steps": 10**30}], ids=["epochs", "steps"])
def test_a_length_beyond_any_run_is_taken_as_that(part, length):
    ((unit, value),) = length.items()
    rates = learning_rates(ScheduleSettings("step", **{f"{part}_{unit}": value}), 1.0, 6, 2)
    assert rates.shape == (6,)
    assert np.isfinite(rates).all()

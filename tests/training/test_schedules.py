import math

import numpy as np
import pytest

from mindvit.training.schedules import ScheduleSettings, learning_rates


def test_warmup_rises_linearly_and_the_cosine_falls_to_the_floor():
    rates = learning_rates(ScheduleSettings(warmup_epochs=2, warmup_lr=0.1, min_lr=0.2), 1.0, 10, 5)
    assert rates.shape == (50,)
    assert rates.dtype == np.float32
    for step in (0, 3, 9):
        assert rates[step] == pytest.approx(0.1 + 0.9 * step / 10)
    for step in (10, 25, 49):
        assert rates[step] == pytest.approx(0.2 + 0.8 * (1 + math.cos(math.pi * (step - 10) / 40)) / 2)


def test_without_warmup_the_first_step_has_the_peak():
    rates = learning_rates(ScheduleSettings(), 5e-5, 10, 3)
    assert rates[0] == pytest.approx(5e-5)
    assert (np.diff(rates) < 0).all()


def test_warmup_may_be_a_part_of_an_epoch():
    rates = learning_rates(ScheduleSettings(warmup_epochs=0.5), 1.0, 2, 8)
    assert rates.argmax() == 4


def test_a_run_shorter_than_its_warmup_ends_within_it():
    rates = learning_rates(ScheduleSettings(warmup_epochs=5), 1.0, 2, 4)
    np.testing.assert_allclose(rates, np.arange(8) / 20, rtol=1e-6)

import numpy as np
import pytest

from mindvit.data.sampling import SamplingPlan, TrainSampler
from mindvit.errors import UserError


def epoch_of(course, epoch):
    first = epoch * course.samples_per_epoch
    return [course.image(visit) for visit in range(first, first + course.samples_per_epoch)]


def test_an_epoch_has_as_many_whole_steps_as_there_are_images_for():
    for world_size, steps, visits in ((1, 6, 18), (2, 3, 18), (3, 2, 18), (4, 1, 12)):
        course = SamplingPlan(20, 3, 0, world_size=world_size)
        assert (course.steps_per_epoch, course.samples_per_epoch) == (steps, visits)


def test_an_epoch_visits_no_image_twice_and_leaves_out_only_what_fills_no_step():
    course = SamplingPlan(11, 4, 0)
    for epoch in range(30):
        seen = epoch_of(course, epoch)
        assert len(seen) == len(set(seen)) == 8
        assert set(seen) <= set(range(11))


def test_each_epoch_leaves_out_other_images():
    course = SamplingPlan(11, 4, 0)
    left_out = [set(range(11)) - set(epoch_of(course, epoch)) for epoch in range(30)]
    assert set.union(*left_out) == set(range(11))


def test_each_epoch_and_each_seed_has_an_order_of_its_own():
    orders = [tuple(epoch_of(SamplingPlan(12, 4, seed), epoch)) for seed in (0, 1, 2) for epoch in range(10)]
    assert len(set(orders)) == 30
    assert all(sorted(order) == list(range(12)) for order in orders)
    assert tuple(range(12)) not in orders


def test_every_image_stands_anywhere_in_an_epoch_equally_often():
    course = SamplingPlan(5, 1, 3)
    counts = np.zeros((5, 5))
    for epoch in range(3000):
        counts[range(5), epoch_of(course, epoch)] += 1
    np.testing.assert_allclose(counts / 3000, 1 / 5, atol=0.035)


@pytest.mark.parametrize("repeats", [2, 3, 4])
def test_repeats_visit_fewer_images_each_so_many_times_in_a_row(repeats):
    course = SamplingPlan(22, 2, 0, repeats=repeats)
    for epoch in range(5):
        seen = epoch_of(course, epoch)
        assert len(seen) == 22
        runs = [seen[start : start + repeats] for start in range(0, 22, repeats)]
        assert all(len(set(run)) == 1 for run in runs)
        assert len({run[0] for run in runs}) == len(runs) == -(-22 // repeats), "the last one may come short"
    assert {image for epoch in range(60) for image in epoch_of(course, epoch)} == set(range(22))


def test_workers_take_a_steps_visits_in_turn():
    """Two workers united see, step by step, what one worker with twice the batch sees."""
    whole = list(TrainSampler(SamplingPlan(26, 6, 0)))
    shares = [list(TrainSampler(SamplingPlan(26, 3, 0, rank=rank, world_size=2))) for rank in range(2)]
    assert len(whole) == 24
    for step in range(4):
        parts = [share[3 * step : 3 * step + 3] for share in shares]
        assert [visit for pair in zip(*parts, strict=True) for visit in pair] == whole[6 * step : 6 * step + 6]


def test_a_course_of_several_workers_is_the_same_for_each():
    one, *others = (SamplingPlan(26, 3, 5, rank=rank, world_size=2) for rank in (0, 1))
    assert all(epoch_of(course, 2) == epoch_of(one, 2) for course in others)
    assert epoch_of(one, 2) == epoch_of(SamplingPlan(26, 6, 5), 2)


@pytest.mark.parametrize(("rank", "world_size"), [(0, 1), (1, 2)])
@pytest.mark.parametrize("first_step", [0, 1, 2, 3, 7, 11])
def test_visits_go_on_where_a_run_stopped(rank, world_size, first_step):
    course = SamplingPlan(10 * world_size, 3, 0, rank=rank, world_size=world_size)  # Three steps an epoch.
    whole = TrainSampler(course)
    all_visits = [visit for _ in range(6) for visit in whole]
    visits = TrainSampler(course, first_step)
    rest, following = list(visits), list(visits)
    assert len(rest) == 3 * (3 - first_step % 3) and len(following) == 9
    assert rest + following == all_visits[3 * first_step :][: len(rest) + 9]


def test_too_few_images_for_a_step_are_refused_in_terms_of_the_settings():
    SamplingPlan(12, 6, 0, world_size=2).check("pets")
    with pytest.raises(UserError) as error:
        SamplingPlan(11, 12, 0).check("pets")
    for words in ("takes 12 images (", "data.batch_size", "train.accumulate_steps", "pets has only 11"):
        assert words in str(error.value)
    with pytest.raises(UserError, match="takes 6 images for each of 2 workers"):
        SamplingPlan(11, 6, 0, world_size=2).check("pets")

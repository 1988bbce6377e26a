import numpy as np
import pytest

from mindvit.data.sampling import ClassGroups, SamplingPlan, TrainSampler
from mindvit.errors import UserError


def images_of_epoch(plan, epoch):
    first = epoch * plan.samples_per_epoch
    return [plan.image_index(sample) for sample in range(first, first + plan.samples_per_epoch)]


def test_an_epoch_has_the_greatest_number_of_whole_steps():
    for world_size, steps, samples in ((1, 6, 18), (2, 3, 18), (3, 2, 18), (4, 1, 12)):
        plan = SamplingPlan(20, 3, 0, world_size=world_size)
        assert (plan.steps_per_epoch, plan.samples_per_epoch) == (steps, samples)


def test_an_epoch_shows_no_image_twice_and_drops_only_the_incomplete_step():
    plan = SamplingPlan(11, 4, 0)
    for epoch in range(30):
        seen = images_of_epoch(plan, epoch)
        assert len(seen) == len(set(seen)) == 8
        assert set(seen) <= set(range(11))


def test_each_epoch_drops_different_images():
    plan = SamplingPlan(11, 4, 0)
    dropped = [set(range(11)) - set(images_of_epoch(plan, epoch)) for epoch in range(30)]
    assert set.union(*dropped) == set(range(11))


def test_each_epoch_and_each_seed_has_its_own_order():
    orders = [tuple(images_of_epoch(SamplingPlan(12, 4, seed), epoch)) for seed in (0, 1, 2) for epoch in range(10)]
    assert len(set(orders)) == 30
    assert all(sorted(order) == list(range(12)) for order in orders)
    assert tuple(range(12)) not in orders


def test_every_position_in_an_epoch_is_equally_likely_for_an_image():
    plan = SamplingPlan(5, 1, 3)
    counts = np.zeros((5, 5))
    for epoch in range(3000):
        counts[range(5), images_of_epoch(plan, epoch)] += 1
    np.testing.assert_allclose(counts / 3000, 1 / 5, atol=0.035)


@pytest.mark.parametrize("repeated_aug", [2, 3, 4])
def test_repeated_augmentation_shows_fewer_images_each_repeated_in_a_row(repeated_aug):
    plan = SamplingPlan(22, 2, 0, repeated_aug=repeated_aug)
    for epoch in range(5):
        seen = images_of_epoch(plan, epoch)
        assert len(seen) == 22
        runs = [seen[start : start + repeated_aug] for start in range(0, 22, repeated_aug)]
        assert all(len(set(run)) == 1 for run in runs)
        assert len({run[0] for run in runs}) == len(runs) == -(-22 // repeated_aug), "the last run may be shorter"
    assert {image for epoch in range(60) for image in images_of_epoch(plan, epoch)} == set(range(22))


def test_ranks_take_the_samples_of_a_step_in_turn():
    """Two ranks together see, step by step, what one rank with twice the batch size sees."""
    whole, *parts = SamplingPlan(26, 6, 0), *(SamplingPlan(26, 3, 0, rank=rank, world_size=2) for rank in range(2))
    for step in range(9):
        pairs = zip(*(part.samples_of_step(step) for part in parts), strict=True)
        assert [sample for pair in pairs for sample in pair] == list(whole.samples_of_step(step))
    assert [whole.samples_of_step(step)[0] for step in range(3)] == [0, 6, 12]


def test_the_sampling_plan_is_the_same_on_all_ranks():
    one, *others = (SamplingPlan(26, 3, 5, rank=rank, world_size=2) for rank in (0, 1))
    assert all(images_of_epoch(plan, 2) == images_of_epoch(one, 2) for plan in others)
    assert images_of_epoch(one, 2) == images_of_epoch(SamplingPlan(26, 6, 5), 2)


@pytest.mark.parametrize(("rank", "world_size"), [(0, 1), (1, 2)])
@pytest.mark.parametrize("first_step", [0, 1, 2, 3, 7, 11])
def test_the_sampler_resumes_at_a_step(rank, world_size, first_step):
    plan = SamplingPlan(10 * world_size, 3, 0, rank=rank, world_size=world_size)  # Three steps per epoch.
    sampler = TrainSampler(plan, first_step)
    end = 3 * (first_step // 3 + 1)
    assert list(sampler) == list(range(first_step, end))
    assert list(sampler) == list(range(end, end + 3))


def test_too_few_images_for_a_step_are_reported_with_the_settings():
    SamplingPlan(12, 6, 0, world_size=2).check("pets")
    with pytest.raises(UserError) as error:
        SamplingPlan(11, 12, 0).check("pets")
    for words in ("takes 12 images (", "data.batch_size", "train.accumulate_steps", "pets has only 11"):
        assert words in str(error.value)
    with pytest.raises(UserError, match="takes 6 images on each of 2 ranks"):
        SamplingPlan(11, 6, 0, world_size=2).check("pets")


def test_more_repeats_than_images_take_no_more_memory_than_the_images():
    plan = SamplingPlan(26, 3, 5, repeated_aug=10**12)
    assert len({plan.image_index(sample) for sample in range(plan.samples_per_epoch)}) == 1


# Balanced sampling

LABELS = np.repeat([0, 1, 2, 4], [60, 20, 5, 1])  # Class 3 has no images.


def balanced(batch_size=7, seed=3, **options):
    return SamplingPlan(len(LABELS), batch_size, seed, groups=ClassGroups.of(LABELS), **options)


def test_balanced_epochs_show_each_class_equally_often():
    plan = balanced()
    assert plan.samples_per_epoch == 84
    for epoch in range(5):
        assert np.bincount(LABELS[images_of_epoch(plan, epoch)]).tolist() == [21, 21, 21, 0, 21]
    for epoch in range(5):
        counts = np.bincount(LABELS[images_of_epoch(balanced(batch_size=6), epoch)])[[0, 1, 2, 4]]
        assert counts.max() - counts.min() <= 1
    assert not np.array_equal(LABELS[images_of_epoch(plan, 0)], LABELS[images_of_epoch(plan, 1)]), "shuffled"


def test_balanced_epochs_together_show_the_images_of_a_class_equally_often():
    shown = [image for epoch in range(20) for image in images_of_epoch(balanced(), epoch)]  # 420 of each class.
    counts = np.bincount(shown, minlength=len(LABELS))
    assert counts[:60].tolist() == [7] * 60
    assert counts[60:80].tolist() == [21] * 20
    assert counts[80:].tolist() == [84] * 5 + [420]


def test_the_passes_through_a_class_have_other_orders():
    shown = [image for epoch in range(20) for image in images_of_epoch(balanced(batch_size=84), epoch) if image < 60]
    assert shown[:60] != shown[60:120]
    assert images_of_epoch(balanced(), 2) == images_of_epoch(balanced(), 2)
    assert images_of_epoch(balanced(seed=4), 2) != images_of_epoch(balanced(), 2)


def test_balanced_sampling_is_the_same_on_all_ranks():
    ranks = [balanced(batch_size=3, rank=rank, world_size=2) for rank in (0, 1)]
    assert images_of_epoch(ranks[0], 2) == images_of_epoch(ranks[1], 2) == images_of_epoch(balanced(batch_size=6), 2)


def test_balanced_samples_are_repeated_with_repeated_augmentation():
    images = np.array(images_of_epoch(balanced(repeated_aug=3), 1)).reshape(-1, 3)
    assert (images == images[:, :1]).all()
    assert np.bincount(LABELS[images[:, 0]]).tolist() == [7, 7, 7, 0, 7]
    assert len(set(images_of_epoch(balanced(repeated_aug=10**12), 1))) == 1

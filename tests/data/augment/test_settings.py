import pytest

from mindvit.data.settings import AugmentSettings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("crop", "center"),
        ("auto_augment", "augmix"),
        ("randaugment_ops", 0),
        ("randaugment_magnitude", 10.5),
        ("randaugment_magnitude", -1.0),
        ("randaugment_noise", -0.5),
        ("randaugment_noise", float("nan")),
        ("randaugment_prob", 1.5),
        ("color_jitter", 1.1),
        ("random_erasing", -0.1),
        ("mixup", -0.2),
        ("cutmix", float("inf")),
        ("mixup_prob", 2.0),
        ("mixup_switch_prob", float("nan")),
        ("repeated_aug", 0),
    ],
)
def test_a_setting_out_of_range_is_reported(name, value):
    with pytest.raises(ValueError, match=rf"^augment\.{name} must .*, not {value!r}$"):
        AugmentSettings(**{name: value})


def test_the_limits_of_the_ranges_are_accepted():
    AugmentSettings(randaugment_magnitude=10.0, randaugment_prob=1.0, color_jitter=1.0, random_erasing=1.0)
    AugmentSettings(
        randaugment_magnitude=0.0, randaugment_prob=0.0, mixup_prob=0.0, mixup_switch_prob=1.0, repeated_aug=3
    )

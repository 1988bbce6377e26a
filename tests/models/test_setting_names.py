import pytest

from mindvit.models.setting_names import MODEL_NAMES, nearest_setting

SETTINGS = [
    *("model.name", "loss.name", "loss.smoothing", "loss.label_smoothing", "optimizer.lr", "optimizer.name"),
    *("schedule.warmup_lr", "train.log_steps", "json"),
]
OTHERS = {
    "learning_rate": ("absent", "lr"),
    "model": ("model.name",),
    "loss": ("loss.name",),
    "smoothing": ("label_smoothing",),
}


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("lr", "optimizer.lr"),
        ("train.lr", "optimizer.lr"),
        ("LR", "optimizer.lr"),
        ("log-steps", "train.log_steps"),
        ("train.log-steps", "train.log_steps"),
        ("warmup-lr", "schedule.warmup_lr"),
        ("learning-rate", "optimizer.lr"),
        ("smoothing", "loss.label_smoothing"),
        ("optimizer.learning_rate", "optimizer.lr"),
        ("model", "model.name"),
        ("loss", "loss.name"),
        ("optimiser.name", "optimizer.name"),
        ("optimizer.lrr", "optimizer.lr"),
        ("jsn", "json"),
    ],
)
def test_the_other_name_then_the_last_part_then_the_spelling_decides(name, setting):
    assert nearest_setting(name, SETTINGS, OTHERS) == setting


def test_names_of_other_libraries_differ_from_what_they_mean():
    for name, meant in MODEL_NAMES.items():
        assert name not in meant

import pytest

from mindvit.training.best_checkpoints import CheckpointSettings, candidates, key_of, score

NAN = float("nan")


def record(**more):
    common = {"epoch": 3, "step": 30, "train_loss": 0.5, "num_images": 100, "lr": 0.1}
    return {**common, "top1": 80.0, "top5": 95.0, "val_loss": 0.9, **more}


def candidate(top1, val_loss):
    return {"top1": top1, "val_loss": val_loss}


def best(metric, *found):
    return max(found, key=lambda item: score(item, metric))


def test_each_kind_of_weights_that_was_evaluated_is_a_candidate():
    raw, average = candidates(record(ema_top1=82.0, ema_top5=96.0, ema_val_loss=0.8))
    common = {"epoch": 3, "step": 30, "train_loss": 0.5, "num_images": 100}
    assert raw == {"weights": "", **common, "top1": 80.0, "top5": 95.0, "val_loss": 0.9}
    assert average == {"weights": "ema", **common, "top1": 82.0, "top5": 96.0, "val_loss": 0.8}


def test_swa_counts_from_when_it_was_evaluated():
    assert [item["weights"] for item in candidates(record())] == [""]
    found = candidates(record(swa_top1=1.0, swa_top5=2.0, swa_val_loss=3.0))
    assert [item["weights"] for item in found] == ["", "swa"]


def test_an_epoch_without_evaluation_has_no_candidates():
    assert candidates({"epoch": 1, "step": 10, "train_loss": 0.5}) == []


def test_figures_of_averages_carry_their_name():
    assert [key_of(weights, "top1") for weights in ("", "ema", "swa")] == ["top1", "ema_top1", "swa_top1"]


def test_top1_ranks_first_and_the_loss_breaks_ties():
    assert best("top1", candidate(80, 0.1), candidate(81, 9.0)) == candidate(81, 9.0)
    assert best("top1", candidate(80, 0.2), candidate(80, 0.1), candidate(80, 0.3)) == candidate(80, 0.1)


def test_the_least_loss_is_best_where_it_is_the_metric():
    assert best("val_loss", candidate(80, 0.1), candidate(81, 9.0)) == candidate(80, 0.1)
    assert best("val_loss", candidate(80, 0.1), candidate(81, 0.1)) == candidate(81, 0.1)


@pytest.mark.parametrize("metric", ["top1", "val_loss"])
def test_a_loss_that_is_no_number_ranks_last(metric):
    for other in (candidate(80, 1e30), candidate(80, 0.1)):
        assert best(metric, candidate(80, NAN), other) == other
        assert best(metric, other, candidate(80, NAN)) == other


@pytest.mark.parametrize("name", ["keep_last", "keep_best", "every_steps"])
def test_keeping_nothing_is_refused(name):
    with pytest.raises(ValueError, match=f"checkpoint.{name} must be at least 1, not 0"):
        CheckpointSettings(**{name: 0})


def test_states_are_kept_after_each_epoch_only_by_default():
    assert CheckpointSettings().every_steps is None

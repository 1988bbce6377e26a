import json

import pytest

from mindvit.run_metrics import EpochMetrics, EvalMetrics, WeightsKind
from mindvit.training.best_checkpoints import BestCheckpoint, Candidate, CheckpointSettings, candidates

NAN = float("nan")


def epoch_metrics(**evaluations):
    kinds = {WeightsKind(name): EvalMetrics(*values) for name, values in evaluations.items()}
    measured = {"lr": 0.1, "grad_norm": 1.0, "images_per_second": 9.0, "mfu": 0.1, "train_seconds": 2.0}
    return EpochMetrics(epoch=3, step=30, train_loss=0.5, num_images=100, **measured, evaluations=kinds)


def candidate(top1, val_loss):
    return Candidate(WeightsKind.RAW, 3, 30, 0.5, 100, top1, 95.0, val_loss)


def best(metric, *found):
    return max(found, key=lambda item: item.score(metric))


def test_each_kind_of_weights_that_was_evaluated_is_a_candidate():
    raw, average = candidates(epoch_metrics(raw=(80.0, 95.0, 0.9), ema=(82.0, 96.0, 0.8)))
    common = {"epoch": 3, "step": 30, "train_loss": 0.5, "num_images": 100}
    assert raw == Candidate(WeightsKind.RAW, **common, top1=80.0, top5=95.0, val_loss=0.9)
    assert average == Candidate(WeightsKind.EMA, **common, top1=82.0, top5=96.0, val_loss=0.8)


def test_swa_is_a_candidate_once_it_was_evaluated():
    assert [item.weights for item in candidates(epoch_metrics(raw=(80.0, 95.0, 0.9)))] == [WeightsKind.RAW]
    found = candidates(epoch_metrics(raw=(80.0, 95.0, 0.9), swa=(1.0, 2.0, 3.0)))
    assert [item.weights for item in found] == [WeightsKind.RAW, WeightsKind.SWA]


def test_an_epoch_without_evaluation_has_no_candidates():
    assert candidates(epoch_metrics()) == []


def test_top1_ranks_first_and_the_loss_breaks_ties():
    assert best("top1", candidate(80, 0.1), candidate(81, 9.0)) == candidate(81, 9.0)
    assert best("top1", candidate(80, 0.2), candidate(80, 0.1), candidate(80, 0.3)) == candidate(80, 0.1)


def test_the_lowest_loss_is_best_if_it_is_the_metric():
    assert best("val_loss", candidate(80, 0.1), candidate(81, 9.0)) == candidate(80, 0.1)
    assert best("val_loss", candidate(80, 0.1), candidate(81, 0.1)) == candidate(81, 0.1)


@pytest.mark.parametrize("metric", ["top1", "val_loss"])
@pytest.mark.parametrize("wrong", [candidate(90, NAN), candidate(NAN, 0.01), candidate(90, float("-inf"))])
def test_metrics_that_are_not_finite_rank_last(metric, wrong):
    assert not wrong.is_finite
    for other in (candidate(80, 1e30), candidate(80, 0.1)):
        assert other.is_finite
        assert best(metric, wrong, other) == other
        assert best(metric, other, wrong) == other


def test_a_training_loss_that_is_not_finite_is_none():
    epoch = epoch_metrics(raw=(80.0, 95.0, 0.9))
    epoch.train_loss = NAN
    (found,) = candidates(epoch)
    assert found.train_loss is None
    assert found.is_finite


def test_an_entry_survives_json():
    entry = BestCheckpoint(**vars(candidate(80.5, 0.1)), file="checkpoints/a.ckpt")
    stored = json.loads(json.dumps(entry.to_json()))
    assert (stored["weights"], stored["file"]) == ("raw", "checkpoints/a.ckpt")
    assert BestCheckpoint.from_json(stored) == entry


def test_an_entry_of_another_form_is_an_error():
    stored = BestCheckpoint(**vars(candidate(80.5, 0.1)), file="a.ckpt").to_json()
    without_weights = {name: value for name, value in stored.items() if name != "weights"}
    for content in (stored | {"weights": "best"}, stored | {"other": 1}, stored | {"top1": None}, without_weights):
        with pytest.raises(ValueError, match=r"weights|other|top1"):
            BestCheckpoint.from_json(content)


@pytest.mark.parametrize("name", ["keep_last", "keep_best", "every_steps"])
def test_keeping_nothing_is_an_error(name):
    with pytest.raises(ValueError, match=f"checkpoint.{name} must be at least 1, not 0"):
        CheckpointSettings(**{name: 0})


def test_training_checkpoints_are_written_after_each_epoch_only_by_default():
    assert CheckpointSettings().every_steps is None

"""Training checkpoints: file names, tensors, writing and listing."""

import struct
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from mindspore import Tensor

from mindvit.data.fingerprint import DataFingerprint, SplitFingerprint
from mindvit.errors import UserError
from mindvit.run_metrics import EpochMetrics, EvalMetrics, WeightsKind
from mindvit.training.best_checkpoints import BestCheckpoint
from mindvit.training.resume import load_train_checkpoint, newest_train_checkpoint, read_train_checkpoint
from mindvit.training.train_checkpoint import checkpoint_name, list_train_checkpoints, step_of, write_train_checkpoint
from mindvit.weights.formats.ckpt import read_ckpt
from tests.training.checkpoint_builders import (
    SETTINGS,
    assert_bitwise_equal,
    components_of,
    filled_components,
    parameters_of,
    run_state,
    state_values,
    write,
)

NAN = float("nan")


@pytest.fixture
def components():
    return filled_components()


def test_every_tensor_is_restored_bit_for_bit(tmp_path, components):
    expected = state_values(components)
    assert {"dense.weight", "optimizer.step", "optimizer.exp_avg_sq.cls", "loss_scale.value", "loss_scale.steps"} < set(
        expected
    )
    assert {"ema.dense.weight", "swa.dense.weight", "swa_count"} < set(expected)
    path = write(tmp_path, components, run_state(step=7))
    loaded = read_train_checkpoint(path)
    assert loaded.path == path
    assert_bitwise_equal({name: tensor.asnumpy() for name, tensor in loaded.tensors.items()}, expected)

    other = components_of(seed=2)
    assert (state_values(other)["cls"] != expected["cls"]).any()
    load_train_checkpoint(loaded, other)
    assert_bitwise_equal(state_values(other), expected)


def test_temporary_tensors_of_a_step_and_the_teacher_are_not_stored(tmp_path, components):
    distilled = components_of(distills=True)
    not_stored = {name for name in parameters_of(distilled) if "accumulated" in name or "teacher" in name}
    assert "accumulated.cls" in not_stored
    assert len([name for name in not_stored if "teacher" in name and "dense.weight" in name]) == 1
    tensors, _ = read_ckpt(write(tmp_path, distilled, run_state()))
    assert tensors.keys() == state_values(components).keys() | {"run.losses", "run.norms"}
    load_train_checkpoint(read_train_checkpoint(write(tmp_path, components, run_state())), distilled)
    assert_bitwise_equal(state_values(distilled), state_values(components))


@pytest.mark.parametrize("count", [0, 1, 3])
def test_the_run_state_is_restored_exactly(tmp_path, components, count):
    numbers = [0.1, 1 / 3, 1e-300][:count]
    state = run_state(
        step=17,
        losses=numbers,
        norms=[2 * number for number in numbers],
        lr=1e-3 / 3,
        skipped_steps=1,
        skipped_in_a_row=1,
        recorded_epochs=1,
        best=[BestCheckpoint(WeightsKind.EMA, 1, 10, 0.5, 100, 81.25, 95.0, 1 / 3, file="a.ckpt")],
        best_score=(81.25, -0.5),
        best_epoch=1,
        epochs_without_gain=2,
        seconds=1234.5678901234567,
        metrics_bytes=4321,
    )
    loaded = read_train_checkpoint(write(tmp_path, components, state))
    assert isinstance(loaded.state.best[0], BestCheckpoint)
    found, expected = asdict(loaded.state), asdict(state)
    for name in ("losses", "norms"):
        bits = [struct.pack(f"{count}d", *stored.pop(name)) for stored in (found, expected)]
        assert bits[0] == bits[1]
    assert found == expected
    assert loaded.settings == SETTINGS
    assert loaded.state.losses is not state.losses


def epoch_metrics(train_loss, top1=None):
    measured = {"lr": 0.1, "grad_norm": 1.0, "images_per_second": 9.0, "mfu": 0.1, "train_seconds": 2.0}
    metrics = EpochMetrics(epoch=2, step=17, train_loss=train_loss, **measured)
    if top1 is not None:
        metrics.evaluations[WeightsKind.RAW] = EvalMetrics(top1, 95.0, 0.5)
    return metrics


@pytest.mark.parametrize(
    ("epoch", "name"),
    [
        (None, "epoch0002-step00000017.ckpt"),
        (epoch_metrics(0.123456), "epoch0002-step00000017-loss0.1235.ckpt"),
        (epoch_metrics(0.5, 81.256), "epoch0002-step00000017-loss0.5000-top1_81.26.ckpt"),
        (epoch_metrics(NAN), "epoch0002-step00000017-lossnan.ckpt"),
    ],
    ids=["interrupted", "not evaluated", "evaluated", "nan"],
)
def test_the_file_name_has_epoch_step_loss_and_top1(epoch, name):
    assert checkpoint_name(run_state(step=17), epoch) == name
    assert step_of(Path("train_checkpoints") / name) == 17


def test_training_checkpoints_are_listed_by_step(tmp_path):
    names = [
        "epoch0001-step00000009-loss2.0000.ckpt",
        "epoch0001-step00000010-loss0.1000-top1_99.00.ckpt",
        "epoch9999-step99999999.ckpt",
        "epoch10000-step100000000.ckpt",
    ]
    others = ["best.ckpt", "epoch0001-step5.txt", "epoch0001.ckpt", "old-epoch0001-step00000001.ckpt"]
    for name in [*reversed(names), *others]:
        (tmp_path / name).touch()
    assert [path.name for path in list_train_checkpoints(tmp_path)] == names
    assert [step_of(tmp_path / name) for name in others] == [-1] * 4


def test_the_fingerprint_of_imagenet_fits_into_a_training_checkpoint(tmp_path):
    classes = tuple(f"n{label:08d}" for label in range(1000))
    split = SplitFingerprint(classes, (1300,) * 1000, ("0123456789abcdef",) * 1000)
    path = tmp_path / "a.ckpt"
    write_train_checkpoint(path, {"weight": Tensor([1.0])}, run_state(), SETTINGS, DataFingerprint(split, split))
    assert read_train_checkpoint(path).data == DataFingerprint(split, split)
    assert path.stat().st_size < 500_000


def test_a_training_checkpoint_that_is_not_finite_is_refused_and_an_earlier_one_is_used(tmp_path, components, capsys):
    sound = write(tmp_path, components, run_state(step=10))
    parameter = next(item for name, item in parameters_of(components).items() if name.endswith("norm.gamma"))
    parameter.set_data(Tensor(np.full(parameter.shape, np.inf, np.float32)))
    broken = write(tmp_path, components, run_state(step=20))
    with pytest.raises(UserError, match=r"has NaN or infinity in \d of \d+ tensors: .*norm\.gamma \(8 of 8 values\)"):
        read_train_checkpoint(broken)
    assert newest_train_checkpoint(tmp_path).path == sound
    assert "has NaN or infinity" in capsys.readouterr().err

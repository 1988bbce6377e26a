"""States of a run: written and read bit by bit, refused where they are damaged, and gone on from exactly."""

import json
import struct
from dataclasses import asdict
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

from mindvit.data.settings import AugmentSettings
from mindvit.data.sampling import SamplingPlan
from mindvit.errors import UserError
from mindvit.models import ViT, ViTConfig
from mindvit.runtime import Runtime
from mindvit.training.setup import build
from mindvit.training.averaged_model import AverageSettings
from mindvit.training.optimizers import OptimizerSettings
from mindvit.training.recipe import Recipe, TrainSettings
from mindvit.training.run_state import RunState
from mindvit.training.train_checkpoint import (
    differences,
    list_train_checkpoints,
    load_train_checkpoint,
    newest_train_checkpoint,
    read_train_checkpoint,
    checkpoint_name,
    train_state_tensors,
    step_of,
    write_train_checkpoint,
)
from mindvit.weights.checkpoint import read_tensors, write_tensors

SIZES = {"image_size": 8, "patch_size": 4, "num_classes": 3, "embed_dim": 8, "depth": 1, "num_heads": 2, "mlp_dim": 8}
STEPS = 20
RECIPE = {"optimizer": {"lr": 0.1, "betas": [0.9, 0.999]}, "data": {"path": "Bilder/狗"}, "workers": 1}

# MindSpore compiles a cell again where another one was freed in the meantime.
alive = []


def engine_of(seed=0, parts=2, taught=False, **sizes):
    """An engine with everything that has a state, of random weights; the teacher has always the same ones."""
    ms.set_seed(seed)
    network = ViT(ViTConfig(**{**SIZES, "drop_path": 0.3, **sizes}))
    fill(network.get_parameters(), np.random.default_rng(seed), 0.3)
    recipe = Recipe(
        optimizer=OptimizerSettings(lr=0.01, clip_norm=1.0),
        average=AverageSettings(ema_decay=0.9, ema_warmup=True, swa_start_epoch=1),
        augment=AugmentSettings(mixup=0.8),
        train=TrainSettings(accumulate_steps=parts),
    )
    teacher = None
    if taught:
        teacher = ViT(ViTConfig(**{**SIZES, **sizes}))
        fill(teacher.get_parameters(), np.random.default_rng(9), 0.3)
    engine = build(recipe, Runtime("CPU", "O2"), network, SamplingPlan(80, 8, seed=0), STEPS, teacher)
    alive.append(engine)
    return engine


def fill(parameters, rng, scale=1.0):
    for parameter in parameters:
        values = scale * rng.standard_normal(parameter.shape)
        whole = parameter.dtype == ms.int32
        parameter.set_data(Tensor(np.asarray(100 * values if whole else values), parameter.dtype))


def parameters_of(engine):
    cells = [engine.step, *engine.averages]
    return {parameter.name: parameter for cell in cells for parameter in cell.get_parameters()}


def values_of(engine):
    passing = ("accumulated.", "teacher.")
    return {n: item.asnumpy().copy() for n, item in parameters_of(engine).items() if not n.startswith(passing)}


def assert_bitwise(found, expected):
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name].dtype == values.dtype
        assert found[name].tobytes() == values.tobytes(), name


@pytest.fixture
def engine():
    made = engine_of()
    fill(parameters_of(made).values(), np.random.default_rng(1))
    return made


def state_of(**values):
    return RunState(steps_per_epoch=10, total_steps=STEPS, **values)


def write(folder, engine, state, recipe=RECIPE, record=None):
    path = folder / checkpoint_name(state, record)
    write_train_checkpoint(path, train_state_tensors(engine.step, engine.averages), state, recipe)
    return path


def test_every_tensor_comes_back_bit_by_bit(tmp_path, engine):
    expected = values_of(engine)
    assert {"dense.weight", "optimizer.step", "optimizer.exp_avg_sq.cls", "loss_scale.value", "loss_scale.steps"} < set(
        expected
    )
    assert {"ema.dense.weight", "swa.dense.weight", "swa_count"} < set(expected)
    path = write(tmp_path, engine, state_of(step=7))
    saved = read_train_checkpoint(path)
    assert saved.path == path
    assert_bitwise({name: tensor.asnumpy() for name, tensor in saved.tensors.items()}, expected)

    other = engine_of(seed=2)
    assert (values_of(other)["cls"] != expected["cls"]).any()
    load_train_checkpoint(saved, other.step, other.averages)
    assert_bitwise(values_of(other), expected)


def test_what_only_passes_through_a_step_is_not_stored(tmp_path, engine):
    taught = engine_of(taught=True)
    passing = {name for name in parameters_of(taught) if "accumulated" in name or "teacher" in name}
    assert "accumulated.cls" in passing
    assert len([name for name in passing if "teacher" in name and "dense.weight" in name]) == 1
    tensors, _ = read_tensors(write(tmp_path, taught, state_of()))
    assert tensors.keys() == values_of(engine).keys() | {"run.losses", "run.norms"}
    load_train_checkpoint(read_train_checkpoint(write(tmp_path, engine, state_of())), taught.step, taught.averages)
    assert_bitwise(values_of(taught), values_of(engine))


@pytest.mark.parametrize("count", [0, 1, 3])
def test_where_the_run_stands_comes_back_as_it_was(tmp_path, engine, count):
    numbers = [0.1, 1 / 3, float("nan")][:count]
    best = [{"file": "a.ckpt", "weights": "ema", "top1": 81.25, "val_loss": float("nan")}]
    state = state_of(
        step=17,
        losses=numbers,
        norms=[2 * number for number in numbers],
        lr=1e-3 / 3,
        skipped_steps=1,
        skipped_in_a_row=1,
        recorded_epochs=1,
        best=best,
        best_score=81.25,
        epochs_without_gain=2,
        seconds=1234.5678901234567,
        metrics_bytes=4321,
    )
    saved = read_train_checkpoint(write(tmp_path, engine, state))
    found, expected = asdict(saved.state), asdict(state)
    for name in ("losses", "norms"):
        bits = [struct.pack(f"{count}d", *kept.pop(name)) for kept in (found, expected)]
        assert bits[0] == bits[1]
    assert repr(found) == repr(expected), "NaN is not equal to itself, but prints alike"
    assert saved.recipe == RECIPE
    assert saved.state.losses is not state.losses


@pytest.mark.parametrize("score", [None, float("-inf")])
def test_a_best_score_that_is_no_figure_comes_back(tmp_path, engine, score):
    assert read_train_checkpoint(write(tmp_path, engine, state_of(best_score=score))).state.best_score == score


def cut(data):
    return data[: len(data) // 2]


def flipped(place):
    def damage(data):
        index = int(place * len(data))
        return data[:index] + bytes([data[index] ^ 1]) + data[index + 1 :]

    return damage


DAMAGES = {"cut": cut, "empty": lambda _: b"", "first": flipped(0.1), "middle": flipped(0.5), "last": flipped(0.99)}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_state_is_refused_by_name(tmp_path, engine, damage):
    path = write(tmp_path, engine, state_of(step=7))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=r"epoch0001-step00000007\.ckpt is damaged"):
        read_train_checkpoint(path)


def test_the_newest_whole_state_is_taken_and_damaged_ones_are_named(tmp_path, engine, capsys):
    paths = [write(tmp_path, engine, state_of(step=step)) for step in (5, 10, 15, 20)]
    for path in paths[2:]:
        path.write_bytes(cut(path.read_bytes()))
    saved = newest_train_checkpoint(tmp_path)
    assert (saved.path, saved.state.step) == (paths[1], 10)
    lines = capsys.readouterr().err.splitlines()
    assert [path.name in line for path, line in zip(reversed(paths[2:]), lines, strict=True)] == [True, True]
    assert all(line.startswith("warning: ") and "is damaged" in line for line in lines)


def test_a_folder_without_a_whole_state_has_none(tmp_path, engine):
    assert newest_train_checkpoint(tmp_path) is None
    assert newest_train_checkpoint(tmp_path / "absent") is None
    write(tmp_path, engine, state_of()).write_bytes(b"")
    assert newest_train_checkpoint(tmp_path) is None


def test_weights_alone_are_no_state(tmp_path):
    path = tmp_path / "epoch0001-step00000001.ckpt"
    write_tensors(path, {"weight": Tensor(np.zeros(3, np.float32))}, {"mindvit.metadata": "{}"})
    with pytest.raises(UserError, match=r"step00000001\.ckpt is not a state that a run can go on from"):
        read_train_checkpoint(path)


def test_a_missing_state_is_named(tmp_path):
    with pytest.raises(UserError, match=r"cannot read .*a\.ckpt"):
        read_train_checkpoint(tmp_path / "a.ckpt")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": 99}, "written by a newer version"),
        ({"unheard_of": 1}, "is not a state"),
        ({"format": "x"}, "is not a state"),
    ],
)
def test_a_state_of_another_version_is_refused(tmp_path, engine, change, words):
    path = write(tmp_path, engine, state_of())
    tensors, texts = read_tensors(path)
    texts["mindvit.state"] = json.dumps({**json.loads(texts["mindvit.state"]), **change})
    write_tensors(path, tensors, texts)
    with pytest.raises(UserError, match=words):
        read_train_checkpoint(path)


@pytest.mark.parametrize(
    ("sizes", "name", "count"), [({"depth": 2}, "ema.transformer.layers.1", 55), ({"num_classes": 4}, "dense.bias", 5)]
)
def test_a_state_of_another_network_is_refused_and_nothing_is_loaded(tmp_path, engine, sizes, name, count):
    saved = read_train_checkpoint(write(tmp_path, engine, state_of()))
    other = engine_of(seed=2, **sizes)
    before = values_of(other)
    with pytest.raises(UserError, match=rf"does not fit this run: .*{name}.* and {count} more differ"):
        load_train_checkpoint(saved, other.step, other.averages)
    assert_bitwise(values_of(other), before)


def test_a_tensor_that_is_left_over_is_refused(tmp_path, engine):
    saved = read_train_checkpoint(write(tmp_path, engine, state_of()))
    with pytest.raises(UserError, match=r"swa\.cls, .* and 16 more differ"):
        load_train_checkpoint(saved, engine.step, [engine.ema])


def run(engine, numbers):
    engine.step.set_train()
    outputs = []
    for number in numbers:
        rng = np.random.default_rng(number)
        images, labels = rng.standard_normal((8, 3, 8, 8)), rng.integers(0, 3, 8)
        mix = np.array([0.6, 0.6, 0, 0, 0, 0])
        batch = [
            Tensor(images, ms.float32),
            Tensor(labels, ms.int32),
            Tensor(labels, ms.int32),
            Tensor(mix, ms.float32),
        ]
        outputs.append([output.asnumpy().item() for output in engine.step(*batch)])
        engine.swa()
    return outputs


def test_a_run_goes_on_from_its_state_bit_by_bit(tmp_path):
    whole, other = engine_of(seed=3, parts=1, taught=True), engine_of(seed=4, parts=1, taught=True)
    run(whole, range(3))
    path = write(tmp_path, whole, state_of(step=3))
    expected = run(whole, range(3, 6))
    load_train_checkpoint(read_train_checkpoint(path), other.step, other.averages)
    assert run(other, range(3, 6)) == expected
    assert_bitwise(values_of(other), values_of(whole))
    assert [row[2] for row in expected] == whole.step.learning_rates.asnumpy()[3:6].tolist()
    assert all(updated for *_, updated in expected)


@pytest.mark.parametrize(
    ("record", "name"),
    [
        (None, "epoch0002-step00000017.ckpt"),
        ({"train_loss": 0.123456}, "epoch0002-step00000017-loss0.1235.ckpt"),
        ({"train_loss": 0.5, "top1": 81.256}, "epoch0002-step00000017-loss0.5000-top1_81.26.ckpt"),
        ({"train_loss": float("nan")}, "epoch0002-step00000017-lossnan.ckpt"),
    ],
)
def test_a_states_name_tells_where_it_is_and_how_good(record, name):
    assert checkpoint_name(state_of(step=17), record) == name
    assert step_of(Path("states") / name) == 17


def test_states_are_listed_in_the_order_of_their_steps(tmp_path):
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


def test_differences_are_told_by_dotted_names():
    before = {"optimizer": {"lr": 0.001, "rules": [], "betas": [0.9, 0.99]}, "seed": 1, "old": None, "same": {"a": 1}}
    now = {"optimizer": {"lr": 0.002, "rules": [{"pattern": "*"}], "betas": [0.9, 0.99]}, "seed": 1, "same": {"a": 1}}
    now["model"] = {"name": "vit"}
    assert differences(before, now) == [
        'model.name: null -> "vit"',
        "optimizer.lr: 0.001 -> 0.002",
        'optimizer.rules: [] -> [{"pattern": "*"}]',
    ]


def test_settings_that_do_not_bear_on_the_result_may_differ():
    free = {
        "output_dir": "a",
        "overwrite": True,
        "download": True,
        "resume": "auto",
        "allow_config_changes": True,
        "train": {"log_steps": 1, "tensorboard": True},
        "data": {"num_workers": 1},
        "runtime": {"peak_tflops": 1.0},
        "checkpoint": {"keep_last": 1, "keep_best": 1, "every_steps": 1},
    }
    assert differences(free, {}) == []
    bearing = {
        "train": {"seed": 1, "accumulate_steps": 2, "epochs": 3},
        "data": {"batch_size": 4},
        "runtime": {"precision": "O2"},
        "checkpoint": {"metric": "top1"},
    }
    assert len(differences(bearing, {})) == 6

"""Resuming a run: finding, reading, checking and restoring training checkpoints, and runs that resume."""

import errno
import json
import os
from dataclasses import replace
from types import SimpleNamespace

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

from mindvit.config import marked_settings
from mindvit.data.fingerprint import SplitFingerprint
from mindvit.errors import UserError
from mindvit.run_metrics import WeightsKind
from mindvit.training.best_checkpoints import BestCheckpoint
from mindvit.training.recipe import Recipe, TrainSettings
from mindvit.training.resume import (
    broadcast_checkpoint,
    find_checkpoint_to_resume,
    load_train_checkpoint,
    newest_train_checkpoint,
    read_train_checkpoint,
    restore,
)
from mindvit.training.resume_checks import config_changes
from mindvit.training.run import Run
from mindvit.training.run_folder import RunFolder
from mindvit.weights.formats import ckpt
from mindvit.weights.formats.ckpt import read_ckpt, write_ckpt
from tests.training.builders import CPU, PLAN
from tests.training.checkpoint_builders import (
    DATA,
    SETTINGS,
    assert_bitwise_equal,
    components_of,
    filled_components,
    run_state,
    state_values,
    truncate,
    write,
)
from tests.training.run_files import assert_same_tensors, lines, metrics_without_clock

# Reading and checking


@pytest.fixture
def components():
    return filled_components()


def flipped(place):
    def flip(data):
        index = int(place * len(data))
        return data[:index] + bytes([data[index] ^ 1]) + data[index + 1 :]

    return flip


CORRUPTIONS = {
    "cut": truncate,
    "empty": lambda _: b"",
    "first": flipped(0.1),
    "middle": flipped(0.5),
    "last": flipped(0.99),
}


@pytest.mark.parametrize("corrupt", CORRUPTIONS.values(), ids=CORRUPTIONS)
def test_a_corrupt_training_checkpoint_is_reported_by_name(tmp_path, components, corrupt):
    path = write(tmp_path, components, run_state(step=7))
    path.write_bytes(corrupt(path.read_bytes()))
    with pytest.raises(UserError, match=r"epoch0001-step00000007\.ckpt is corrupt"):
        read_train_checkpoint(path)


def test_a_weights_checkpoint_is_no_training_checkpoint(tmp_path):
    path = tmp_path / "epoch0001-step00000001.ckpt"
    write_ckpt(path, {"weight": Tensor(np.zeros(3, np.float32))}, {"mindvit.metadata": "{}"})
    with pytest.raises(UserError, match=r"step00000001\.ckpt is not a training checkpoint"):
        read_train_checkpoint(path)


def test_a_missing_training_checkpoint_is_reported_by_name(tmp_path):
    with pytest.raises(UserError, match=r"cannot read .*a\.ckpt"):
        read_train_checkpoint(tmp_path / "a.ckpt")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": 99}, "written by a newer version"),
        ({"unheard_of": 1}, "is not a training checkpoint"),
        ({"format": "x"}, "is not a training checkpoint"),
        ({"best": [{"file": "a.ckpt"}]}, "is not a training checkpoint"),
    ],
)
def test_a_training_checkpoint_of_another_format_is_an_error(tmp_path, components, change, words):
    path = write(tmp_path, components, run_state())
    tensors, texts = read_ckpt(path)
    texts["mindvit.train_state"] = json.dumps({**json.loads(texts["mindvit.train_state"]), **change})
    write_ckpt(path, tensors, texts)
    with pytest.raises(UserError, match=words):
        read_train_checkpoint(path)


def test_a_training_checkpoint_of_version_0_1_is_an_error(tmp_path):
    path = tmp_path / "epoch0001-step00000001.ckpt"
    texts = {"mindvit.state": json.dumps({"format": 1}), "mindvit.recipe": "{}"}
    write_ckpt(path, {"weight": Tensor(np.zeros(3, np.float32))}, texts)
    with pytest.raises(UserError, match=r"00001\.ckpt was written by mindvit 0\.1 .*format 1.*--model\.checkpoint"):
        read_train_checkpoint(path)


@pytest.mark.parametrize(
    ("sizes", "name", "count"), [({"depth": 2}, "ema.transformer.layers.1", 55), ({"num_classes": 4}, "dense.bias", 5)]
)
def test_a_training_checkpoint_of_another_network_is_an_error_and_nothing_is_loaded(
    tmp_path, components, sizes, name, count
):
    loaded = read_train_checkpoint(write(tmp_path, components, run_state()))
    other = components_of(seed=2, **sizes)
    before = state_values(other)
    with pytest.raises(UserError, match=rf"does not fit this run: .*{name}.* and {count} more differ"):
        load_train_checkpoint(loaded, other)
    assert_bitwise_equal(state_values(other), before)


def test_an_unexpected_tensor_is_an_error(tmp_path, components):
    loaded = read_train_checkpoint(write(tmp_path, components, run_state()))
    with pytest.raises(UserError, match=r"swa\.cls, .* and 16 more differ"):
        load_train_checkpoint(loaded, replace(components, swa=None))


# Finding


def test_the_newest_intact_training_checkpoint_is_taken_and_corrupt_ones_are_reported(tmp_path, components, capsys):
    paths = [write(tmp_path, components, run_state(step=step)) for step in (5, 10, 15, 20)]
    for path in paths[2:]:
        path.write_bytes(truncate(path.read_bytes()))
    loaded = newest_train_checkpoint(tmp_path)
    assert (loaded.path, loaded.state.step) == (paths[1], 10)
    messages = capsys.readouterr().err.splitlines()
    assert [path.name in line for path, line in zip(reversed(paths[2:]), messages, strict=True)] == [True, True]
    assert all(line.startswith("warning: ") and "is corrupt" in line for line in messages)


def test_a_folder_without_an_intact_training_checkpoint_has_none(tmp_path, components):
    assert newest_train_checkpoint(tmp_path) is None
    assert newest_train_checkpoint(tmp_path / "absent") is None
    write(tmp_path, components, run_state()).write_bytes(b"")
    assert newest_train_checkpoint(tmp_path) is None


def test_the_resume_setting_selects_the_training_checkpoint(tmp_path, components):
    folder = RunFolder(tmp_path)
    assert find_checkpoint_to_resume(folder, "auto") is None
    first, second = (write(folder.train_checkpoints, components, run_state(step=step)) for step in (5, 10))
    assert find_checkpoint_to_resume(folder, None) is None
    assert find_checkpoint_to_resume(folder, "auto").path == second
    assert find_checkpoint_to_resume(folder, str(first)).state.step == 5
    second.write_bytes(b"")
    assert find_checkpoint_to_resume(folder, "auto").path == first
    first.write_bytes(b"")
    with pytest.raises(UserError, match="no intact training checkpoint to resume from"):
        find_checkpoint_to_resume(folder, "auto")


@pytest.mark.parametrize("number", [errno.EACCES, errno.ESTALE, errno.EIO])
def test_a_training_checkpoint_that_cannot_be_read_is_not_skipped(tmp_path, components, monkeypatch, number):
    """The run would resume from an earlier one, and delete it."""
    folder = RunFolder(tmp_path)
    *_, newest = (write(folder.train_checkpoints, components, run_state(step=step)) for step in (5, 10))

    def refuse(path, *mode):
        if path == newest:
            raise OSError(number, os.strerror(number))
        return open(path, *mode)

    monkeypatch.setattr(ckpt, "open", refuse, raising=False)
    words = rf"cannot read .*00010\.ckpt: {os.strerror(number)}\. It may be intact: .*--resume"
    with pytest.raises(UserError, match=words) as raised:
        find_checkpoint_to_resume(folder, "auto")
    assert "--overwrite" not in str(raised.value)


# Restoring


def take_steps(components, numbers):
    components.step.set_train()
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
        outputs.append([output.asnumpy().item() for output in components.step(*batch)])
        components.swa()
    return outputs


@pytest.mark.slow
@pytest.mark.eager
def test_training_resumes_from_a_training_checkpoint_bit_for_bit(tmp_path):
    uninterrupted, other = (components_of(seed=seed, micro_batches=1, distills=True) for seed in (3, 4))
    take_steps(uninterrupted, range(3))
    path = write(tmp_path, uninterrupted, run_state(step=3))
    expected = take_steps(uninterrupted, range(3, 6))
    load_train_checkpoint(read_train_checkpoint(path), other)
    assert take_steps(other, range(3, 6)) == expected
    assert_bitwise_equal(state_values(other), state_values(uninterrupted))
    assert [row[2] for row in expected] == uninterrupted.step.learning_rates.asnumpy()[3:6].tolist()
    assert all(updated for *_, updated in expected)


def run_of(folder, components, **state):
    """A run of these components, without data."""
    source = SimpleNamespace(fingerprint=DATA)
    return Run(Recipe(), CPU, RunFolder(folder), source, None, PLAN, components, replace(run_state(), **state))


def test_restore_takes_tensors_progress_and_the_best_weights_that_still_exist(tmp_path, components):
    entries = [
        BestCheckpoint(WeightsKind.RAW, epoch, 10 * epoch, 0.5, 100, 80.0, 95.0, 0.9, file=f"checkpoints/{epoch}.ckpt")
        for epoch in (1, 2)
    ]
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/2.ckpt").touch()
    state = run_state(step=13, losses=[1.0, 2.0, 3.0], norms=[4.0, 5.0, 6.0], best=entries, seconds=7.5)
    run = run_of(tmp_path, components_of(seed=2), total_steps=40)
    checkpoint = read_train_checkpoint(write(tmp_path, components, state, run.settings))
    restored = restore(run, checkpoint, allow_config_changes=False)
    assert restored.state == replace(state, total_steps=40, best=entries[1:])
    assert_bitwise_equal(state_values(restored.components), state_values(components))


def test_restore_reports_changed_settings_and_resumes_at_the_nearest_step_if_allowed(tmp_path, components):
    components.step.optimizer.step.set_data(Tensor(12, ms.int32))
    run = run_of(tmp_path, components_of(seed=2), steps_per_epoch=3, total_steps=6)
    state = run_state(step=13, losses=[1.0, 2.0, 3.0], norms=[4.0, 5.0, 6.0])
    checkpoint = read_train_checkpoint(write(tmp_path, components, state, {**run.settings, "world_size": 2}))
    with pytest.raises(UserError, match=r"00013\.ckpt .*other settings: world_size: 2 -> 1\. .*--allow_config_changes"):
        restore(run, checkpoint, allow_config_changes=False)
    restored = restore(run, checkpoint, allow_config_changes=True)
    assert restored.state == replace(state, step=4, steps_per_epoch=3, total_steps=6, losses=[], norms=[])
    assert restored.components.step.optimizer.step.asnumpy() == 4


def test_a_single_rank_broadcasts_a_training_checkpoint_to_itself(tmp_path, components):
    assert broadcast_checkpoint(None) is None
    best = BestCheckpoint(WeightsKind.SWA, 1, 10, 0.5, 100, 80.0, 95.0, 0.9, file="a.ckpt")
    loaded = read_train_checkpoint(write(tmp_path, components, run_state(step=7, losses=[0.1], best=[best])))
    received = broadcast_checkpoint(loaded)
    assert (received.path, received.state, received.settings) == (loaded.path, loaded.state, SETTINGS)
    assert received.data == loaded.data == DATA
    assert_bitwise_equal(
        *({name: tensor.asnumpy() for name, tensor in item.tensors.items()} for item in (received, loaded))
    )


# Other data


def changed(**values):
    return replace(DATA, train=replace(DATA.train, **values))


@pytest.mark.parametrize(
    ("before", "words"),
    [
        (changed(class_ids=("katze", "dog", "emu")), "class 'katze' is now 'cat'"),
        (changed(counts=(9, 11, 7)), "train: 3 images fewer in 'dog'"),
        (changed(digests=("c", "d", "x")), "train: other files in 'emu'"),
        (replace(DATA, val=DATA.train), "there is no val split now"),
    ],
)
def test_other_data_are_named_and_accepted_only_if_changes_are_allowed(tmp_path, components, before, words):
    run = run_of(tmp_path, components)
    checkpoint = read_train_checkpoint(write(tmp_path, components, run_state(step=5), run.settings, data=before))
    with pytest.raises(UserError, match=rf"trained on other data: {words}\. .*--allow_config_changes true"):
        restore(run, checkpoint, allow_config_changes=False)
    with pytest.warns(UserWarning, match=f"resumes on other data: {words}"):
        assert restore(run, checkpoint, allow_config_changes=True).state.step == 5


@pytest.mark.parametrize(
    ("ids", "digests", "words"),
    [
        (("ant", "cat", "dog"), ("e", "c", "d"), r"class 'ant' \(label 0\) is now 'emu' \(label 2\)"),
        (("dog", "cat", "emu"), ("d", "c", "e"), "class 'dog' has the label 1 instead of 0"),
        (("cat", "dog", "emu", "fox"), ("c", "d", "e", "f"), "class 'fox' is gone"),
        (("cat", "dog"), ("c", "d"), "class 'emu' is new"),
    ],
)
def test_other_labels_are_refused_even_if_changes_are_allowed(tmp_path, components, ids, digests, words):
    counts = {"c": 9, "d": 8, "e": 7, "f": 6}
    before = changed(class_ids=ids, digests=digests, counts=tuple(counts[digest] for digest in digests))
    run = run_of(tmp_path, components)
    weights = state_values(components)
    checkpoint = read_train_checkpoint(write(tmp_path, components, run_state(step=5), run.settings, data=before))
    for allowed in (False, True):
        with pytest.raises(UserError, match=rf"trained with other labels: .*{words}.*--model\.checkpoint") as raised:
            restore(run, checkpoint, allowed)
    assert "allow_config_changes" not in str(raised.value)
    assert_bitwise_equal(state_values(components), weights)


def test_many_changes_are_counted(tmp_path, components):
    names = tuple(f"n{label}" for label in range(9))
    before = replace(DATA, train=SplitFingerprint(names, (1,) * 9, names))
    now = replace(DATA, train=SplitFingerprint(names, (2,) * 9, names))
    run = replace(run_of(tmp_path, components), source=SimpleNamespace(fingerprint=now))
    checkpoint = read_train_checkpoint(write(tmp_path, components, run_state(step=5), run.settings, data=before))
    with pytest.raises(UserError, match=r"1 image more in 'n4'; and 4 more\."):
        restore(run, checkpoint, allow_config_changes=False)


def test_a_training_checkpoint_of_format_2_resumes_with_a_note(tmp_path, components):
    run = run_of(tmp_path, components)
    path = write(tmp_path, components, run_state(step=5), run.settings)
    tensors, texts = read_ckpt(path)
    old = json.loads(texts["mindvit.train_state"]) | {"format": 2, "best_score": 80.0, "epochs_without_gain": 1}
    del old["best_epoch"], texts["mindvit.data"]
    write_ckpt(path, tensors, texts | {"mindvit.train_state": json.dumps(old)})
    checkpoint = broadcast_checkpoint(read_train_checkpoint(path))
    with pytest.warns(UserWarning, match="earlier version, which did not record the data"):
        state = restore(run, checkpoint, allow_config_changes=False).state
    assert (state.step, state.best_score, state.epochs_without_gain) == (5, None, 1)


# The length of the run


@pytest.mark.parametrize(
    ("train", "total", "words"),
    [
        (TrainSettings(epochs=1), 10, r"step 13, in epoch 2, but .* train\.epochs 1 ends after 10 .*--train\.epochs 2"),
        (TrainSettings(steps=12), 12, r"step 13, in epoch 2, but .* train\.steps 12 ends after 12 .*--train\.steps 13"),
    ],
)
def test_fewer_steps_than_were_trained_are_refused_even_if_changes_are_allowed(
    tmp_path, components, train, total, words
):
    run = replace(run_of(tmp_path, components, total_steps=total), recipe=Recipe(train=train))
    checkpoint = read_train_checkpoint(write(tmp_path, components, run_state(step=13)))
    for allowed in (False, True):
        with pytest.raises(UserError, match=words):
            restore(run, checkpoint, allowed)


def test_as_many_steps_as_were_trained_are_accepted(tmp_path, components):
    run = run_of(tmp_path, components, total_steps=13)
    checkpoint = read_train_checkpoint(write(tmp_path, components, run_state(step=13), run.settings))
    assert restore(run, checkpoint, allow_config_changes=False).state.step == 13


def test_early_stopping_starts_to_count_again_if_its_metric_changes(tmp_path, components):
    run = run_of(tmp_path, components)
    stopping = {"best_score": (80.0, -0.5), "best_epoch": 3, "epochs_without_gain": 2}
    other = {**run.settings, "checkpoint": {**run.settings["checkpoint"], "metric": "val_loss"}}
    for settings, expected in ((run.settings, ((80.0, -0.5), 3, 2)), (other, (None, 0, 0))):
        checkpoint = read_train_checkpoint(write(tmp_path, components, run_state(step=5, **stopping), settings))
        state = restore(run, checkpoint, allow_config_changes=True).state
        assert (state.best_score, state.best_epoch, state.epochs_without_gain) == expected


# Changed settings


def test_a_setting_that_an_earlier_version_did_not_have_had_its_default():
    before = {"data": {"source": "folder"}}
    assert config_changes(before, {"data": {"source": "folder", "split_seed": 0, "val_fraction": None}}) == []
    now = {"data": {"source": "folder", "split_seed": 0, "val_fraction": 0.2}}
    assert config_changes(before, now) == ["data.val_fraction: null -> 0.2"]


def test_changed_settings_are_reported_by_dotted_name():
    before = {"optimizer": {"lr": 0.001, "rules": [], "betas": [0.9, 0.99]}, "seed": 1, "old": None, "same": {"a": 1}}
    now = {"optimizer": {"lr": 0.002, "rules": [{"pattern": "*"}], "betas": [0.9, 0.99]}, "seed": 1, "same": {"a": 1}}
    now["model"] = {"name": "vit"}
    assert config_changes(before, now) == [
        'model.name: "vit_b_16_224" -> "vit"',
        "optimizer.lr: 0.001 -> 0.002",
        'optimizer.rules: [] -> [{"pattern": "*"}]',
    ]


def test_settings_without_effect_on_the_result_may_change():
    changeable = {
        "output_dir": "a",
        "overwrite": True,
        "download": True,
        "resume": "auto",
        "allow_config_changes": True,
        "train": {"log_steps": 1, "tensorboard": True, "tracker": "wandb", "max_hours": 2.0},
        "data": {"num_workers": 1},
        "runtime": {"peak_tflops": 1.0},
        "checkpoint": {"keep_last": 1, "keep_best": 1, "every_steps": 1},
    }
    assert config_changes(changeable, {}) == []
    others = {
        "train": {"seed": 1, "accumulate_steps": 2, "epochs": 3},
        "data": {"batch_size": 4},
        "runtime": {"amp_level": "O2"},
        "checkpoint": {"metric": "top1"},
    }
    assert len(config_changes(others, {})) == 6


def test_the_settings_that_may_change_are_marked():
    changeable = (
        "output_dir overwrite download resume allow_config_changes train.log_steps train.tensorboard data.num_workers "
        "train.tracker train.tracker_project train.tracker_run train.tracker_offline train.max_hours "
        "runtime.peak_tflops runtime.data_sink runtime.compile_cache runtime.flat_weights runtime.jit_level "
        "runtime.mode runtime.native_kernels optimizer.shard_states train.recompute checkpoint.keep_last "
        "checkpoint.keep_best checkpoint.every_steps data.cache dry_run device_memory_gb"
    )
    assert marked_settings(Recipe, "changeable") == set(changeable.split())
    per_node = "data.num_workers runtime.compile_cache runtime.native_kernels runtime.peak_tflops"
    assert marked_settings(Recipe, "per_node") == set(per_node.split())


# Runs that resume


def test_a_finished_run_does_not_change_when_it_resumes(train, make_folder):
    options = ["--data.path", make_folder(counts=6), "--train.epochs", 1, "--resume", "auto"]
    folder = train(*options)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.ckpt")}
    (folder / "summary.json").unlink()
    train(*options)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.ckpt")} == before
    assert json.loads((folder / "summary.json").read_text())["epochs"] == 1


def test_changed_settings_are_an_error_unless_they_are_allowed(train, make_folder):
    options = ["--data.path", make_folder(counts=6), "--train.epochs", 1, "--optimizer.lr", 0.01]
    folder = train(*options)
    changed = ["--train.epochs", 2, "--train.log_steps", 7, "--optimizer.rules", "[{pattern: cls, frozen: false}]"]
    with pytest.raises(
        UserError, match=r"optimizer\.rules: .*train\.epochs: 1 -> 2.*--allow_config_changes true"
    ) as raised:
        train(*options, *changed, "--resume", "auto")
    assert "log_steps" not in str(raised.value), "log_steps has no effect on the result"
    assert len(lines(folder)) == 1
    train(*options, *changed, "--resume", "auto", "--allow_config_changes", "true")
    assert [line["step"] for line in lines(folder)] == [3, 6]


def test_a_run_resumes_with_another_batch_size_at_the_same_position(train, make_folder):
    options = ["--data.path", make_folder(counts=12), "--schedule.name", "linear"]
    folder = train(*options, "--train.epochs", 1)
    more = ["--train.epochs", 2, "--data.batch_size", 8, "--train.log_steps", 1]
    train(*options, *more, "--resume", "auto", "--allow_config_changes", "true")
    steps = lines(folder, "step")
    assert [line["step"] for line in steps] == [4, 5, 6], "an epoch has three steps now, and one epoch is done"
    np.testing.assert_allclose([line["lr"] for line in steps], [1e-3 * (1 - i / 6) for i in (3, 4, 5)], rtol=1e-5)


def test_a_run_resumes_from_a_given_training_checkpoint_into_another_folder(train, make_folder):
    options = ["--data.path", make_folder(counts=6), "--train.epochs", 2]
    uninterrupted = train(*options)
    first = sorted((uninterrupted / "train_checkpoints").iterdir())[0]
    copy = train(*options, "--resume", first, name="copy")
    assert [line["epoch"] for line in lines(copy)] == [2]
    assert_same_tensors(copy / "last.ckpt", uninterrupted / "last.ckpt")

    before = (copy / "last.ckpt").read_bytes()
    with pytest.raises(UserError, match="copy already holds a run"):
        train(*options, "--resume", first, name="copy")
    assert (copy / "last.ckpt").read_bytes() == before


def test_a_run_resumes_from_the_training_checkpoint_before_a_corrupt_one(train, make_folder, capfd):
    options = ["--data.path", make_folder(counts=6), "--train.epochs", 2]
    uninterrupted = train(*options, name="uninterrupted")
    folder = train(*options)
    newest = sorted((folder / "train_checkpoints").iterdir())[-1]
    newest.write_bytes(newest.read_bytes()[:-1000])
    (folder / "last.ckpt").unlink()
    train(*options, "--resume", "auto")
    assert f"{newest.name} is corrupt" in capfd.readouterr().err
    assert metrics_without_clock(folder) == metrics_without_clock(uninterrupted)
    assert_same_tensors(folder / "last.ckpt", uninterrupted / "last.ckpt")


def test_resume_auto_never_deletes_a_run_without_an_intact_training_checkpoint(train, make_folder):
    options = ["--data.path", make_folder(counts=6), "--train.epochs", 1]
    folder = train(*options)
    (checkpoint,) = (folder / "train_checkpoints").iterdir()
    checkpoint.write_bytes(b"corrupt")
    for _ in range(2):
        with pytest.raises(UserError, match="no intact training checkpoint to resume from"):
            train(*options, "--resume", "auto")
        assert (folder / "best.ckpt").exists()
        checkpoint.unlink(missing_ok=True)


def test_a_run_that_was_killed_before_its_first_training_checkpoint_starts_from_scratch(train, make_folder):
    options = ["--data.path", make_folder(counts=6), "--train.epochs", 1]
    folder = train(*options)
    weights = (folder / "last.ckpt").read_bytes()
    (folder / "summary.json").unlink()
    for checkpoint in (folder / "train_checkpoints").iterdir():
        checkpoint.unlink()
    train(*options, "--resume", "auto")
    assert [line["epoch"] for line in lines(folder)] == [1]
    assert (folder / "last.ckpt").read_bytes() == weights


def test_resuming_from_an_earlier_training_checkpoint_deletes_the_later_ones(train, make_folder):
    options = ["--data.path", make_folder(counts=6)]
    folder = train(*options, "--train.epochs", 2)
    earlier, later = sorted((folder / "train_checkpoints").iterdir())
    train(*options, "--train.epochs", 1, "--resume", earlier, "--allow_config_changes", "true")
    assert (earlier.exists(), later.exists()) == (True, False)
    assert [line["epoch"] for line in lines(folder)] == [1]

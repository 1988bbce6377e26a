"""Training, communication, sharding and evaluation on several real ranks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT, TINY
from tests.programs.jobs import finish, free_port, options, start, write_images
from tests.programs.two_ranks import train

pytestmark = pytest.mark.distributed

SCRIPT = Path(__file__).with_name("two_ranks.py")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """The folder with the results of two ranks, and of one rank with twice the batch size."""
    folder = tmp_path_factory.mktemp("results")
    # The two batches of 32 of two ranks are the batch of 64 of one rank, with all augmentation and drop path: both
    # depend on the sample index only. The large epsilon makes the step of Adam proportional to the gradient. So a sum
    # in place of a mean would show, and so would gradients that are clipped before the reduction.
    tiny = {f"model.{name}": TINY[name] for name in ("embed_dim", "depth", "num_heads", "mlp_dim", "drop_path_mode")}
    settings = {"optimizer.lr": 1, "optimizer.eps": 1, "optimizer.clip_norm": 0.5, "model.drop_path": 0.2}
    settings |= {**tiny, "data.num_workers": 1, "data.path": folder / "d"}
    settings |= {"train.epochs": 1, "train.steps": 6, "schedule.warmup_epochs": 0, "augment.mixup": 0}
    settings |= {"runtime.peak_tflops": 0.1, "runtime.mode": "pynative"}
    msrun = ["-m", "mindspore.parallel.cluster.run", "--worker_num=2", "--local_worker_num=2", "--join=True"]
    msrun += [f"--log_dir={folder / 'logs'}", f"--master_port={free_port()}", "--tail_worker_log=0"]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    def arguments(batch):
        given = {**settings, "data.batch_size": batch, "output_dir": folder / f"batch{batch}"}
        return ["--config", str(ROOT / "configs/digits.yaml"), *options(given)]

    command = list(map(str, [sys.executable, *msrun, SCRIPT, folder, *arguments(32)]))
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    train(folder, arguments(64))
    return folder


def load(path):
    return dict(np.load(path))


def communication(results):
    """What each of the two ranks found."""
    return [json.loads((results / f"communication{rank}.json").read_text()) for rank in (0, 1)]


def sharding(results):
    """What each of the two ranks found."""
    return [json.loads((results / f"sharding{rank}.json").read_text()) for rank in (0, 1)]


def test_two_ranks_train_as_one_with_twice_the_batch_size(results):
    first, second, single = (load(results / f"trained{name}.npz") for name in ("0of2", "1of2", "0of1"))
    assert len(first) == 6 + 12 + 2
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name], err_msg=name)
        np.testing.assert_allclose(values, single[name], atol=1e-5, err_msg=name)
    assert np.abs(first["dense.bias"]).max() > 1e-3, "the weights have changed"


def test_collectives_have_the_same_result_on_all_ranks(results):
    for found in communication(results):
        assert found["all_gather_object"] == [{"rank": 0, "text": "ü"}, {"rank": 1, "text": "üü"}]
        assert found["broadcast_object"] == ["rank", 0]
        assert found["sum"] == [2 * (2**24 + 1), 1], "exact beyond the range of float32"
        assert found["scalar"] == [True, 7.0]
        assert found["table"] == [[0, 1, 2], [3, 4, 5]]
        assert found["parameter"] == [[0.0, 0.0], [0.0, 0.0]]
        assert found["calls"] == 1


def test_an_error_on_one_rank_ends_all_ranks_with_its_message(results):
    found = communication(results)
    for one in found:
        assert one["error on one rank"].startswith("rank 1 on ")
        assert one["error on one rank"].endswith(": no data here")
        assert one["error on all ranks"] == "no data anywhere"
        assert one["no error"] == "no error"
    assert found[0]["exception"].endswith(": ValueError: broken")
    assert found[1]["exception"] == "ValueError", "the rank that failed shows its own traceback"


def test_settings_that_differ_between_ranks_are_named_on_all_ranks(results):
    for found in communication(results):
        assert found["same settings"] == "no error"
        message = found["different settings"]
        assert message.startswith("rank 1 on ")
        for difference in ("optimizer.lr is 0.2 but 0.1 on rank 0", "extra is 1 but null on rank 0"):
            assert difference in message
        assert "model.depth" not in message


def test_ranks_on_one_machine_sum_in_shared_memory(results, native_kernels):
    assert [found["shares_memory"] for found in sharding(results)] == [True, True]


@pytest.mark.parametrize("name", ["sgd", "lamb"])
def test_sharded_optimizer_states_and_flat_weights_have_the_same_result(results, name):
    labels = ("full", "flat" if name == "sgd" else "sharded")
    found = [load(results / f"{name}_{label}{rank}.npz") for label in labels for rank in (0, 1)]
    states = {key for key in found[0] if key.startswith("optimizer.")}
    assert len(states) > len([key for key in found[0] if key.startswith("transformer")]), "all states are included"
    for other in found[1:]:
        assert other.keys() == found[0].keys()
        for key, value in found[0].items():
            np.testing.assert_allclose(other[key], value, rtol=1e-5, atol=2e-6, err_msg=key)
    for key, value in found[2].items():
        np.testing.assert_array_equal(found[3][key], value, err_msg=f"{key} on the two ranks")


def test_each_of_two_ranks_holds_half_of_the_optimizer_states(results):
    held = sharding(results)[0]["sizes"]
    sizes = {key: value.size for key, value in load(results / "lamb_full0.npz").items()}
    for name, size in held.items():
        assert size == -(-sizes[name] // 2), name
    assert sizes["optimizer.exp_avg.dense.bias"] == 3, "a size that is not divisible by two"


def test_the_step_informs_all_ranks_that_one_asks_to_stop(results):
    for found in sharding(results):
        for outputs in found["lamb"]:
            asked = [bool(stop) for *_, stop in outputs]
            assert asked == [False, False, False, True], "from the step after the request"


def test_an_overflow_on_one_rank_skips_the_update_on_both(results):
    for found in sharding(results):
        for outputs in found["lamb"]:
            assert [bool(finite) for *_, finite, _ in outputs] == [True, True, False, True]
    steps = [int(load(results / f"lamb_sharded{rank}.npz")["optimizer.step"]) for rank in (0, 1)]
    assert steps == [3, 3]


def test_two_ranks_evaluate_each_of_361_images_once(tmp_path, tiny_checkpoint, run_program):
    root = write_images(tmp_path / "images", val=361)
    (root / "val/dog/001.png").write_bytes(b"corrupt")
    checkpoint = tiny_checkpoint()
    data = ["--data.path", root, "--data.batch_size", 50, "--data.num_workers", 1, "--data.on_corrupt", "skip"]
    eager = ["--runtime.mode", "pynative"]
    code, _, err = run_program("eval.py", "--ckpt", checkpoint, *data, *eager, "--output", tmp_path / "1.json")
    assert code == 0, err
    output = ["--output", tmp_path / "2.json"]
    code, out, err = finish(start("run_distribute_eval.sh", checkpoint, *data, *output, NPROC="2"))
    assert code == 0, out + err
    assert out.count("images   360") == 1, "one rank prints"
    single, found = (json.loads((tmp_path / f"{ranks}.json").read_text()) for ranks in (1, 2))
    assert single["num_images"] == 360
    assert 0 < single["top1"] < 100
    assert found["skipped_images"] == single["skipped_images"] == [str(root / "val/dog/001.png")]
    exact = ("top1", "top5", "num_images", "per_class", "confusion_matrix", "confusions", "macro", "weighted")
    for name in (*exact, "num_mistakes"):
        assert found[name] == single[name], name
    assert found["loss"] == pytest.approx(single["loss"], rel=1e-6)
    for name in ("ece", "brier", "confidence"):
        assert found["calibration"][name] == pytest.approx(single["calibration"][name], rel=1e-5)
    mistakes = [{item["file"]: item["predicted"] for item in of["mistakes"]} for of in (single, found)]
    assert mistakes[0] == mistakes[1]

"""What several real workers come to together."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.programs.jobs import finish, free_port, options, start, write_images

SCRIPT = Path(__file__).with_name("two_workers.py")


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """What two workers did together, and one alone with twice the batch."""
    folder = tmp_path_factory.mktemp("together")
    # The two workers' batches of 32 together are the single worker's batch of 64, with all augmentation and drop path:
    # both depend on the visit alone. The large epsilon makes Adam's step proportional to the gradient, so that a sum in
    # place of a mean would show, and so would gradients that are clipped before the reduction.
    tiny = {"model.embed_dim": 32, "model.depth": 2, "model.num_heads": 2, "model.mlp_dim": 64, "data.num_workers": 1}
    settings = {"optimizer.lr": 1, "optimizer.eps": 1, "optimizer.clip_norm": 0.5, "model.drop_path": 0.2}
    settings |= {**tiny, "train.epochs": 1, "schedule.warmup_epochs": 0, "augment.mixup": 0, "data.path": folder / "d"}
    msrun = ["-m", "mindspore.parallel.cluster.run", "--worker_num=2", "--local_worker_num=2", "--join=True"]
    msrun += [f"--log_dir={folder / 'logs'}", f"--master_port={free_port()}", "--tail_worker_log=0"]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for launcher, batch in ((msrun, 32), ([], 64)):
        given = options({**settings, "data.batch_size": batch, "output_dir": folder / f"batch{batch}"})
        command = [sys.executable, *launcher, SCRIPT, folder, "--config", "configs/digits.yaml", *given]
        done = subprocess.run(
            list(map(str, command)), cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder


def loaded(path):
    return dict(np.load(path))


def test_two_workers_train_as_one_with_twice_the_batch(together):
    first, second, alone = (loaded(together / f"trained{name}.npz") for name in ("0of2", "1of2", "0of1"))
    assert len(first) == 6 + 24 + 2
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name], err_msg=name)
        np.testing.assert_allclose(values, alone[name], atol=1e-5, err_msg=name)
    assert np.abs(first["dense.bias"]).max() > 1e-3, "the weights have moved"


def test_workers_hear_one_another(together):
    for rank in (0, 1):
        heard = json.loads((together / f"talk{rank}.json").read_text())
        assert heard["gathered"] == [{"rank": 0, "text": "ü"}, {"rank": 1, "text": "üü"}]
        assert heard["shared"] == ["worker", 0]
        assert heard["sum"] == [2 * (2**24 + 1), 1], "exact beyond what float32 holds"
        assert heard["scalar"] == [True, 7.0]
        assert heard["table"] == [[0, 1, 2], [3, 4, 5]]
        assert heard["parameter"] == [[0.0, 0.0], [0.0, 0.0]]
        assert heard["calls"] == 1


def test_what_fails_on_one_worker_ends_all_of_them_with_its_sentence(together):
    heard = [json.loads((together / f"talk{rank}.json").read_text()) for rank in (0, 1)]
    for one in heard:
        assert one["one failed"].startswith("worker 1 on ")
        assert one["one failed"].endswith(": no data here")
        assert one["all failed"] == "no data anywhere"
        assert one["none failed"] == "nothing failed"
    assert heard[0]["broke"].endswith(": ValueError: broken")
    assert heard[1]["broke"] == "ValueError", "the worker at fault shows its own traceback"


def test_settings_that_differ_between_workers_are_named_on_all_of_them(together):
    for rank in (0, 1):
        heard = json.loads((together / f"talk{rank}.json").read_text())
        assert heard["same"] == "nothing failed"
        assert heard["different"].startswith("worker 1 on ")
        for difference in ("optimizer.lr is 0.2 but 0.1 on worker 0", "extra is 1 but null on worker 0"):
            assert difference in heard["different"]
        assert "model.depth" not in heard["different"]


@pytest.mark.parametrize("name", ["adamw", "sgd", "lamb"])
def test_a_divided_optimizer_state_changes_nothing(together, name):
    states = [loaded(together / f"{name}_{label}{rank}.npz") for label in ("whole", "divided") for rank in (0, 1)]
    fresh = {key for key in states[0] if key.startswith("optimizer.")}
    assert len(fresh) > len([key for key in states[0] if key.startswith("transformer")]), "the state is among them"
    for other in states[1:]:
        assert other.keys() == states[0].keys()
        for key, value in states[0].items():
            np.testing.assert_allclose(other[key], value, rtol=1e-5, atol=2e-6, err_msg=key)
    for key, value in states[2].items():
        np.testing.assert_array_equal(states[3][key], value, err_msg=f"{key} of the two workers")


def test_a_divided_state_takes_half_on_each_of_two_workers(together):
    held = json.loads((together / "divide0.json").read_text())["held"]
    sizes = {key: value.size for key, value in loaded(together / "adamw_whole0.npz").items()}
    for name, size in held.items():
        assert size == -(-sizes[name] // 2), name
    assert sizes["optimizer.exp_avg.dense.bias"] == 3, "one that two does not divide"


def test_a_step_tells_all_workers_that_one_asks_to_stop(together):
    for rank in (0, 1):
        for outputs in json.loads((together / f"divide{rank}.json").read_text())["adamw"]:
            assert [bool(stop) for *_, stop in outputs] == [False, True], "from the step on that it was asked before"


def test_an_overflow_on_one_worker_skips_the_update_on_both(together):
    for rank in (0, 1):
        for outputs in json.loads((together / f"divide{rank}.json").read_text())["lamb"]:
            assert [bool(finite) for *_, finite, _ in outputs] == [True, False, True, True]
    steps = [int(loaded(together / f"lamb_divided{rank}.npz")["optimizer.step"]) for rank in (0, 1)]
    assert steps == [3, 3]


def test_any_number_of_workers_counts_each_of_361_images_once(tmp_path, tiny_checkpoint, run_program):
    root = write_images(tmp_path / "images", val=361)
    (root / "val/dog/001.png").write_bytes(b"damaged")
    checkpoint = tiny_checkpoint()
    asked = ["--data.path", root, "--data.batch_size", 50, "--data.num_workers", 1, "--data.on_corrupt", "skip"]
    code, _, err = run_program("eval.py", "--ckpt", checkpoint, *asked, "--output", tmp_path / "1.json")
    assert code == 0, err
    jobs = {}
    for workers in (1, 2, 3):
        result = ["--output", tmp_path / f"by{workers}.json"]
        job = start("run_distribute_eval.sh", checkpoint, *asked, *result, NPROC=str(workers))
        jobs[workers] = finish(job)
    alone = json.loads((tmp_path / "1.json").read_text())
    assert alone["num_images"] == 360
    assert 0 < alone["top1"] < 100
    for workers, (code, out, err) in jobs.items():
        assert code == 0, out + err
        assert out.count("images   360") == 1, "one worker tells"
        figures = json.loads((tmp_path / f"by{workers}.json").read_text())
        assert figures["skipped_images"] == alone["skipped_images"] == [str(root / "val/dog/001.png")]
        for name in ("top1", "top5", "num_images"):
            assert figures[name] == alone[name], f"{name} of {workers} workers"
        assert figures["loss"] == pytest.approx(alone["loss"], rel=1e-6)

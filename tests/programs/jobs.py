"""Helpers to start programs, to wait for them, and to compare what runs have written."""

import json
import os
import socket
import subprocess
import sys
import time

import numpy as np
import psutil
from PIL import Image

from mindvit.weights.formats.ckpt import read_ckpt
from tests.conftest import ROOT

_TIMINGS = {"images_per_second", "mfu", "train_seconds", "eval_seconds"}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def options(settings):
    """Settings by dotted name as options of a command line."""
    texts = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in settings.items()}
    return [part for name, text in texts.items() for part in (f"--{name}", text)]


def start(script, *arguments, cwd=ROOT, **environment):
    """Starts a shell script of scripts/ in a folder, with more environment variables."""
    command = ["bash", f"scripts/{script}", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    environment = {**os.environ, "PYTHON": sys.executable, **environment}
    return subprocess.Popen(command, cwd=cwd, env=environment, **pipes)


def finish(job, timeout=200):
    """Waits for a job, and checks that none of its processes outlives it. Returns exit code, output and errors."""
    family = psutil.Process(job.pid).children(recursive=True)
    out, err = job.communicate(timeout=timeout)
    left = [process for process in family if process.is_running() and process.status() != "zombie"]
    assert not left, f"processes are left: {left}"
    return job.returncode, out, err


def wait_for(condition, job=None, timeout=120):
    """Waits until a condition is true; fails if the job ends before, or after the timeout in seconds."""
    end = time.monotonic() + timeout
    while not condition():
        assert job is None or job.poll() is None, "".join(job.communicate())
        assert time.monotonic() < end, "timed out"
        time.sleep(0.05)


def write_images(root, **counts):
    """Writes a data folder of two classes, with a number of images for each split."""
    rng = np.random.default_rng(0)
    for split, count in counts.items():
        for index in range(count):
            folder = root / split / ("cat", "dog")[index % 2]
            folder.mkdir(parents=True, exist_ok=True)
            values = rng.integers(0, 200, (12, 12, 3)) + 50 * (np.arange(3) == index % 2)
            Image.fromarray(values.astype(np.uint8)).save(folder / f"{index:03d}.png")
    return root


def read_metrics(folder):
    """The lines of metrics.jsonl in the folder of a run."""
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def metrics_without_timings(folder):
    """The lines of metrics.jsonl without the values that depend on the speed of the machine."""
    return [{name: value for name, value in line.items() if name not in _TIMINGS} for line in read_metrics(folder)]


def assert_same_tensors(path, other_path):
    """Checks that two checkpoints hold the same tensors, bit for bit. Returns the tensors of the first."""
    tensors, others = (read_ckpt(file)[0] for file in (path, other_path))
    assert tensors.keys() == others.keys()
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(tensor.asnumpy(), others[name].asnumpy(), err_msg=f"{path.name}: {name}")
    return tensors

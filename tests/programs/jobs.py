"""Starting the scripts for many workers, and waiting for them."""

import os
import socket
import subprocess
import sys

import numpy as np
import psutil
from PIL import Image

from tests.conftest import ROOT

ENVIRONMENT = {**os.environ, "PYTHON": sys.executable}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def options(settings):
    """Settings as a command line has them."""
    texts = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in settings.items()}
    return [part for name, text in texts.items() for part in (f"--{name}", text)]


def start(script, *arguments, **environment):
    command = ["bash", f"scripts/{script}", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=ROOT, env={**ENVIRONMENT, **environment}, **pipes)


def finish(job, timeout=200):
    """Waits for a job, and checks that none of its processes outlives it. Returns exit code and output."""
    family = {process.pid: process for process in psutil.Process(job.pid).children(recursive=True)}
    out, err = job.communicate(timeout=timeout)
    left = [process for process in family.values() if process.is_running() and process.status() != "zombie"]
    assert not left, f"still there: {left}"
    return job.returncode, out, err


def write_images(root, **counts):
    rng = np.random.default_rng(0)
    for split, count in counts.items():
        for index in range(count):
            folder = root / split / ("cat", "dog")[index % 2]
            folder.mkdir(parents=True, exist_ok=True)
            values = rng.integers(0, 200, (12, 12, 3)) + 50 * (np.arange(3) == index % 2)
            Image.fromarray(values.astype(np.uint8)).save(folder / f"{index:03d}.png")
    return root

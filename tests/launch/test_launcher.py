import re

import pytest

from mindvit.errors import UserError
from mindvit.launch import launcher
from mindvit.launch.launcher import launch


@pytest.fixture
def started(monkeypatch):
    """The calls of the supervisor, which starts nothing and returns exit code 0."""
    calls = []
    monkeypatch.setattr(launcher, "supervise", lambda *arguments: calls.append(arguments) or 0)
    return calls


@pytest.mark.parametrize("arguments", [[], ["-h"], ["--help"]])
def test_help_lists_the_commands_and_every_environment_variable(capsys, started, arguments):
    launch(arguments, "mindvit launch")
    out = capsys.readouterr().out
    assert out.startswith("usage: mindvit launch train|eval [options]\n")
    listed = re.findall(r"^  ([A-Z_]+) ", out, re.MULTILINE)
    assert listed == ["NPROC", "NNODES", "NODE_RANK", "MASTER_ADDR", "MASTER_PORT", "JOIN_TIMEOUT", "BIND_CORES"]
    assert not started


def test_a_command_that_cannot_be_distributed_is_rejected(started):
    with pytest.raises(UserError, match="'infer' cannot run on several ranks; choose train or eval"):
        launch(["infer"], "mindvit launch")
    assert not started


def test_the_ranks_run_the_command_with_its_options(started, tmp_path, capsys):
    options = ["train", "--output_dir", str(tmp_path / "run"), "--train.epochs", "3"]
    launch(options, "mindvit launch")
    ((started_job, command, logs),) = started
    assert command == ["python", "-m", "mindvit", *options]
    assert started_job.world_size == 2
    assert logs.parent == tmp_path / "run/logs" and logs.is_dir()
    assert capsys.readouterr().out == f"{started_job.describe()}; logs in {logs}\n"


def test_logs_of_an_evaluation_are_beside_its_output(started, tmp_path):
    launch(["eval", "--ckpt", "x.ckpt", "--output", str(tmp_path / "result.json")], "mindvit launch")
    assert started[0][2].parent == tmp_path / "logs"


def test_the_exit_code_is_that_of_the_job(monkeypatch, tmp_path):
    monkeypatch.setattr(launcher, "supervise", lambda *arguments: 130)
    with pytest.raises(SystemExit) as exited:
        launch(["train", "--output_dir", str(tmp_path)], "mindvit launch")
    assert exited.value.code == 130

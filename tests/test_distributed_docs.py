"""Tests the jobs in docs/distributed.md: they parse, and set the environment variables of the launcher."""

import os
import re
import subprocess

import pytest
import yaml

from tests.conftest import ROOT

TEXT = (ROOT / "docs/distributed.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
SHELL = [block for kind, block in BLOCKS if kind == "bash"]
JOBS = {job["kind"]: job for job in (yaml.safe_load(block) for kind, block in BLOCKS if kind == "yaml")}
VARIABLES = ("NPROC", "NNODES", "NODE_RANK", "MASTER_ADDR", "MASTER_PORT")
LAUNCHER = "scripts/run_distribute_train.sh"

# Fake commands of a cluster. srun runs its command for both nodes in turn; Slurm runs it on both at a time.
FAKE_COMMANDS = {
    "getent": '[[ -e resolved ]] || { touch resolved; exit 2; }; echo "10.0.0.1 $2"',
    "sleep": "touch waited",
    "scontrol": 'if [[ $1 == show ]]; then printf "%s\\n" "$3-a" "$3-b"; else echo "$@" > requeued; fi',
    "srun": 'shift; for id in 0 1; do SLURM_NODEID=$id "$@"; done; exit "${EXIT_CODE}"',
}


@pytest.fixture
def run(tmp_path):
    """Runs a script with the fake commands. Returns its exit code and, per start of the launcher, its variables."""
    (tmp_path / "scripts").mkdir()
    echo = "; ".join(f'printf "%s\\n" "{name}=${{{name}-}}"' for name in (*VARIABLES, "MS_ROLE"))
    (tmp_path / LAUNCHER).write_text(f'{{ {echo}; echo "arguments=$*"; echo; }} >> starts\n')
    for name, text in FAKE_COMMANDS.items():
        (tmp_path / name).write_text(f"#!/usr/bin/env bash\n{text}\n")
        (tmp_path / name).chmod(0o755)

    def start(script, **environment):
        paths = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
        command = ["bash", "-c", script]
        done = subprocess.run(command, cwd=tmp_path, env={"PATH": paths, **environment}, timeout=20, check=False)
        starts = (tmp_path / "starts").read_text().strip().split("\n\n")
        return done.returncode, [dict(line.split("=", 1) for line in one.splitlines()) for one in starts]

    return start


def containers(job):
    """The replicas and the container of every task or replica type of a job."""
    spec = JOBS[job]["spec"]
    parts = spec["tasks"] if job == "Job" else spec["replicaSpecs"].values()
    return [(part["replicas"], part["template"]["spec"]["containers"][0]) for part in parts]


@pytest.mark.parametrize("block", SHELL, ids=range(len(SHELL)))
def test_shell_commands_parse(block):
    done = subprocess.run(["bash", "-n"], input=block, text=True, capture_output=True, check=False)
    assert done.returncode == 0 and not done.stderr, done.stderr


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\bconfigs/\w+\.yaml", TEXT))))
def test_recipes_in_commands_exist(path):
    assert (ROOT / path).is_file()


def test_commands_for_two_nodes_differ_only_in_node_rank():
    first, second = (block for block in SHELL if block.startswith("NNODES=2"))
    assert first.replace("NODE_RANK=0", "NODE_RANK=1") == second != first


@pytest.mark.parametrize("job", ["Job", "AscendJob"])
def test_kubernetes_jobs_request_two_nodes_of_eight_npus_at_once(job):
    found = containers(job)
    assert sum(replicas for replicas, _ in found) == 2
    spec = JOBS[job]["spec"]
    assert (spec if job == "Job" else spec["runPolicy"]["schedulingPolicy"])["minAvailable"] == 2
    for _, container in found:
        resources = container["resources"]
        assert resources["limits"] == resources["requests"] == {"huawei.com/Ascend910": 8}
        assert container["command"] == ["/bin/bash", "-c"] and len(container["args"]) == 1
        assert "exec bash scripts/" in container["args"][0], "signals must reach the launcher"


@pytest.mark.parametrize("index", ["0", "1"])
def test_the_volcano_job_sets_the_variables_of_the_launcher(run, tmp_path, index):
    hosts = "mindvit-worker-0.mindvit,mindvit-worker-1.mindvit"
    script = containers("Job")[0][1]["args"][0]
    code, (variables,) = run(script, VC_WORKER_NUM="2", VC_TASK_INDEX=index, VC_WORKER_HOSTS=hosts)
    assert code == 0
    assert [variables[name] for name in VARIABLES] == ["8", "2", index, "mindvit-worker-0.mindvit", "8118"]
    assert variables["arguments"].endswith("--resume auto")
    assert (tmp_path / "waited").exists(), "it waits until the name is resolved"


def test_the_name_of_the_volcano_task_is_that_in_its_variables():
    (task,) = JOBS["Job"]["spec"]["tasks"]
    assert f"${{VC_{task['name'].upper()}_NUM}}" in task["template"]["spec"]["containers"][0]["args"][0]
    assert {"env", "svc"} <= JOBS["Job"]["spec"]["plugins"].keys()


@pytest.mark.parametrize(("role", "rank", "host"), [("MS_SCHED", "0", "10.1.0.7"), ("MS_WORKER", "1", "172.20.3.4")])
def test_the_ascend_operator_job_sets_the_variables_of_the_launcher(run, role, rank, host):
    assert list(JOBS["AscendJob"]["spec"]["replicaSpecs"]) == ["Scheduler", "Worker"]
    given = {"MS_LOCAL_WORKER": "8", "MS_WORKER_NUM": "16", "MS_SCHED_PORT": "2222"}
    for _, container in containers("AscendJob"):
        assert container["name"] == "ascend"
        assert container["ports"] == [{"name": "ascendjob-port", "containerPort": 2222}]
    script = containers("AscendJob")[0][1]["args"][0]
    code, (variables,) = run(script, MS_ROLE=role, MS_NODE_RANK=rank, MS_SCHED_HOST=host, **given)
    assert code == 0
    assert [variables[name] for name in VARIABLES] == ["8", "2", rank, host, "2222"]
    assert variables["MS_ROLE"] == "" and variables["arguments"].endswith("--resume auto")


@pytest.mark.parametrize(("exit_code", "requeued"), [(130, True), (0, False), (1, False)])
def test_the_slurm_job_starts_one_launcher_per_node_and_is_requeued_after_a_stop(run, tmp_path, exit_code, requeued):
    script = next(block for block in SHELL if "#SBATCH" in block)
    given = {"SLURM_NNODES": "2", "SLURM_JOB_NODELIST": "npu", "SLURM_JOB_ID": "77"}
    code, starts = run(script, EXIT_CODE=str(exit_code), **given)
    assert code == exit_code
    assert [[one[name] for name in VARIABLES] for one in starts] == [
        ["8", "2", rank, "npu-a", "8118"] for rank in ("0", "1")
    ]
    assert all(one["arguments"].startswith("configs/") and one["arguments"].endswith("--resume auto") for one in starts)
    assert (tmp_path / "requeued").exists() is requeued
    options = dict(
        line[10:].split("=", 1) for line in script.splitlines() if line.startswith("#SBATCH --") and "=" in line
    )
    assert options["nodes"] == "2" and options["ntasks-per-node"] == "1"
    assert options["signal"].startswith("TERM@"), "sent to the tasks, not to the shell"

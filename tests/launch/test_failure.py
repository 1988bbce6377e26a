from dataclasses import replace

import pytest

from mindvit.launch.failure import exit_codes, explain
from mindvit.launch.job import Job

JOB = Job(2, 2, 0, "10.0.0.1", 8118, 60, False)
TRACEBACK = 'Traceback (most recent call last):\n  File "x.py"\n'


@pytest.fixture
def logs(tmp_path):
    def write(**texts):
        for name, text in texts.items():
            (tmp_path / f"{name}.log").write_text(text)
        return tmp_path

    return write


def test_exit_codes_are_read_from_the_log_of_msrun(logs):
    line = "[ERROR] ME(7,MainProcess):_api.py:365] Worker process 4711 exit with exception. Error code: -9.\n"
    assert exit_codes(logs(msrun=f"Start worker process\n{line}")) == {4711: -9}
    assert exit_codes(logs(msrun="Start worker process\n")) == {}


def test_a_user_error_is_reported_with_its_message(logs):
    folder = logs(worker_0="hello\n", worker_1="hello\nerror: no such data\nbye\n")
    assert explain(JOB, folder, [(0, None), (1, 2)]) == "no such data"


def test_the_second_node_reads_the_logs_of_its_own_ranks(logs):
    folder = logs(worker_1="error: a log of the first node\n", worker_3="error: no such data\n")
    assert explain(replace(JOB, node_rank=1), folder, []) == "no such data"


def test_a_killed_rank_is_reported_with_the_signal(logs):
    folder = logs(worker_0="step 1\n", worker_1="step 1\n")
    message = explain(JOB, folder, [(1, -9), (0, None)])
    assert message.startswith("rank 1 was killed by SIGKILL (the system does this when memory runs out")
    assert message.endswith(f"its log is {folder / 'worker_1.log'}")
    assert explain(JOB, folder, [(0, None), (1, -9)]) == message, "msrun ended rank 0 before the next poll"
    assert "SIGSEGV" in explain(JOB, folder, [(1, -11)])
    assert "rank 0 ended without an error message" in explain(JOB, folder, [(0, None)])
    assert "rank 0 ended with exit code 3" in explain(JOB, folder, [(0, 3)])


def test_a_killed_scheduler_is_reported_with_the_signal(logs):
    folder = logs(worker_0="step 1\n", worker_1="step 1\n", scheduler="")
    message = explain(JOB, folder, [], -9)
    assert message.startswith("the scheduler was killed by SIGKILL (the system does this when memory runs out")
    assert message.endswith(f"training with --resume auto; its log is {folder / 'scheduler.log'}")


def test_a_failed_scheduler_is_reported_with_the_end_of_its_log(logs):
    message = explain(JOB, logs(worker_0="", scheduler="broken\n"), [], 3)
    assert message.startswith("the scheduler ended with exit code 3; the end of ") and message.endswith("broken")


def test_a_failed_rank_is_reported_with_the_end_of_its_log(logs):
    folder = logs(worker_0="", worker_1="old line\n" * 20 + TRACEBACK + "ValueError: broken\n")
    message = explain(JOB, folder, [(1, 1)])
    assert message.startswith(f"rank 1 failed; the end of {folder / 'worker_1.log'}:\n")
    assert message.endswith("ValueError: broken")
    assert len(message.splitlines()) == 16


def test_ranks_that_did_not_join_are_reported(logs):
    timed_out = f"{TRACEBACK}RuntimeError: Failed to initialize distributed job cluster because some processes\n"
    for texts, died in (({"worker_0": timed_out}, [(0, 1)]), ({"worker_0": "", "scheduler": timed_out}, [])):
        message = explain(JOB, logs(**texts), died)
        assert message.startswith("not all of the 4 ranks joined the job within 60 s (JOIN_TIMEOUT) at 10.0.0.1:8118.")
        assert "each of the 2 nodes" in message


def test_a_lost_rank_of_another_node_is_named_if_the_scheduler_knows_it(logs):
    lost = f"{TRACEBACK}RuntimeError: The state of the cluster is error, total nodes num: 4, abnormal nodes num: 1\n"
    assert "a rank or the scheduler of another node has not responded" in explain(JOB, logs(worker_0=lost), [(0, 1)])
    gone = f"{TRACEBACK}RuntimeError: The total number of timed out node is 1. worker 3 is the first one timed out\n"
    assert "rank 3 has not responded" in explain(JOB, logs(worker_0=lost, scheduler=gone), [(0, 1)])


def test_without_a_failed_rank_the_end_of_the_log_of_msrun_is_shown(logs):
    folder = logs(msrun="ValueError: worker_num must be greater than 0\n")
    message = explain(JOB, folder, [])
    assert (
        message == f"the job failed; the end of {folder / 'msrun.log'}:\nValueError: worker_num must be greater than 0"
    )

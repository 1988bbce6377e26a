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


def test_the_failed_workers_exit_code_is_what_msrun_says(logs):
    line = "[ERROR] ME(7,MainProcess):_api.py:365] Worker process 4711 exit with exception. Error code: -9.\n"
    assert exit_codes(logs(msrun=f"Start worker process\n{line}")) == {4711: -9}
    assert exit_codes(logs(msrun="Start worker process\n")) == {}


def test_a_users_mistake_is_told_in_its_sentence(logs):
    folder = logs(worker_0="hello\n", worker_1="hello\nerror: no such data\nbye\n")
    assert explain(JOB, folder, [(0, None), (1, 2)]) == "no such data"


def test_a_worker_that_was_killed_is_named_with_the_signal(logs):
    folder = logs(worker_0="step 1\n", worker_1="step 1\n")
    said = explain(JOB, folder, [(1, -9), (0, None)])
    assert said.startswith("worker 1 was killed by SIGKILL (so does the system where memory runs out")
    assert said.endswith(f"its log is {folder / 'worker_1.log'}")
    assert "SIGSEGV" in explain(JOB, folder, [(1, -11)])
    assert "worker 0 ended without a word" in explain(JOB, folder, [(0, None)])
    assert "worker 0 ended with exit code 3" in explain(JOB, folder, [(0, 3)])


def test_of_a_worker_that_failed_the_end_of_its_log_is_shown(logs):
    folder = logs(worker_0="", worker_1="old line\n" * 20 + TRACEBACK + "ValueError: broken\n")
    said = explain(JOB, folder, [(1, 1)])
    assert said.startswith(f"worker 1 failed; the end of {folder / 'worker_1.log'}:\n")
    assert said.endswith("ValueError: broken")
    assert len(said.splitlines()) == 16


def test_workers_that_never_came_are_missed(logs):
    never = f"{TRACEBACK}RuntimeError: Failed to initialize distributed job cluster because some processes\n"
    for texts, died in (({"worker_0": never}, [(0, 1)]), ({"worker_0": "", "scheduler": never}, [])):
        said = explain(JOB, logs(**texts), died)
        assert said.startswith("not all of the 4 workers joined within 60 s (JOIN_TIMEOUT) at 10.0.0.1:8118.")
        assert "each of the 2 servers" in said


def test_a_worker_of_another_server_that_is_gone_is_named_where_the_scheduler_knows_it(logs):
    lost = f"{TRACEBACK}RuntimeError: The state of the cluster is error, total nodes num: 4, abnormal nodes num: 1\n"
    assert "a worker or the scheduler of another server has not been heard of" in explain(
        JOB, logs(worker_0=lost), [(0, 1)]
    )
    gone = f"{TRACEBACK}RuntimeError: The total number of timed out node is 1. worker 3 is the first one timed out\n"
    assert "worker 3 has not been heard of" in explain(JOB, logs(worker_0=lost, scheduler=gone), [(0, 1)])


def test_where_nobody_failed_msruns_own_words_are_shown(logs):
    folder = logs(msrun="ValueError: worker_num must be greater than 0\n")
    said = explain(JOB, folder, [])
    assert said == f"the job failed; the end of {folder / 'msrun.log'}:\nValueError: worker_num must be greater than 0"

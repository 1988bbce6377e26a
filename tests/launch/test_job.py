import socket

import pytest

from mindvit.errors import UserError
from mindvit.launch import job as job_module
from mindvit.launch.job import read_job


@pytest.fixture
def machine(monkeypatch):
    """Has the machine so many devices."""

    def make(ascend=0, gpu=0):
        monkeypatch.setattr(job_module, "device_counts", lambda: {"Ascend": ascend, "GPU": gpu, "CPU": 1})

    make()
    return make


@pytest.fixture
def here(monkeypatch):
    """Lets the name ``server0`` be an address of this machine that is not the loopback, as far as job.py asks."""
    monkeypatch.setattr(job_module, "_check_port", lambda job: None)
    known = {"server0": "10.1.2.3"}

    def getaddrinfo(name, port, **more):
        if name not in known:
            raise socket.gaierror(-2, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (known[name], port))]

    monkeypatch.setattr(job_module.socket, "getaddrinfo", getaddrinfo)


@pytest.mark.parametrize(
    ("devices", "asked", "workers", "binds"),
    [
        ({}, "auto", 2, False),
        ({"ascend": 8}, "auto", 8, True),
        ({"gpu": 4}, "auto", 4, False),
        ({"ascend": 8, "gpu": 4}, "GPU", 4, False),
        ({"ascend": 8}, "CPU", 2, False),
    ],
)
def test_there_are_as_many_workers_as_devices_or_two_on_the_cpu(machine, devices, asked, workers, binds):
    machine(**devices)
    job = read_job(asked, {})
    assert (job.ranks_per_node, job.workers, job.bind_cores) == (workers, workers, binds)


def test_one_server_needs_to_be_told_nothing_and_takes_a_free_port(machine):
    job = read_job("auto", {})
    assert (job.nodes, job.node_rank, job.master_addr, job.join_timeout) == (1, 0, "127.0.0.1", 300)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", job.master_port))
    assert read_job("auto", {"NNODES": "", "NPROC": ""}).workers == 2, "an empty variable is as good as none"


def test_several_servers_number_their_workers_one_after_the_other(machine, here):
    told = {"NPROC": "8", "NNODES": "4", "NODE_RANK": "3", "MASTER_ADDR": "server0", "JOIN_TIMEOUT": "60"}
    job = read_job("auto", {**told, "BIND_CORES": "true"})
    assert (job.workers, job.first_rank, job.master_port) == (32, 24, 8118)
    assert (job.join_timeout, job.bind_cores) == (60, True)
    assert job.describe() == "8 workers on each of 4 servers, of which this is number 3, meeting at server0:8118"


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        ({"NPROC": "0"}, "NPROC must be a whole number of at least 1, not '0'"),
        ({"NPROC": "two"}, "NPROC must be a whole number of at least 1, not 'two'"),
        ({"NNODES": "-1"}, "NNODES must be a whole number of at least 1, not '-1'"),
        ({"NODE_RANK": "1"}, "NODE_RANK is 1, but with NNODES=1 it must be from 0 to 0"),
        ({"NNODES": "2", "NODE_RANK": "2"}, "NODE_RANK is 2, but with NNODES=2 it must be from 0 to 1"),
        ({"NODE_RANK": "-1"}, "NODE_RANK must be a whole number of at least 0, not '-1'"),
        ({"MASTER_PORT": "80"}, "MASTER_PORT must be a whole number from 1024 to 65535, not '80'"),
        ({"MASTER_PORT": "70000"}, "MASTER_PORT must be a whole number from 1024 to 65535, not '70000'"),
        ({"JOIN_TIMEOUT": "0"}, "JOIN_TIMEOUT must be a whole number of at least 1"),
        ({"BIND_CORES": "yes"}, "BIND_CORES must be true or false, not 'yes'"),
        ({"NNODES": "2"}, "with NNODES=2 MASTER_ADDR must be an address of server 0 that the others can reach"),
        ({"MASTER_ADDR": "192.0.2.1"}, "cannot meet at 192.0.2.1:.* MASTER_ADDR must be an address of the server with"),
    ],
)
def test_what_cannot_be_is_refused_by_its_name(machine, told, sentence):
    with pytest.raises(UserError, match=sentence):
        read_job("auto", told)


def test_an_address_that_nobody_knows_is_refused(machine, here):
    with pytest.raises(UserError, match="MASTER_ADDR nowhere is no address that this server knows"):
        read_job("auto", {"NNODES": "2", "MASTER_ADDR": "nowhere"})


def test_a_port_in_use_is_refused(machine):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        with pytest.raises(
            UserError, match=rf"cannot meet at 127.0.0.1:{port}: Address already in use. Choose another"
        ):
            read_job("auto", {"MASTER_PORT": port})
    assert read_job("auto", {"MASTER_PORT": port}).master_port == int(port)


def test_more_workers_than_devices_are_refused(machine):
    machine(ascend=8)
    with pytest.raises(UserError, match="NPROC is 9, but this server has 8 Ascend devices"):
        read_job("auto", {"NPROC": "9"})


def test_an_unknown_device_is_refused(machine):
    with pytest.raises(UserError, match=r"runtime.device Ascend is not available on this machine; it has CPU"):
        read_job("Ascend", {})

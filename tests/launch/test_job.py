import socket

import pytest

from mindvit.errors import UserError
from mindvit.launch import job as job_module
from mindvit.launch.job import read_job


@pytest.fixture
def machine(monkeypatch):
    """Sets the number of devices that the machine seems to have."""

    def make(ascend=0, gpu=0, cores=8):
        monkeypatch.setattr(job_module, "device_counts", lambda: {"Ascend": ascend, "GPU": gpu, "CPU": 1})
        monkeypatch.setattr(job_module.os, "cpu_count", lambda: cores)

    make()
    return make


@pytest.fixture
def resolver(monkeypatch):
    """Lets job.py resolve the name ``node0``, and no other, to an address that is not the loopback address."""
    monkeypatch.setattr(job_module, "_check_port", lambda job: None)
    known = {"node0": "10.1.2.3"}

    def getaddrinfo(name, port, **more):
        if name not in known:
            raise socket.gaierror(-2, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (known[name], port))]

    monkeypatch.setattr(job_module.socket, "getaddrinfo", getaddrinfo)


@pytest.mark.parametrize(
    ("devices", "requested", "ranks", "bind_cores"),
    [
        ({}, "auto", 2, False),
        ({"ascend": 8}, "auto", 8, True),
        ({"gpu": 4}, "auto", 4, False),
        ({"ascend": 8, "gpu": 4}, "GPU", 4, False),
        ({"ascend": 8}, "CPU", 2, False),
    ],
)
def test_there_is_one_rank_per_device_or_two_on_the_cpu(machine, devices, requested, ranks, bind_cores):
    machine(**devices)
    job = read_job(requested, {})
    assert (job.ranks_per_node, job.world_size, job.bind_cores) == (ranks, ranks, bind_cores)


def test_one_node_needs_no_variables_and_takes_a_free_port(machine):
    job = read_job("auto", {})
    assert (job.num_nodes, job.node_rank, job.master_addr, job.join_timeout) == (1, 0, "127.0.0.1", 300)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", job.master_port))
    assert read_job("auto", {"NNODES": "", "NPROC": ""}).world_size == 2, "an empty variable counts as unset"


def test_ranks_are_numbered_node_by_node(machine, resolver):
    environment = {"NPROC": "8", "NNODES": "4", "NODE_RANK": "3", "MASTER_ADDR": "node0", "JOIN_TIMEOUT": "60"}
    job = read_job("auto", {**environment, "BIND_CORES": "true"})
    assert (job.world_size, job.first_rank, job.master_port) == (32, 24, 8118)
    assert (job.join_timeout, job.bind_cores) == (60, True)
    assert job.describe() == "8 ranks on each of 4 nodes (this is node 3), scheduler at node0:8118"


@pytest.mark.parametrize(
    ("environment", "message"),
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
        ({"NNODES": "2"}, "with NNODES=2 MASTER_ADDR must be an address of node 0 that the other nodes can reach"),
        ({"MASTER_ADDR": "192.0.2.1"}, "cannot listen on 192.0.2.1:.* MASTER_ADDR must be an address of the node with"),
    ],
)
def test_an_invalid_variable_is_rejected_by_name(machine, environment, message):
    with pytest.raises(UserError, match=message):
        read_job("auto", environment)


def test_an_address_that_cannot_be_resolved_is_rejected(machine, resolver):
    with pytest.raises(UserError, match="MASTER_ADDR nowhere cannot be resolved on this node"):
        read_job("auto", {"NNODES": "2", "MASTER_ADDR": "nowhere"})


@pytest.mark.parametrize("nodes", ["1", "2"])
@pytest.mark.parametrize("address", ["no.such.name.invalid", "256.1.1.1", "a..b", "x" * 300, "http://10.0.0.1", "*"])
def test_what_is_no_address_is_rejected_on_one_node_and_on_several(machine, monkeypatch, address, nodes):
    monkeypatch.setattr(job_module, "_check_port", lambda job: None)
    with pytest.raises(
        UserError, match=r"^MASTER_ADDR .* cannot be resolved on this node: .*\. Set it to the IP address"
    ):
        read_job("auto", {"NNODES": nodes, "MASTER_ADDR": address})


def test_an_empty_address_counts_as_unset(machine):
    for address in ("", " "):
        assert read_job("auto", {"MASTER_ADDR": address}).master_addr == "127.0.0.1"
    with pytest.raises(UserError, match="with NNODES=2 MASTER_ADDR must be an address of node 0"):
        read_job("auto", {"NNODES": "2", "MASTER_ADDR": "0.0.0.0"})


def test_ranks_on_a_cpu_are_limited_by_its_cores(machine):
    machine(cores=2)
    with pytest.raises(UserError, match=r"^NPROC is 99, but this node has 2 CPU cores; at most 4 .*, 8 here"):
        read_job("auto", {"NPROC": "99"})
    with pytest.warns(UserWarning, match="NPROC is 8, but this node has 2 CPU cores; ranks that share a core are slow"):
        assert read_job("auto", {"NPROC": "8"}).world_size == 8
    machine(ascend=8, cores=1)
    assert read_job("auto", {}).world_size == 8, "NPUs compute on themselves"


def test_a_port_in_use_is_rejected(machine):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        with pytest.raises(
            UserError, match=rf"cannot listen on 127.0.0.1:{port}: Address already in use. Choose another"
        ):
            read_job("auto", {"MASTER_PORT": port})
    assert read_job("auto", {"MASTER_PORT": port}).master_port == int(port)


def test_more_ranks_than_devices_are_rejected(machine):
    machine(ascend=8)
    with pytest.raises(UserError, match="NPROC is 9, but this node has 8 Ascend devices"):
        read_job("auto", {"NPROC": "9"})


def test_a_device_that_is_not_available_is_rejected(machine):
    with pytest.raises(UserError, match=r"runtime.device Ascend is not available on this machine; choose CPU"):
        read_job("Ascend", {})

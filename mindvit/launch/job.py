"""The configuration of a job, from environment variables: nodes, ranks per node, and the address of the scheduler."""

import ipaddress
import os
import socket
import warnings
from collections.abc import Mapping
from dataclasses import dataclass

from mindvit.errors import UserError
from mindvit.runtime import choose_device, device_counts

_DEFAULT_PORT = 8118
_RANKS_ON_CPU = 2
_RANKS_PER_CORE = 4
"""Greatest number of ranks per CPU core. More only share the cores, and each takes at least 0.4 GB of memory."""
_TRUE_OR_FALSE = {"true": True, "false": False}


@dataclass(frozen=True)
class Job:
    """A job of several ranks, as one of its nodes sees it."""

    ranks_per_node: int
    """Ranks on each node."""
    num_nodes: int
    """Number of nodes."""
    node_rank: int
    """Index of this node, from 0."""
    master_addr: str
    """Address of node 0, where the scheduler runs."""
    master_port: int
    """Port of the scheduler."""
    join_timeout: int
    """Time to wait until all ranks have joined, in seconds."""
    bind_cores: bool
    """Whether each rank is bound to its share of the CPU cores."""

    @property
    def world_size(self) -> int:
        """Ranks of all nodes."""
        return self.num_nodes * self.ranks_per_node

    @property
    def first_rank(self) -> int:
        """The first rank of this node."""
        return self.node_rank * self.ranks_per_node

    def describe(self) -> str:
        """A description of one line."""
        ranks = f"{self.ranks_per_node} rank{'' if self.ranks_per_node == 1 else 's'}"
        nodes = f" on each of {self.num_nodes} nodes (this is node {self.node_rank})" if self.num_nodes > 1 else ""
        return f"{ranks}{nodes}, scheduler at {self.master_addr}:{self.master_port}"


def read_job(device: str = "auto", environment: Mapping[str, str] = os.environ) -> Job:
    """Reads NPROC, NNODES, NODE_RANK, MASTER_ADDR, MASTER_PORT, JOIN_TIMEOUT and BIND_CORES, and checks them.

    Args:
        device: ``runtime.device`` of the program.
        environment: the environment variables.

    Raises:
        UserError: if the device is not available, a value is invalid, or the address or port cannot be used.
    """
    counts = device_counts()
    device = choose_device(device, {name: count > 0 for name, count in counts.items()})
    num_nodes = _number(environment, "NNODES", 1, 1)
    node_rank = _number(environment, "NODE_RANK", 0, 0)
    if node_rank >= num_nodes:
        raise UserError(f"NODE_RANK is {node_rank}, but with NNODES={num_nodes} it must be from 0 to {num_nodes - 1}")
    ranks_per_node = _number(environment, "NPROC", _RANKS_ON_CPU if device == "CPU" else counts[device], 1)
    if device == "CPU":
        _check_cores(ranks_per_node)
    elif ranks_per_node > counts[device]:
        raise UserError(f"NPROC is {ranks_per_node}, but this node has {counts[device]} {device} devices")
    master_addr = environment.get("MASTER_ADDR", "").strip() or "127.0.0.1"
    _check_address(master_addr, num_nodes)
    job = Job(
        ranks_per_node,
        num_nodes,
        node_rank,
        master_addr,
        _number(environment, "MASTER_PORT", _DEFAULT_PORT if num_nodes > 1 else _free_port(), 1024, 65535),
        _number(environment, "JOIN_TIMEOUT", 300, 1),
        _switch(environment, "BIND_CORES", device == "Ascend"),
    )
    if node_rank == 0:
        _check_port(job)
    return job


def read_world_size(environment: Mapping[str, str] = os.environ) -> int:
    """The ranks of all nodes, from NPROC and NNODES, by default 1, whatever devices this machine has.

    Raises:
        UserError: if a value is invalid.
    """
    return _number(environment, "NPROC", 1, 1) * _number(environment, "NNODES", 1, 1)


def _number(environment: Mapping[str, str], name: str, default: int, minimum: int, maximum: int | None = None) -> int:
    text = environment.get(name, "")
    if not text:
        return default
    number = int(text) if text.removeprefix("-").isdecimal() else None
    if number is None or number < minimum or (maximum is not None and number > maximum):
        span = f"from {minimum} to {maximum}" if maximum is not None else f"of at least {minimum}"
        raise UserError(f"{name} must be a whole number {span}, not {text!r}")
    return number


def _switch(environment: Mapping[str, str], name: str, default: bool) -> bool:
    text = environment.get(name, "")
    if text and text not in _TRUE_OR_FALSE:
        raise UserError(f"{name} must be true or false, not {text!r}")
    return _TRUE_OR_FALSE[text] if text else default


def _check_cores(ranks: int) -> None:
    cores = os.cpu_count() or 1
    if ranks > _RANKS_PER_CORE * cores:
        raise UserError(
            f"NPROC is {ranks}, but this node has {cores} CPU cores; at most {_RANKS_PER_CORE} ranks per core are "
            f"started, {_RANKS_PER_CORE * cores} here, and more than one per core makes a job slower"
        )
    if ranks > cores:
        message = f"NPROC is {ranks}, but this node has {cores} CPU cores; ranks that share a core are slower"
        warnings.warn(message, stacklevel=3)


def _check_address(master_addr: str, num_nodes: int) -> None:
    try:
        address = ipaddress.ip_address(socket.getaddrinfo(master_addr, None)[0][4][0])
    except (OSError, ValueError) as error:  # ValueError: a name that cannot be one, such as an empty label.
        why = getattr(error, "strerror", None) or "it is neither an address nor a name"
        raise UserError(
            f"MASTER_ADDR {master_addr} cannot be resolved on this node: {why}. Set it to the IP address of node 0, or "
            "leave it unset on a single node"
        ) from error
    if num_nodes > 1 and (address.is_loopback or address.is_unspecified):
        raise UserError(
            f"with NNODES={num_nodes} MASTER_ADDR must be an address of node 0 that the other nodes can reach, "
            f"not {master_addr}"
        )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _check_port(job: Job) -> None:
    family, _, _, _, address = socket.getaddrinfo(job.master_addr, job.master_port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # As the scheduler: a closed port is free at once.
        try:
            probe.bind(address)
            probe.listen()
        except OSError as error:
            raise UserError(
                f"the scheduler cannot listen on {job.master_addr}:{job.master_port}: {error.strerror}. "
                "Choose another MASTER_PORT; MASTER_ADDR must be an address of the node with NODE_RANK=0"
            ) from error

"""Memory that the ranks of a job on one machine share, in which the kernel ``sum_over_ranks`` adds their tensors."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

from mindspore.communication import get_group_size, get_rank

from mindvit.distributed import all_gather_object, broadcast_object, is_distributed
from mindvit.native_kernels.kernel_library import join_ranks
from mindvit.ops.operation import has_native_kernels

_state = {"is_joined": False}


def ranks_share_memory() -> bool:
    """Whether the kernel ``sum_over_ranks`` can be used: all ranks have native kernels, and are on one machine.

    All ranks of a job call it together. The first call maps the memory: 8 MB for each rank, which the system frees when
    the last rank ends.
    """
    if not is_distributed() or not all(all_gather_object(has_native_kernels() and hasattr(os, "memfd_create"))):
        return False
    if all(all_gather_object(_state["is_joined"])):
        return True
    name = f"mindvit-{broadcast_object(secrets.token_hex(16))}"
    own = os.memfd_create(name) if get_rank() == 0 else None
    try:
        process, number = broadcast_object([os.getpid(), own])
        _state["is_joined"] = all(all_gather_object(_join(Path(f"/proc/{process}/fd/{number}"), name)))
    finally:
        if own is not None:
            os.close(own)
    return _state["is_joined"]


def _join(path: Path, name: str) -> bool:
    """Maps the file if it is the one with this name; on another machine the path is none, or another file."""
    with suppress(OSError):
        if str(path.readlink()).startswith(f"/memfd:{name}"):
            file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                return join_ranks(file, get_rank(), get_group_size())
            finally:
                os.close(file)
    return False

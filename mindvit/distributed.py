"""Initialization of a distributed job, and communication between its ranks.

Every function that communicates is a collective: all ranks call it, the same number of times and in the same order.
With one rank, the functions return their input.
"""

import json
import os
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, ops
from mindspore.communication import get_group_size, get_rank, init

from mindvit.errors import UserError
from mindvit.parent_death import end_with_parent

T = TypeVar("T")


def is_distributed() -> bool:
    """Whether ``msrun`` started this process as a rank of a job."""
    return "MS_ROLE" in os.environ


def init_distributed() -> tuple[int, int]:
    """Connects to the other ranks of the job. ``msrun`` sets the rank of each process through the environment.

    Returns:
        The rank of this process and the number of ranks; 0 and 1 if ``msrun`` did not start this process.
    """
    if not is_distributed():
        return 0, 1
    end_with_parent(signal.SIGTERM)
    init()  # msrun starts the scheduler as one more process of the same command. It runs and exits inside this call.
    return get_rank(), get_group_size()


def all_reduce_sum(values: np.ndarray) -> np.ndarray:
    """The elementwise sum of a float64 array over all ranks.

    The collectives of some backends do not support float64. So each number is sent as two float32 parts, which keeps
    counts up to 2^47 exact.
    """
    if not is_distributed():
        return values
    coarse = values.astype(np.float32)
    fine = (values - coarse).astype(np.float32)
    parts = ops.AllGather()(Tensor(np.stack([coarse, fine])))
    return parts.asnumpy().astype(np.float64).reshape(-1, *values.shape).sum(axis=0)


def all_gather_object(value: Any) -> list:
    """The values of all ranks, in the order of the ranks. A value is anything that JSON can represent.

    It replaces ``mint.distributed.all_gather_object``, which requires PyNative mode and unpickles what it receives.
    """
    if not is_distributed():
        return [value]
    text = np.frombuffer(json.dumps(value).encode(), np.uint8).astype(np.int32)
    lengths = ops.AllGather()(Tensor([len(text)], ms.int32)).asnumpy()
    padded = np.pad(text, (0, lengths.max() - len(text)))
    rows = ops.AllGather()(Tensor(padded)).asnumpy().reshape(len(lengths), -1).astype(np.uint8)
    return [json.loads(row[:length].tobytes()) for row, length in zip(rows, lengths, strict=True)]


def all_gather_rows(rows: np.ndarray) -> np.ndarray:
    """The rows of all ranks, in the order of the ranks, bit for bit.

    Args:
        rows: float64 (n, columns); n may differ between ranks.

    Returns:
        float64 (sum of n, columns).
    """
    if not is_distributed():
        return rows
    lengths = ops.AllGather()(Tensor([len(rows)], ms.int32)).asnumpy()
    if not lengths.any():
        return rows
    padded = np.zeros((lengths.max(), rows.shape[1]))
    padded[: len(rows)] = rows
    # The collectives of some backends do not support float64, and all support integers of 32 bits.
    parts = ops.AllGather()(Tensor(padded.view(np.int32))).asnumpy()
    gathered = np.ascontiguousarray(parts).view(np.float64).reshape(len(lengths), *padded.shape)
    return np.concatenate([part[:length] for part, length in zip(gathered, lengths, strict=True)])


def broadcast_object(value: Any) -> Any:
    """The value of rank 0: anything that JSON can represent. The values of other ranks are ignored."""
    return all_gather_object(value if not is_distributed() or get_rank() == 0 else None)[0]


def broadcast_arrays(arrays: dict[str, np.ndarray] | None) -> dict[str, np.ndarray]:
    """The arrays of rank 0 by name; other ranks pass None. The device must support the dtypes of the arrays."""
    if not is_distributed():
        return arrays
    kinds = broadcast_object(arrays and {name: (array.shape, str(array.dtype)) for name, array in arrays.items()})
    own = arrays or {name: np.zeros(shape, kind) for name, (shape, kind) in kinds.items()}
    return {name: _broadcast(Tensor(np.atleast_1d(own[name]))).reshape(kinds[name][0]) for name in kinds}


def broadcast_parameters(parameters: Sequence[Parameter]) -> None:
    """Sets parameters to the values that they have on rank 0."""
    if not is_distributed():
        return
    for parameter in parameters:
        shape = parameter.shape
        parameter.set_data(Tensor(_broadcast(Tensor(np.atleast_1d(parameter.asnumpy()))).reshape(shape)))


@contextmanager
def raise_on_any_rank() -> Iterator[None]:
    """Raises an error on all ranks if the body of the ``with`` statement raises one on any rank.

    Otherwise the other ranks would wait for the failed rank at the next collective. The body must not contain
    collectives.

    Raises:
        UserError: with the message of the first rank that failed, and with its rank and host unless all ranks have the
            same message.
        Exception: the exception of this rank, if it is not a ``UserError``.
    """
    failure: Exception | None = None
    try:
        yield
    except Exception as error:
        if not is_distributed():
            raise
        failure = error
    message = failure and (str(failure) if isinstance(failure, UserError) else f"{type(failure).__name__}: {failure}")
    reports = all_gather_object([message, socket.gethostname()])
    if failure is not None and not isinstance(failure, UserError):
        raise failure
    for rank, (message, host) in enumerate(reports):
        if message:
            same = all(other == message for other, _ in reports)
            raise UserError(message if same else f"rank {rank} on {host}: {message}") from failure


def local_rank_zero_first(action: Callable[[], T]) -> T:
    """Calls a function on the first rank of each node, then on the other ranks, and returns its result.

    So the first rank downloads or writes a file, and the other ranks of the node find it.

    Raises:
        UserError: as ``raise_on_any_rank``.
    """
    is_first = int(os.environ.get("DEVICE_ID", "0")) == 0 or not is_distributed()
    result = None
    for turn in (True, False):
        with raise_on_any_rank():
            if is_first is turn:
                result = action()
    return result


def check_same_on_all_ranks(settings: dict[str, Any]) -> None:
    """Checks that all ranks have the same settings.

    Args:
        settings: values by dotted name.

    Raises:
        UserError: on all ranks, naming the settings that differ and the first rank on which they do.
    """
    gathered = all_gather_object([settings, socket.gethostname()])
    first, _ = gathered[0]
    for rank, (other, host) in enumerate(gathered):
        differing = [name for name in sorted(first.keys() | other.keys()) if first.get(name) != other.get(name)]
        if differing:
            shown = "; ".join(
                f"{name} is {json.dumps(other.get(name))} but {json.dumps(first.get(name))} on rank 0"
                for name in differing[:5]
            )
            more = f"; and {len(differing) - 5} more differ" if len(differing) > 5 else ""
            raise UserError(
                f"rank {rank} on {host} has different settings from rank 0: {shown}{more}. "
                "Start all nodes with the same recipe, options, data and version"
            )


def _broadcast(value: Tensor) -> np.ndarray:
    return ops.Broadcast(0)((value,))[0].asnumpy()

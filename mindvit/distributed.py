"""The other workers of a job: joining them, and what all of them say together.

Every function here that speaks with the others is a collective: all workers call it, the same number of times and in
the same order. A single worker's answer is its own.
"""

import ctypes
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, ops
from mindspore.communication import get_group_size, get_rank, init

from mindvit.errors import UserError

T = TypeVar("T")

_PR_SET_PDEATHSIG = 1


def init_distributed() -> tuple[int, int]:
    """Joins the workers that ``msrun`` started; it tells each its place through the environment.

    Returns:
        This worker's number, and how many there are; 0 and 1 outside such a job.
    """
    if not is_distributed():
        return 0, 1
    end_with_parent(signal.SIGTERM)
    init()  # The scheduler, which msrun starts as one more process, does its work in here and ends.
    return get_rank(), get_group_size()


def all_reduce_sum(values: np.ndarray) -> np.ndarray:
    """Adds up a float64 array, elementwise, over all workers of the job; a single worker's sum is its own.

    Not every backend's collectives carry float64. Each number travels as two float32 parts, which keeps counts up to
    2^47 exact.
    """
    if not is_distributed():
        return values
    coarse = values.astype(np.float32)
    fine = (values - coarse).astype(np.float32)
    parts = ops.AllGather()(Tensor(np.stack([coarse, fine])))
    return parts.asnumpy().astype(np.float64).reshape(-1, *values.shape).sum(axis=0)


def all_gather_object(value: Any) -> list:
    """What every worker gives, in their order; anything that JSON can hold.

    In place of ``mint.distributed.all_gather_object``, which is made for PyNative mode and unpickles what it is sent.
    """
    if not is_distributed():
        return [value]
    text = np.frombuffer(json.dumps(value).encode(), np.uint8).astype(np.int32)
    lengths = ops.AllGather()(Tensor([len(text)], ms.int32)).asnumpy()
    padded = np.pad(text, (0, lengths.max() - len(text)))
    rows = ops.AllGather()(Tensor(padded)).asnumpy().reshape(len(lengths), -1).astype(np.uint8)
    return [json.loads(row[:length].tobytes()) for row, length in zip(rows, lengths, strict=True)]


def broadcast_object(value: Any) -> Any:
    """What worker 0 gives; anything that JSON can hold. The others' values are not looked at."""
    return all_gather_object(value if not is_distributed() or get_rank() == 0 else None)[0]


def broadcast_arrays(arrays: dict[str, np.ndarray] | None) -> dict[str, np.ndarray]:
    """Worker 0's arrays by name, of numbers that the device knows; the others give None."""
    if not is_distributed():
        return arrays
    kinds = broadcast_object(arrays and {name: (array.shape, str(array.dtype)) for name, array in arrays.items()})
    own = arrays or {name: np.zeros(shape, kind) for name, (shape, kind) in kinds.items()}
    return {name: _broadcast(Tensor(np.atleast_1d(own[name]))).reshape(kinds[name][0]) for name in kinds}


def broadcast_parameters(parameters: Sequence[Parameter]) -> None:
    """Gives every worker worker 0's values of some parameters."""
    if not is_distributed():
        return
    for parameter in parameters:
        shape = parameter.shape
        parameter.set_data(Tensor(_broadcast(Tensor(np.atleast_1d(parameter.asnumpy()))).reshape(shape)))


@contextmanager
def raise_on_any_rank() -> Iterator[None]:
    """Does something on all workers, and ends all of them where one of them fails.

    Without it the others would wait for the one that failed at the next collective. Within it there must be none.

    Raises:
        UserError: with the sentence of the first worker that failed by one; and with its number and server, unless all
            say the same.
        Exception: what failed otherwise here.
    """
    failed: Exception | None = None
    try:
        yield
    except Exception as error:
        if not is_distributed():
            raise
        failed = error
    sentence = failed and (str(failed) if isinstance(failed, UserError) else f"{type(failed).__name__}: {failed}")
    reports = all_gather_object([sentence, socket.gethostname()])
    if failed is not None and not isinstance(failed, UserError):
        raise failed
    for rank, (sentence, host) in enumerate(reports):
        if sentence:
            alike = all(other == sentence for other, _ in reports)
            raise UserError(sentence if alike else f"worker {rank} on {host}: {sentence}") from failed


def local_rank_zero_first(action: Callable[[], T]) -> T:
    """Does something on the first worker of each server, then on the others, who find what it fetched or wrote.

    Raises:
        UserError: as ``raise_on_any_rank``.
    """
    leads = int(os.environ.get("DEVICE_ID", "0")) == 0 or not is_distributed()
    result = None
    for turn in (True, False):
        with raise_on_any_rank():
            if leads is turn:
                result = action()
    return result


def check_same_on_all_ranks(facts: dict[str, Any]) -> None:
    """Checks that all workers have the same settings.

    Args:
        facts: by their flatten names.

    Raises:
        UserError: on all workers, naming what differs and on which worker.
    """
    everyone = all_gather_object([facts, socket.gethostname()])
    first, _ = everyone[0]
    for rank, (others, host) in enumerate(everyone):
        differing = [name for name in sorted(first.keys() | others.keys()) if first.get(name) != others.get(name)]
        if differing:
            shown = "; ".join(
                f"{name} is {json.dumps(others.get(name))} but {json.dumps(first.get(name))} on worker 0"
                for name in differing[:5]
            )
            more = f"; and {len(differing) - 5} more differ" if len(differing) > 5 else ""
            raise UserError(
                f"worker {rank} on {host} has other settings than worker 0: {shown}{more}. "
                "Start all servers with the same recipe, options, data and version"
            )


def end_with_parent(number: signal.Signals) -> None:
    """Has this process receive a signal when the one that started it is gone, however that ended; Linux alone can."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)


def _broadcast(value: Tensor) -> np.ndarray:
    return ops.Broadcast(0)((value,))[0].asnumpy()


def is_distributed() -> bool:
    return "MS_ROLE" in os.environ

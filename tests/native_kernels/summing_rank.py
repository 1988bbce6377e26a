"""Sums tensors over several processes that only have the library of native kernels, and prints the sums' hash.

Arguments: the library, a file that all processes share, rank, number of ranks, and a number of sums, after which the
process ends.
"""

import ctypes
import sys
from hashlib import sha256

import numpy as np

# More than one turn of the kernel; a scalar and an empty tensor; a tensor that lies in two turns.
SHAPES = ((2,), (), (3, 0), (300, 5000), (7, 11), (65536,))


def tensors(rank, step):
    rng = np.random.default_rng([rank, step])
    return [rng.standard_normal(shape, np.float32) for shape in SHAPES]


def main(path, file, rank, ranks, sums):
    library = ctypes.CDLL(path)
    library.mindvit_use_threads(1 + rank % 2)
    if library.mindvit_join_ranks(file, rank, ranks):
        sys.exit("cannot join")
    print("joined", flush=True)
    sys.stdin.readline()  # Until all have joined.
    for step in range(sums):
        given = tensors(rank, step)
        arrays = given + [np.full(shape, np.nan, np.float32) for shape in SHAPES]
        pointers = (ctypes.c_void_p * len(arrays))(*(array.ctypes.data for array in arrays))
        ranks_of = (ctypes.c_int * len(arrays))(*(array.ndim for array in arrays))
        held = [(ctypes.c_int64 * max(1, array.ndim))(*array.shape) for array in arrays]
        shapes = (ctypes.POINTER(ctypes.c_int64) * len(arrays))(*held)
        if library.mindvit_sum_over_ranks(len(arrays), pointers, ranks_of, shapes, None, None, None):
            sys.exit("a rank has ended")
        found = arrays[len(given) :]
        expected = [np.sum(parts, 0) for parts in zip(*(tensors(other, step) for other in range(ranks)), strict=True)]
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
        print(step, sha256(b"".join(array.tobytes() for array in found)).hexdigest(), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))

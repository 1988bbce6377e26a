"""Builds the native kernels, once for each processor and compiler, and loads them."""

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import mindspore as ms

from mindvit.errors import UserError
from mindvit.processor import processor_identity
from mindvit.user_cache import private_folder, user_cache_folder

_COMPILERS = ("g++", "clang++", "c++")
# NaN and infinity keep their meaning: a training step recognizes a diverged loss by them.
_FLAGS = (
    *("-std=c++17", "-O3", "-fPIC", "-shared", "-pthread", "-ffp-contract=fast", "-fopenmp-simd"),
    *("-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros", "-fassociative-math", "-freciprocal-math"),
)
_BUILD_SECONDS = 300.0


class NoNativeKernelsError(UserError):
    """The native kernels cannot be built or loaded on this machine."""


def load_kernels(environment: Mapping[str, str] = os.environ) -> Path:
    """Loads the library of the native kernels; builds it first if it is missing, which takes about 5 s.

    It is stored in ``native`` in the cache folder of the user, under a hash of all that it is made from: the sources,
    the compiler (``$CXX``, else g++, clang++ or c++), its options and the processor. Several processes may build at
    once. Matrix products are those of the oneDNN library that MindSpore ships.

    Returns:
        The path of the library.

    Raises:
        NoNativeKernelsError: if there is no compiler or no oneDNN, or if the library cannot be built or loaded.
        FileError: if the cache folder cannot be created or written, or if other users could have written to it.
    """
    if os.name != "posix":
        raise NoNativeKernelsError("native kernels need Linux")
    products = Path(ms.__file__).parent / "lib/libdnnl.so.3"
    if not products.exists():
        raise NoNativeKernelsError(f"native kernels need the oneDNN library of MindSpore, {products}")
    command = [*_compiler(environment), *_FLAGS, _processor_option()]
    path = private_folder(user_cache_folder(environment) / "native") / f"{_digest(command)}.so"
    if not path.exists():
        _build(command, path)
    return _load(path, products)


def set_threads(count: int) -> None:
    """Sets the number of threads of the loaded kernels."""
    for library in _loaded.values():
        library.mindvit_use_threads(count)


def join_ranks(file: int, rank: int, ranks: int) -> bool:
    """Gives the loaded kernels the memory in which they add tensors of several ranks. Returns whether they can use it.

    Args:
        file: a file that all ranks have opened; its size is set here, and it may be closed afterwards.
        rank: rank of this process.
        ranks: number of ranks.
    """
    return bool(_loaded) and not any(library.mindvit_join_ranks(file, rank, ranks) for library in _loaded.values())


_loaded: dict[Path, ctypes.CDLL] = {}


def _load(path: Path, products: Path) -> Path:
    if path not in _loaded:
        try:
            library = ctypes.CDLL(str(path))
        except OSError as error:
            raise NoNativeKernelsError(f"the native kernels cannot be loaded: {error}") from error
        if library.mindvit_use_products_of(os.fsencode(products)):
            raise NoNativeKernelsError(f"native kernels: {products} has no function dnnl_sgemm")
        library.mindvit_use_threads(available_threads())
        _loaded[path] = library
    return path


def available_threads(environment: Mapping[str, str] = os.environ) -> int:
    """Threads that a kernel uses: ``$OMP_NUM_THREADS``, by default one for each core that the process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = environment.get("OMP_NUM_THREADS", "")
    return max(1, min(cores, int(asked) if asked.isdecimal() else cores, ms.get_context("runtime_num_threads")))


def _compiler(environment: Mapping[str, str]) -> list[str]:
    chosen = shlex.split(environment.get("CXX", ""))
    found = chosen or [name for name in _COMPILERS if shutil.which(name)][:1]
    if not found or shutil.which(found[0]) is None:
        raise NoNativeKernelsError(
            f"native kernels are built by a C++ compiler, but {found[0] if found else 'none'} cannot be found; "
            "install g++ (apt install g++), or set CXX"
        )
    return found


def _processor_option() -> str:
    return "-mcpu=native" if platform.machine() in ("aarch64", "arm64") else "-march=native"


def _digest(command: list[str]) -> str:
    """Identifies a library by what it is made from."""
    hashed = hashlib.sha256("\0".join([*command, _version(command[0]), processor_identity()]).encode())
    for source in [*_sources("*.h"), *_sources("*.cc")]:
        hashed.update(source.name.encode() + b"\0" + source.read_bytes())
    return hashed.hexdigest()[:16]


@cache
def _version(compiler: str) -> str:
    return subprocess.run([compiler, "--version"], capture_output=True, text=True, timeout=30, check=False).stdout


def _sources(pattern: str) -> list[Path]:
    return sorted(Path(__file__).parent.glob(pattern))


def _build(command: list[str], path: Path) -> None:
    """Builds the library. Another process may do so too: the last one that is ready replaces an equal file."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".building-") as folder:
        built = Path(folder) / path.name
        try:
            done = subprocess.run(
                [*command, *map(str, _sources("*.cc")), "-o", str(built), "-ldl"],
                capture_output=True,
                text=True,
                timeout=_BUILD_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NoNativeKernelsError(f"the native kernels cannot be built: {error}") from error
        if done.returncode:
            raise NoNativeKernelsError(f"{command[0]} cannot build the native kernels: {done.stderr.strip()[:500]}")
        built.replace(path)

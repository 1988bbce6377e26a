"""The CANN libraries that MindSpore's Ascend plugin loads: those that are installed, or stand-ins built on the spot.

In a dry run (``MS_SIMULATION_LEVEL``) MindSpore replaces every call to the device by its own. So the libraries only
have to exist and to define the symbols that the plugin asks for. The stand-ins define each of them as a function that
returns 0; the few whose result is used are in ``cann_symbols.cc``. One of MindSpore's own replacements keeps two
processors busy; ``waiting.cc`` takes its place.
"""

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mindvit.errors import UserError
from mindvit.files import make_folder, reraise_os_errors
from mindvit.user_cache import user_cache_folder

_PLUGIN = ("lib/libmindspore_ge_backend.so", "lib/plugin/libmindspore_ascend.so.2")
"""Libraries of MindSpore that are linked against CANN, relative to the package."""
_HEADERS = "include/mindspore/ccsrc/plugin/ascend/res_manager/symbol_interface"
"""Headers that name the functions of CANN which the plugin looks up by name."""
_LOADED_BY_NAME = ("libopapi.so", "libprofapi.so")
"""Libraries that no other library is linked against: of the aclnn operators, and of the profiler for fused kernels."""
_CALLED_BY_NAME = (
    "aclnnInit",
    "aclnnFinalize",
    *(
        f"Msprof{name}"
        for name in (
            "GetHashId",
            "RegTypeInfo",
            "RegisterCallback",
            "ReportAdditionalInfo",
            "ReportApi",
            "ReportCompactInfo",
            "SysCycleTime",
        )
    ),
)
"""Functions that are looked up by name and that no header of MindSpore lists."""
_HCCL_VERSION = "8.5.0"
"""Version that the Python package ``hccl`` of CANN states; MindSpore compares it with its own."""
_PRELOADED = "libwaiting.so"
_TOOLS = {"g++": "g++", "readelf": "binutils", "nm": "binutils"}
"""The programs that build the stand-ins, and the system package of each."""


@dataclass(frozen=True)
class CannLibraries:
    """Where a process finds the CANN libraries."""

    is_installed: bool
    """Whether they are those of CANN, and not stand-ins."""
    stand_ins: Path | None = None
    """Folder of the stand-ins, for LD_LIBRARY_PATH."""
    preloaded: Path | None = None
    """A library for LD_PRELOAD, whose functions take the place of MindSpore's."""
    python_path: Path | None = None
    """Folder of the stand-in of the Python package ``hccl``, for PYTHONPATH."""


def find_cann(environment: Mapping[str, str] = os.environ) -> Path | None:
    """The folder of the CANN toolkit that the environment names and that has its main library; None without CANN."""
    for variable in ("ASCEND_TOOLKIT_HOME", "ASCEND_HOME_PATH"):
        folder = environment.get(variable)
        if folder and (Path(folder) / "lib64/libascendcl.so").exists():
            return Path(folder)
    return None


def provide_cann(mindspore: Path, version: str, environment: Mapping[str, str] = os.environ) -> CannLibraries:
    """Finds CANN, or else the stand-ins in the cache, which it builds if they are missing (about 5 s).

    The cache is ``$XDG_CACHE_HOME/mindvit``, by default ``~/.cache/mindvit``. Several processes may build at once.

    Args:
        mindspore: folder of the package ``mindspore``.
        version: its version.
        environment: the environment variables.

    Raises:
        UserError: if CANN is not installed, and a tool to build the stand-ins or MindSpore's Ascend plugin is missing.
    """
    if find_cann(environment):
        return CannLibraries(is_installed=True)
    cache = user_cache_folder(environment)
    folder = cache / f"cann-stand-ins-{version}-{_digest(mindspore)}"
    if not folder.exists():
        _check_tools()
        make_folder(cache)
        with reraise_os_errors("write", cache), tempfile.TemporaryDirectory(dir=cache, prefix=".building-") as building:
            _build(mindspore, Path(building) / "cann")
            _publish(Path(building) / "cann", folder)
    # The plugin takes the parent of a folder named "latest" for the folder that CANN is installed in.
    return CannLibraries(
        is_installed=False,
        stand_ins=folder / "latest/lib64",
        preloaded=folder / _PRELOADED,
        python_path=folder / "python",
    )


def _digest(mindspore: Path) -> str:
    """Identifies what the stand-ins are made from: the sources here and the libraries of MindSpore."""
    sizes = [(mindspore / name).stat().st_size if (mindspore / name).exists() else None for name in _PLUGIN]
    sources = [Path(__file__), _source("cann_symbols"), _source("waiting")]
    return hashlib.sha256(b"\0".join([repr(sizes).encode(), *(path.read_bytes() for path in sources)])).hexdigest()[:12]


def _source(name: str) -> Path:
    return Path(__file__).with_name(f"{name}.cc")


def _check_tools() -> None:
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if missing:
        packages = " ".join(sorted({_TOOLS[tool] for tool in missing}))
        raise UserError(
            f"a dry run without CANN builds stand-ins for its libraries, but {' and '.join(missing)} cannot be found; "
            f"install {packages} (apt install {packages}), or CANN"
        )


def _publish(built: Path, folder: Path) -> None:
    """Moves the finished stand-ins to their place at once. Another process may have been first."""
    try:
        built.rename(folder)
    except OSError:
        if not folder.exists():
            raise


def _build(mindspore: Path, target: Path) -> None:
    libraries = target / "latest/lib64"
    libraries.mkdir(parents=True)
    needed = _needed_libraries(mindspore)
    names = _undefined_symbols(needed.present) | _names_in_headers(mindspore) | set(_CALLED_BY_NAME)
    written, others, library = libraries / "written.o", libraries / "others.c", libraries / "libcann_stand_in.so"
    flags = ("-fPIC", "-w", "-O1")
    _run("g++", *flags, "-D_GLIBCXX_USE_CXX11_ABI=0", "-c", str(_source("cann_symbols")), "-o", str(written))
    defined = {line.split()[-1] for line in _run("nm", "--defined-only", str(written)).splitlines()}
    others.write_text("".join(f"long {name}(void) {{ return 0; }}\n" for name in sorted(names - defined)))
    _run("g++", *flags, "-shared", "-o", str(library), str(written), "-xc", str(others))
    _run("g++", *flags, "-shared", "-o", str(target / _PRELOADED), str(_source("waiting")))
    for intermediate in (written, others):
        intermediate.unlink()
    for name in needed.absent:
        (libraries / name).symlink_to(library.name)
    package = target / "python/hccl"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "sys_version.py").write_text(f'__sys_version__ = "{_HCCL_VERSION}"\n')


@dataclass(frozen=True)
class _Needed:
    present: set[Path]
    """The plugin and all libraries that it is linked against, directly or not, and that this machine has."""
    absent: set[str]
    """The names of those that it lacks."""


def _needed_libraries(mindspore: Path) -> _Needed:
    places = {path.name: path for path in mindspore.rglob("*.so*")}
    for line in _run("ldconfig", "-p").splitlines()[1:]:
        name, _, path = line.strip().partition(" ")
        places.setdefault(name, Path(path.rpartition(" ")[2]))
    waiting = [mindspore / name for name in _PLUGIN]
    if not all(path.exists() for path in waiting):
        raise UserError(f"{mindspore} has no Ascend plugin; install the package mindspore for Linux")
    present, absent = set(), set(_LOADED_BY_NAME)
    while waiting:
        library = waiting.pop()
        if library not in present:
            present.add(library)
            for name in re.findall(r"\(NEEDED\).*\[(.*)\]", _run("readelf", "-dW", str(library))):
                if name in places:
                    waiting.append(places[name])
                else:
                    absent.add(name)
    return _Needed(present, absent)


def _undefined_symbols(libraries: Iterable[Path]) -> set[str]:
    """The symbols that some library asks for and none defines, without those of the Python interpreter."""
    wanted, defined = set(), set()
    for library in libraries:
        for line in _run("nm", "-D", str(library)).splitlines():
            *_, kind, name = line.split()
            (wanted if kind == "U" else defined).add(name.partition("@")[0])
    return {name for name in wanted - defined if not name.startswith(("Py", "_Py"))}


def _names_in_headers(mindspore: Path) -> set[str]:
    declared = re.compile(r"^(?:ORIGIN_METHOD|ACLRT_GET_SOC)\w*\((\w+),", re.MULTILINE)
    headers = (mindspore / _HEADERS).glob("*.h")
    return {name for header in headers for name in declared.findall(header.read_text())}


def _run(*command: str) -> str:
    environment = {**os.environ, "LC_ALL": "C", "PATH": f"{os.environ.get('PATH', '')}:/sbin:/usr/sbin"}
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip() or "no message").splitlines()[-1]
        raise UserError(f"the stand-ins for CANN cannot be built: {command[0]} failed: {last}") from error

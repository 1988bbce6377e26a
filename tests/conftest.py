import gc
import runpy
import signal
import sys
import time
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from PIL import Image

from mindvit import runtime
from mindvit.graph_cache import cached_compile
from mindvit.native_kernels.kernel_library import NoNativeKernelsError, load_kernels
from mindvit.ops.operation import use_native_kernels

ROOT = Path(__file__).parent.parent


LONGEST = (
    "programs/test_distributed.py",
    "programs/test_two_ranks.py",
    "ascend/test_recipes.py",
    "test_configs.py",
    "training/test_trainer.py",
    "programs/test_kill_and_resume.py",
    "ascend/test_constructions.py",
    "ascend/test_step_settings.py",
    "models/test_vit.py",
    "training/test_flat_weights.py",
    "training/test_recompute.py",
    "ascend/test_memory.py",
    "programs/test_readme_commands.py",
    "fuzz/test_fuzz.py",
    "training/test_torch_curves.py",
    "ascend/test_budgets.py",
    "test_extraction.py",
)
"""Files that take more than half a minute, longest first. They start first, so that two processes end together."""


def pytest_collection_modifyitems(items):
    """Marks tests that train whole runs as slow, and puts the files that take longest first."""
    for item in items:
        if "train" in item.fixturenames:
            item.add_marker(pytest.mark.slow)
    places = {ROOT / "tests" / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.fixture(scope="session", autouse=True)
def graph_mode():
    ms.set_context(mode=ms.GRAPH_MODE)
    ms.set_device("CPU")
    ms.runtime.launch_blocking()  # It halves the time of tests that compute operator by operator.
    gc.freeze()  # What is imported stays, and need not be looked at in each collection.


@pytest.fixture(autouse=True)
def eager(request):
    """Computes tests marked eager operator by operator, also where a program would select graph mode.

    The kernels are the same, and compiling takes seconds. ``graph`` exempts a test of a module that is marked eager.
    """
    with pytest.MonkeyPatch.context() as patch:
        if request.node.get_closest_marker("eager") and not request.node.get_closest_marker("graph"):
            ms.set_context(mode=ms.PYNATIVE_MODE)
            patch.setitem(runtime.MODES, "graph", ms.PYNATIVE_MODE)
        yield
    ms.set_context(mode=ms.GRAPH_MODE)


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory):
    """Keeps the tests and the programs that they start out of the user's cache folder. Programs share one cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def without_graph_cache(monkeypatch):
    """Lets no test take a graph of another test, which may have patched what the graph was compiled from."""
    monkeypatch.setattr(cached_compile, "_session", lambda: None)


@pytest.fixture(autouse=True)
def seeded():
    ms.set_seed(0)
    ms.dataset.config.set_seed(0)


@pytest.fixture(autouse=True)
def free_graphs():
    """Frees compiled graphs, which hold themselves in cycles and slow down every later compilation in the process."""
    started = time.process_time()
    yield
    if time.process_time() - started > 1:
        gc.collect()


@pytest.fixture
def default_signal_handling():
    """Handles signals as in a terminal. Under nohup, or in the background of a shell, SIGINT and SIGHUP are ignored."""
    handlers = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGTERM: signal.SIG_DFL,
        signal.SIGHUP: signal.SIG_DFL,
    }
    replaced = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    yield
    for number, handler in replaced.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def built_kernels(cache_folder):
    """The library of native kernels, or None without a compiler."""
    try:
        return str(load_kernels())
    except NoNativeKernelsError:
        return None


@pytest.fixture(autouse=True)
def default_kernels(built_kernels):
    """Native kernels are the default in each test, whatever the tests before it have chosen."""
    use_native_kernels(built_kernels)


@pytest.fixture
def native_kernels(built_kernels):
    """The library of native kernels; without a compiler the test is skipped."""
    if built_kernels is None:
        pytest.skip("there is no C++ compiler")
    return built_kernels


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def make_folder(tmp_path):
    """Writes root/<split>/<class>/<i>.png, `counts` images a class, each class a colour of its own."""

    def make(root="images", splits=("train", "val"), classes=("cat", "dog"), counts=3, size=16):
        rng = np.random.default_rng(0)
        for split in splits:
            for label, name in enumerate(classes):
                folder = tmp_path / root / split / name
                folder.mkdir(parents=True)
                for index in range(counts):
                    image = rng.integers(0, 60, (size, size, 3)) + 180 * (np.arange(3) == label % 3)
                    Image.fromarray(image.astype(np.uint8)).save(folder / f"{index}.png")
        return tmp_path / root

    return make


@pytest.fixture
def run_program(monkeypatch, capfd):
    """Runs a program such as train.py in this process. Returns exit code, standard output and standard error."""

    def run(program, *arguments):
        monkeypatch.setattr(sys, "argv", [program, *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as exited:
            runpy.run_path(str(ROOT / program), run_name="__main__")
        out, err = capfd.readouterr()
        return exited.value.code, out, err

    return run


@pytest.fixture
def fails_with(run_program):
    """Runs a program that must end with exit code 2 and one sentence that holds all the given words."""

    def check(words, program, *arguments):
        code, out, err = run_program(program, *arguments)
        assert code == 2, out + err
        assert "Traceback" not in out + err
        sentences = [line for line in err.splitlines() if line.startswith("error: ")]
        assert len(sentences) == 1, err
        for word in words:
            assert word in sentences[0], f"{word!r} is not in {sentences[0]!r}"

    return check


# One block, because every run compiles its graphs. With the mode constant, drop path acts in it too.
TINY = {"image_size": 8, "embed_dim": 32, "depth": 1, "num_heads": 2, "mlp_dim": 64, "drop_path_mode": "constant"}


@pytest.fixture
def tiny():
    """Options of train.py for a network that trains in seconds, operator by operator: no graph is compiled."""
    sizes = [part for name, value in TINY.items() for part in (f"--model.{name}", str(value))]
    quick = ["--data.batch_size", "4", "--data.num_workers", "1", "--runtime.peak_tflops", "0.1"]
    quick += ["--runtime.mode", "pynative"]
    return ["--model.name", "vit_mini_4_32", *sizes, *quick]


@pytest.fixture
def tiny_checkpoint(tmp_path):
    """Writes a checkpoint with metadata: a tiny network with random weights for two classes, cat and dog."""
    from mindvit.classes import Classes
    from mindvit.factory import create_model
    from mindvit.weights.checkpoint import write_checkpoint
    from mindvit.weights.metadata import CheckpointMetadata

    def make(name="tiny.ckpt", classes=("cat", "dog"), **overrides):
        network = create_model("vit_mini_4_32", num_classes=len(classes), **{**TINY, **overrides})
        values = np.random.default_rng(0).standard_normal(network.dense.weight.shape)
        network.dense.weight.set_data(ms.Tensor(values.astype(np.float32)))
        metadata = CheckpointMetadata("vit_mini_4_32", network.config, Classes.named(tuple(classes)))
        write_checkpoint(tmp_path / name, network, metadata)
        return tmp_path / name

    return make

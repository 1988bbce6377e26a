"""Trains small networks for a few steps in a process of its own, and prints what came out and what was cached, as JSON.

Arguments: a folder, then one argument for each run: its settings such as ``loss.label_smoothing=0.3``, separated by
commas. The argument ``layer`` computes one layer instead, whose graph takes no time to compile.
"""

import json
import sys
import warnings
from hashlib import sha256
from pathlib import Path

import mindspore as ms
import numpy as np

from mindvit.graph_cache import cached_compile, graph_store
from mindvit.ops.dense import Dense
from mindvit.parsing import parse
from mindvit.runtime import RuntimeSettings, init_runtime
from mindvit.training.recipe import Recipe
from mindvit.training.run_folder import RunFolder
from mindvit.training.setup import setup
from tests.conftest import ROOT, TINY

STEPS = 3
SETTINGS = {f"model.{name}": value for name, value in TINY.items()} | {"train.steps": 20, "data.batch_size": 4}
SETTINGS |= {"runtime.peak_tflops": 0.1, "schedule.warmup_epochs": 0, "data.num_workers": 1}
SETTINGS |= {"ema.decay": "null", "model.num_heads": 1}
LAYER = "layer"


class RecordingStore(graph_store.GraphStore):
    """Counts the graphs that were loaded and those that were stored."""

    loaded, stored = 0, 0

    def read(self, key):
        graph = super().read(key)
        RecordingStore.loaded += graph is not None
        return graph

    def write(self, key, graph):
        super().write(key, graph)
        RecordingStore.stored += 1


def compute_layer():
    init_runtime(RuntimeSettings(), seed=0)
    layer = Dense(8, 4, "normal")
    cached_compile.cache_graphs(layer)
    return [sha256(layer(ms.Tensor(np.ones((2, 8), np.float32))).asnumpy().tobytes()).hexdigest()]


def run(folder, changes):
    settings = SETTINGS | {"data.path": f"{folder}/digits", "output_dir": f"{folder}/run"}
    settings |= dict(change.split("=") for change in changes)
    options = [part for name, value in settings.items() for part in (f"--{name}", str(value))]
    recipe = parse(Recipe, "", ["--config", str(ROOT / "configs/digits.yaml"), *options])[0]
    made = setup(recipe, RunFolder(Path(recipe.output_dir)))
    step = made.components.step.set_train(True)
    rng = np.random.default_rng(0)
    images_per_step = recipe.data.batch_size * recipe.train.accumulate_steps
    outputs = []
    for number in range(STEPS):
        images = rng.standard_normal((images_per_step, 3, 8, 8)).astype(np.float32)
        labels = rng.integers(0, 10, images_per_step).astype(np.int32)
        keys = rng.integers(0, 2**31, images_per_step).astype(np.int32)
        mix = np.array([0.7, 1, 0, 0, 8, 8] if number else [1, 0, 2, 2, 6, 6], np.float32)
        outputs += [repr(value.asnumpy().item()) for value in step(*map(ms.Tensor, (images, labels, keys, mix)))]
    step.publish()
    for name, model in sorted(made.components.models.items()):
        logits, _ = model.eval_network.set_train(False)(ms.Tensor(images), ms.Tensor(labels))
        outputs.append(f"{name} {sha256(logits.asnumpy().tobytes()).hexdigest()}")
    weights = b"".join(parameter.asnumpy().tobytes() for parameter in made.network.get_parameters())
    made.folder.release()
    return [*outputs, sha256(weights).hexdigest()]


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    cached_compile.GraphStore = RecordingStore
    results = {}
    for argument in sys.argv[2:]:
        before = RecordingStore.loaded, RecordingStore.stored
        outputs = compute_layer() if argument == LAYER else run(sys.argv[1], filter(None, argument.split(",")))
        counts = RecordingStore.loaded - before[0], RecordingStore.stored - before[1]
        results[argument] = {"outputs": outputs, "loaded": counts[0], "stored": counts[1]}
    print(json.dumps(results))

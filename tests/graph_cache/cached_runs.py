"""Trains small networks for a few steps in a process of its own, and prints what came out and what was cached, as JSON.

Arguments: a folder; true or false, whether to use the cache; settings of a run such as ``loss.label_smoothing=0.3``,
separated by commas; one argument for each run.
"""

import json
import sys
import warnings
from hashlib import sha256
from pathlib import Path

import mindspore as ms
import numpy as np

from mindvit.graph_cache import graph_store
from mindvit.parsing import parse
from mindvit.training.recipe import Recipe
from mindvit.training.run_folder import RunFolder
from mindvit.training.setup import setup
from tests.conftest import ROOT, TINY

STEPS = 3
SETTINGS = {f"model.{name}": value for name, value in TINY.items()} | {"train.steps": 20, "data.batch_size": 4}
SETTINGS |= {"runtime.peak_tflops": 0.1, "schedule.warmup_epochs": 0, "data.num_workers": 1}
SETTINGS |= {"ema.decay": "null", "model.num_heads": 1}


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


def run(folder, use_cache, changes):
    settings = SETTINGS | dict(change.split("=") for change in changes)
    settings |= {"runtime.compile_cache": use_cache, "data.path": f"{folder}/digits", "output_dir": f"{folder}/run"}
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
    from mindvit.graph_cache import cached_compile

    warnings.simplefilter("ignore")
    cached_compile.GraphStore = RecordingStore
    results = {}
    for argument in sys.argv[3:]:
        before = RecordingStore.loaded, RecordingStore.stored
        outputs = run(sys.argv[1], sys.argv[2], filter(None, argument.split(",")))
        counts = RecordingStore.loaded - before[0], RecordingStore.stored - before[1]
        results[argument] = {"outputs": outputs, "loaded": counts[0], "stored": counts[1]}
    print(json.dumps(results))

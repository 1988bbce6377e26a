"""What is measured with MindSpore: this project's network and step, MindSpore's own cells, and matrix products."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, amp, nn

from mindvit.benchmark_worker.inference_task import InferenceTask
from mindvit.benchmark_worker.operator_cells import make_operator
from mindvit.benchmark_worker.operator_profile import profile_operators
from mindvit.benchmark_worker.pipeline_tasks import PipelineTask, StockPipelineTask
from mindvit.benchmark_worker.serve import Task
from mindvit.data.augment.draw_mixup import draw_mixup
from mindvit.dry_run.compile_jobs import CompileJob
from mindvit.dry_run_worker.own_graph import own_graph
from mindvit.dry_run_worker.tutorial_graph import TutorialLoss, TutorialViT
from mindvit.factory import create_model
from mindvit.models.vit import ViT
from mindvit.models.vit_config import ViTConfig
from mindvit.parsing import load_recipe
from mindvit.runtime import Runtime, apply_amp, init_runtime, measured_flops
from mindvit.training.recipe import Recipe

_OPSET = 17


class GraphTask:
    """A cell with its inputs.

    Args:
        cell: what to compute.
        inputs: its inputs.
        images: images of a step; None: the first axis of the first input.
    """

    def __init__(self, cell: nn.Cell, inputs: tuple[Tensor, ...], images: int | None = None) -> None:
        self.cell = cell
        self.inputs = inputs
        self.images = images or inputs[0].shape[0]
        self.facts: dict[str, Any] = {"versions": {"mindspore": ms.__version__}}

    def step(self) -> None:
        """Computes once, and waits for the result."""
        outputs = self.cell(*self.inputs)
        (outputs[0] if isinstance(outputs, tuple) else outputs).asnumpy()

    def operators(self, steps: int) -> dict[str, Any]:
        """Time by operator: see ``profile_operators``."""
        return profile_operators(self.step, steps)


class PeakTask:
    """The speed of large matrix products."""

    images = 0

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.facts: dict[str, Any] = {"versions": {"mindspore": ms.__version__}}

    def step(self) -> None:
        """Multiplies once, so that nothing of it is the first time in a measurement."""
        measured_flops(self.runtime)

    def flops(self) -> dict[str, float]:
        """The speed in FLOP/s: see ``measured_flops``."""
        return {"flops": measured_flops(self.runtime)}


class ExportTask:
    """Writes the ONNX file that onnxruntime is measured with, for batches of one size.

    Args:
        network: the network.
        batch_size: images per batch.
        path: the file.
    """

    images = 0

    def __init__(self, network: ViT, batch_size: int, path: str) -> None:
        self.network = network
        self.batch_size = batch_size
        self.path = path
        self.facts: dict[str, Any] = {}

    def step(self) -> None:
        """Writes the file."""
        from mindvit.export.exportable import ExportedNetwork, make_exportable
        from mindvit.export.onnx_file import build_onnx, check_size

        check_size(self.network)
        cell = ExportedNetwork(make_exportable(self.network)).set_train(False)
        model = build_onnx(cell, self.batch_size, _OPSET, "", "logits")
        Path(self.path).write_bytes(model.SerializeToString())


def make_task(job: dict[str, Any]) -> Task:
    """Makes the task of a job.

    Args:
        job: ``task``: one of ``mindvit.benchmark.contestants.Task``, or peak or export; ``contestant``: one of that
            task; ``recipe``: path of a recipe; ``num_classes``. To export also ``onnx``: path of the file; with data
            ``pass_images``: images of a step, and ``folder`` of the training images; for inference ``images``: a
            folder; of an operator ``backward``.
    """
    recipe = load_recipe(job["recipe"])
    # Compiled, not loaded, so that the compile time is measured.
    settings = replace(recipe.runtime, compile_cache=False)
    if job["task"] == "export":
        settings = replace(settings, native_kernels=False)  # Another runtime does not have them.
    runtime = init_runtime(settings, recipe.train.seed)
    if job["task"] == "peak":
        return PeakTask(runtime)
    classes = job["num_classes"]
    if job["task"] == "export":
        return ExportTask(_network(recipe, classes), recipe.data.batch_size, job["onnx"])
    task, contestant = job["task"], job["contestant"]
    if task in ("gelu", "local_attention", "optimizer"):
        return GraphTask(*make_operator(task, contestant, recipe, job["backward"]))
    if (task, contestant) == ("inference", "mindvit"):
        return InferenceTask(recipe, job["images"])
    if (task, contestant) == ("inference", "network"):
        return _forward(recipe, runtime, classes)
    if (task, contestant) in (("data", "mindvit"), ("run", "pipeline")):
        return PipelineTask(recipe, runtime, job["pass_images"])
    if (task, contestant) == ("data", "stock"):
        return StockPipelineTask(recipe, job["folder"], job["pass_images"])
    if (task, contestant) == ("run", "mindvit"):
        return PipelineTask(recipe, runtime, job["pass_images"], _train(recipe, runtime, classes).cell)
    make = {("mindvit", "forward"): _forward, ("mindvit", "train"): _train, ("step", "run"): _train}
    make |= {("stock", "forward"): _stock_forward, ("stock", "train"): _stock_train}
    return make[contestant, task](recipe, runtime, classes)


def _forward(recipe: Recipe, runtime: Runtime, classes: int) -> GraphTask:
    network = _network(recipe, classes)
    inputs = (_images(network.config, recipe.data.batch_size),)
    return GraphTask(apply_amp(network, runtime).set_train(False), inputs)


def _train(recipe: Recipe, runtime: Runtime, classes: int) -> GraphTask:
    graph = own_graph(recipe, CompileJob("", "train", num_classes=classes), runtime)
    rng = np.random.default_rng(0)
    images, labels, *_ = graph.inputs
    batch, shape = images.shape[0], images.shape[2:]
    values = (
        rng.standard_normal(images.shape).astype(np.float32),
        rng.integers(0, classes, labels.shape).astype(np.int32),
        rng.integers(-(2**31), 2**31, batch).astype(np.int32),
        draw_mixup(recipe.augment, shape, rng),
    )
    return GraphTask(graph.cell, tuple(map(Tensor, values)))


def _stock_forward(recipe: Recipe, runtime: Runtime, classes: int) -> GraphTask:
    config = _network(recipe, classes).config
    network = amp.auto_mixed_precision(TutorialViT(config), runtime.amp_level)
    return GraphTask(network.set_train(False), (_images(config, recipe.data.batch_size),))


def _stock_train(recipe: Recipe, runtime: Runtime, classes: int) -> GraphTask:
    config, batch = _network(recipe, classes).config, recipe.data.batch_size
    network = TutorialViT(config)
    optimizers = {"adamw": nn.AdamWeightDecay, "adam": nn.Adam}
    optimizer = optimizers[recipe.optimizer.name](network.trainable_params(), recipe.optimizer.lr)
    step = amp.build_train_network(
        network, optimizer, TutorialLoss(classes), runtime.amp_level, loss_scale_manager=None
    )
    labels = np.random.default_rng(0).integers(0, classes, batch).astype(np.int32)
    return GraphTask(step.set_train(), (_images(config, batch), Tensor(labels)))


def _network(recipe: Recipe, classes: int) -> ViT:
    overrides = recipe.model.overrides()
    checkpoint = recipe.model.checkpoint
    return create_model(recipe.model.name, num_classes=classes, checkpoint=checkpoint, **overrides)


def _images(config: ViTConfig, batch: int) -> Tensor:
    shape = (batch, config.in_channels, *config.image_shape)
    return Tensor(np.random.default_rng(0).standard_normal(shape).astype(np.float32))

"""The training step and the evaluation of this project, built from a recipe without data and weights."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from mindspore import Parameter, Tensor, nn

from mindvit.data.sampling import SamplingPlan
from mindvit.dry_run.compile_jobs import CompileJob
from mindvit.factory import create_model
from mindvit.models.variants import name_in
from mindvit.models.vit import ViT
from mindvit.models.vit_config import ViTConfig
from mindvit.run_metrics import WeightsKind
from mindvit.runtime import (
    Runtime,
    choose_amp_level,
    choose_flat_weights,
    choose_fused_attention,
    choose_jit_level,
)
from mindvit.training.recipe import Recipe
from mindvit.training.setup import build
from mindvit.training.step import TrainStep

_CLASSES = {"imagenet": 1000, "cifar10": 10, "cifar100": 100, "digits": 10}
"""Classes of the data sources that have a fixed number of them."""
_IMAGES = {"imagenet": 1_281_167, "cifar10": 50_000, "cifar100": 50_000, "digits": 1_437}
"""Training images of the data sources, which decide the length of the table of learning rates."""
_DEFAULT_CLASSES, _DEFAULT_IMAGES = 1000, 2_000
_INPUTS_OF_MIXUP = 6


@dataclass(frozen=True)
class Graph:
    """A cell to compile, and its inputs."""

    cell: nn.Cell
    inputs: tuple[Tensor, ...]
    facts: dict[str, Any]
    """What it is, for the report."""
    updated: tuple[Parameter, ...] = ()
    """The parameters that the update of the weights writes: weights, moments, the average."""


def number_of_classes(recipe: Recipe, requested: int | None) -> int:
    """The outputs of the head: those requested, or those of the data source, or 1000."""
    if requested is not None:
        return requested
    if recipe.data.classes is not None:
        return len(recipe.data.classes)
    return _CLASSES.get(recipe.data.source, _DEFAULT_CLASSES)


def own_graph(recipe: Recipe, job: CompileJob, runtime: Runtime) -> Graph:
    """Builds the graph of a job at the precision of a runtime, for one of its ranks.

    Raises:
        UserError: for a mistake in the settings.
    """
    network = create_model(
        recipe.model.name, num_classes=number_of_classes(recipe, job.num_classes), **recipe.model.overrides()
    )
    config = network.config
    plan = _plan(recipe, runtime.world_size)
    total_steps = recipe.train.steps or recipe.train.epochs * plan.steps_per_epoch
    # Which weights they are depends on the images; the graph is the same.
    weights = None if recipe.loss.class_weights is None else np.ones(config.num_classes, np.float32)
    components = build(recipe, runtime, network, plan, total_steps, _teacher(recipe, config), weights)
    is_training = job.step == "train"
    batch = plan.batch_size if is_training else recipe.data.batch_size
    images, labels = make_images(config, batch), Tensor(np.zeros(batch, np.int32))
    if is_training:
        cell = components.step.set_train()
        mix = Tensor(np.zeros(_INPUTS_OF_MIXUP, np.float32))
        inputs = (images, labels, Tensor(np.zeros(batch, np.int32)), mix)
    else:
        cell = components.models[WeightsKind.RAW].eval_network.set_train(False)
        inputs = (images, labels)
    facts = describe(recipe, network, config, batch, runtime)
    return Graph(cell, inputs, facts, _updated(components.step) if is_training else ())


def _updated(step: TrainStep) -> tuple[Parameter, ...]:
    flat = step.flat
    unused: list[Parameter] = []
    if flat is not None:  # The networks follow the buffers on the host, and no kernel reads a handle.
        unused = [*step.network.get_parameters(), *flat.handles, *(() if step.ema is None else step.ema.own)]
    names = {parameter.name for parameter in unused}
    return tuple(parameter for parameter in step.get_parameters() if parameter.name not in names)


def jit_level(recipe: Recipe, job: CompileJob) -> str:
    """The level of MindSpore's compiler: the requested one, or that of the recipe."""
    return job.jit_level or choose_jit_level(recipe.runtime.jit_level, "Ascend")


def make_images(config: ViTConfig, batch: int) -> Tensor:
    """A batch of empty images for a network."""
    return Tensor(np.zeros((batch, config.in_channels, *config.image_shape), np.float32))


def describe(recipe: Recipe, network: nn.Cell, config: ViTConfig, batch: int, runtime: Runtime) -> dict[str, Any]:
    """What a graph is, for the report."""
    return {
        "model": recipe.model.name,
        "parameters": sum(parameter.size for parameter in network.get_parameters()),
        "image_size": list(config.image_shape),
        "batch_size": batch,
        "amp_level": runtime.amp_level,
        "amp_dtype": runtime.amp_dtype,
        "fused_attention": runtime.fused_attention,
        "jit_level": runtime.jit_level,
    }


def ascend_runtime(recipe: Recipe, job: CompileJob, ranks: int) -> Runtime:
    """The runtime of an Ascend in a dry run.

    What a run tests by comparing values is assumed to work, because a dry run has no values.

    Raises:
        UserError: if the recipe requests what an Ascend does not support.
    """
    settings = recipe.runtime
    level = choose_amp_level(settings.amp_level, "Ascend")
    return Runtime(
        "Ascend",
        level,
        rank=0,
        world_size=ranks,
        amp_dtype=settings.amp_dtype,
        fused_attention=choose_fused_attention(settings.fused_attention, "Ascend", level, lambda: True),
        flat_weights=choose_flat_weights(settings.flat_weights, "Ascend", lambda: True),
        jit_level=jit_level(recipe, job),
    )


def _plan(recipe: Recipe, ranks: int) -> SamplingPlan:
    batch = recipe.data.batch_size * recipe.train.accumulate_steps
    images = max(_IMAGES.get(recipe.data.source, _DEFAULT_IMAGES), batch * ranks)
    return SamplingPlan(images, batch, recipe.train.seed, recipe.augment.repeated_aug, 0, ranks)


def _teacher(recipe: Recipe, student: ViTConfig) -> ViT | None:
    """A network like the teacher: of the model that its file is named after, else of the student's model."""
    settings = recipe.distill
    if settings.teacher is None:
        return None
    named = name_in(settings.teacher.rpartition("/")[2])
    overrides = {} if named else recipe.model.overrides()
    teacher = create_model(
        named or recipe.model.name,
        num_classes=student.num_classes,
        image_size=student.image_size,
        **{name: value for name, value in overrides.items() if name not in ("image_size", "distilled")},
    )
    size = f"{named}, which its file name contains" if named else f"{recipe.model.name}, as the student"
    warnings.warn(f"the teacher is not loaded; a network of {size}, stands for it", stacklevel=2)
    return teacher

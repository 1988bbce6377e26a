"""Putting a run together before its first step, on all workers alike."""

from dataclasses import replace
from pathlib import Path

import mindspore

import mindvit
from mindvit.data.sources import open_source
from mindvit.data.split import Source
from mindvit.data.visits import Course
from mindvit.errors import UserError
from mindvit.factory import create_model
from mindvit.models.vit import ViT
from mindvit.nested import dotted
from mindvit.runtime import Runtime, start
from mindvit.training.assembly import assemble
from mindvit.training.distillation import load_teacher
from mindvit.training.recipe import Recipe
from mindvit.training.run import Run, plain, resolve
from mindvit.training.run_folder import RunFolder
from mindvit.training.run_state import RunState
from mindvit.training.states import Saved, share_state
from mindvit.workers import check_same, one_first, share_parameters, together

_OF_A_SERVER = ("data.num_workers", "runtime.peak_tflops")


def prepare(recipe: Recipe) -> Run:
    """Makes all parts of a run, and puts the state in place that it goes on from.

    All workers of a job do it together: they compare their settings and data, begin with worker 0's weights or the
    state that it read, and end together where one of them cannot begin.

    Raises:
        UserError: for any mistake in the settings, the data, or the checkpoint or state to begin with.
    """
    runtime = start(recipe.runtime, recipe.train.seed)
    check_same(_common(plain(recipe)))
    folder, saved = RunFolder(Path(recipe.output_dir)), None
    with together():
        if runtime.is_main:
            saved = folder.find_state(recipe.resume)
            folder.check_free(recipe.resume, recipe.overwrite, saved)
    source, network = one_first(lambda: _open(recipe))
    check_same({"data": source.train.fingerprint()})
    share_parameters(network.get_parameters())
    saved = share_state(saved)
    with together():
        return _assembled(recipe, runtime, source, network, saved)


def _common(settings: dict) -> dict:
    """What must be the same on all workers; servers may differ in how fast they read."""
    versions = {"mindvit": mindvit.__version__, "mindspore": mindspore.__version__}
    return {name: value for name, value in dotted(settings).items() if name not in _OF_A_SERVER} | versions


def _open(recipe: Recipe) -> tuple[Source, ViT]:
    source = _training_source(recipe)
    network = create_model(
        recipe.model.name,
        classes=source.train.classes,
        checkpoint=recipe.model.checkpoint,
        resize_positions=recipe.model.resize_positions,
        download=recipe.download,
        **recipe.model.overrides(),
    )
    return source, network


def _assembled(recipe: Recipe, runtime: Runtime, source: Source, network: ViT, saved: Saved | None) -> Run:
    resolved = resolve(recipe, runtime, source, network)
    course = Course(
        len(source.train),
        recipe.data.batch_size * recipe.train.accumulate_steps,
        recipe.train.seed,
        recipe.augment.repeats,
        runtime.rank,
        runtime.world_size,
    )
    course.check(source.train.origin)
    total_steps = recipe.train.steps or recipe.train.epochs * course.steps_per_epoch
    teacher = load_teacher(recipe.distill, network.config, source.train.classes, recipe.download)
    engine = assemble(resolved, runtime, network, course, total_steps, teacher)
    state = RunState(course.steps_per_epoch, total_steps)
    run = Run(resolved, runtime, source, network, course, engine, state)
    return run if saved is None else run.go_on_from(saved, recipe.allow_changes)


def _training_source(recipe: Recipe) -> Source:
    source = open_source(recipe.data.source, recipe.data.path, recipe.download)
    if source.train is None:
        raise UserError(f"{source.val.origin} is there, but no train folder beside it to train on")
    source = replace(source, val=None) if source.val is source.train else source
    return source.part(recipe.data.classes, recipe.data.per_class)

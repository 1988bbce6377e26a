"""Sets up a run, from its recipe to the moment before its first step."""

import socket
import warnings
from dataclasses import asdict, fields, replace

import mindspore
import numpy as np
from mindspore import Parameter, nn
from mindspore.train import Model

import mindvit
from mindvit.config import flatten, marked_settings, plain
from mindvit.data.class_balance import images_per_class
from mindvit.data.class_coverage import note_missing_in_splits
from mindvit.data.image_cache import cache_images
from mindvit.data.sampling import ClassGroups, SamplingPlan
from mindvit.data.sources import DEFAULT_PATHS, open_source
from mindvit.data.split import Source
from mindvit.distributed import (
    all_gather_object,
    broadcast_parameters,
    check_same_on_all_ranks,
    local_rank_zero_first,
    raise_on_any_rank,
)
from mindvit.errors import UserError
from mindvit.evaluation.metrics import EvaluationCell, metrics
from mindvit.factory import ModelSettings, create_model
from mindvit.graph_cache.cached_compile import cache_graphs
from mindvit.losses import make_loss, resolve_class_weights
from mindvit.models.vit import ViT
from mindvit.run_metrics import WeightsKind
from mindvit.runtime import Runtime, apply_amp, init_runtime, make_loss_scaler
from mindvit.training.distillation import DistillationLoss, LossOfMean, load_teacher, make_teacher
from mindvit.training.ema import ExponentialMovingAverage
from mindvit.training.flat_weights import FlatOptimizer, FlatWeights
from mindvit.training.lr_schedule import learning_rates, warn_of_warmup_only
from mindvit.training.mixup import Mixup
from mindvit.training.optimizer_settings import OptimizerSettings
from mindvit.training.optimizers import Optimizer, make_optimizer
from mindvit.training.param_groups import ParamOptions, describe, freeze, make_rules, resolve_param_groups
from mindvit.training.recipe import Recipe
from mindvit.training.resume import broadcast_checkpoint, find_checkpoint_to_resume, restore
from mindvit.training.run import Run, TrainComponents
from mindvit.training.run_folder import RunFolder
from mindvit.training.run_state import RunState
from mindvit.training.step import TrainStep
from mindvit.training.swa import StochasticWeightAverage
from mindvit.training.trackers.tracker_set import check_trackers
from mindvit.training.zero import ShardedOptimizer


def setup(recipe: Recipe, folder: RunFolder) -> Run:
    """Creates all parts of a run, and restores the training checkpoint that it resumes from.

    All ranks of a job call it together. They compare their settings and data, start with the weights or the training
    checkpoint of rank 0, and all end if one of them fails. Rank 0 acquires the run folder, but writes nothing to it.

    Args:
        recipe: the settings.
        folder: the run folder. The caller releases it.

    Raises:
        UserError: for a mistake in the settings, the data, the weights or the training checkpoint.
    """
    runtime = init_runtime(recipe.runtime, recipe.train.seed)
    check_same_on_all_ranks(_common_settings(recipe))
    checkpoint = None
    with raise_on_any_rank():
        if runtime.is_main:
            check_trackers(recipe.train.trackers)
            folder.acquire()
            checkpoint = find_checkpoint_to_resume(folder, recipe.resume)
            resumes_here = checkpoint and checkpoint.path.resolve().parent.parent == folder.path.resolve()
            if not recipe.overwrite and recipe.resume != "auto" and not resumes_here:
                folder.check_free()
    source, network = local_rank_zero_first(lambda: _open_data_and_model(recipe))
    check_same_on_all_ranks({"data.train": str(source.fingerprint.train), "data.val": str(source.fingerprint.val)})
    broadcast_parameters(network.get_parameters())
    if recipe.data.cache == "ram":
        hosts = all_gather_object(socket.gethostname())
        with raise_on_any_rank():
            source = cache_images(source, hosts.count(socket.gethostname()))
    checkpoint = broadcast_checkpoint(checkpoint)
    with raise_on_any_rank():
        plan = sampling_plan(recipe, source, runtime)
        total_steps = recipe.train.steps or recipe.train.epochs * plan.steps_per_epoch
        teacher = load_teacher(recipe.distill, network.config, source.train.classes, recipe.download)
        resolved = resolve(recipe, runtime, source, network)
        components = build(resolved, runtime, network, plan, total_steps, teacher, _class_weights(recipe, source))
        state = RunState(plan.steps_per_epoch, total_steps)
        run = Run(resolved, runtime, folder, source, network, plan, components, state)
        return run if checkpoint is None else restore(run, checkpoint, recipe.allow_config_changes)


def resolve(recipe: Recipe, runtime: Runtime, source: Source, network: ViT) -> Recipe:
    """The recipe with the actual value in place of every setting that was left to its default."""
    actual = {**asdict(network.config), **asdict(network.config.preprocessing)}
    names = {item.name for item in fields(ModelSettings)} & actual.keys()
    chosen = {
        name: getattr(runtime, name)
        for name in ("device", "amp_level", "fused_attention", "flat_weights", "jit_level", "data_sink")
    }
    return replace(
        recipe,
        model=replace(recipe.model, **{name: actual[name] for name in names}),
        data=replace(recipe.data, path=recipe.data.path or str(DEFAULT_PATHS[recipe.data.source])),
        augment=replace(recipe.augment, flip=source.train.flip if recipe.augment.flip is None else recipe.augment.flip),
        runtime=replace(recipe.runtime, **chosen),
        # These belong to one session, not to the run: a copy of config.yaml must neither overwrite nor resume it.
        overwrite=False,
        resume=None,
        allow_config_changes=False,
    )


def build(
    recipe: Recipe,
    runtime: Runtime,
    network: ViT,
    plan: SamplingPlan,
    total_steps: int,
    teacher: ViT | None = None,
    class_weights: np.ndarray | None = None,
) -> TrainComponents:
    """Builds the training step, the averages and the models to evaluate.

    Args:
        recipe: the settings.
        runtime: device and precision.
        network: the network to train.
        plan: the sampling plan.
        total_steps: steps of the run.
        teacher: the network to distill from; None without distillation.
        class_weights: weight of each class in the loss, float32 (num_classes,); None for equal weights.

    Raises:
        UserError: if a rule of the optimizer matches no parameter, or all parameters are frozen.
    """
    parameters = list(network.trainable_params())
    rules = make_rules(recipe.optimizer, network.config.depth, network.norm_after_pool)
    options = resolve_param_groups(parameters, rules)
    groups = describe(options, parameters)
    freeze(parameters, options)

    flat, ema, swa = None, None, None
    if _can_be_flat(recipe, runtime, network):
        flat = FlatWeights(network, options, runtime.compute_dtype)
    if recipe.ema.decay is not None:
        ema = ExponentialMovingAverage(network, recipe.ema.decay, recipe.ema.warmup, flat)
    recipe.swa.warn_if_beyond(-(-total_steps // plan.steps_per_epoch))
    if recipe.swa.start_epoch is not None:
        swa = StochasticWeightAverage(network)

    computed = apply_amp(network, runtime)
    recomputes = recipe.train.recompute
    if recomputes and runtime.device == "CPU":
        recomputes = _can_compute_twice(network)
    elif recomputes:
        _mark_blocks_to_recompute(network, recipe.train.accumulate_steps)
        recomputes = False

    peak_lr = recipe.optimizer.peak_lr(plan.samples_per_step)
    warn_of_warmup_only(recipe.schedule, total_steps, plan.steps_per_epoch)
    mixes = recipe.augment.mixup or recipe.augment.cutmix
    step = TrainStep(
        computed,
        _loss(recipe, network, teacher, class_weights),
        _optimizer(recipe.optimizer, network.trainable_params(), options, runtime, flat),
        learning_rates(recipe.schedule, peak_lr, total_steps, plan.steps_per_epoch),
        accumulate_steps=recipe.train.accumulate_steps,
        clip_norm=recipe.optimizer.clip_norm,
        scaler=make_loss_scaler(runtime),
        world_size=runtime.world_size,
        mixup=Mixup(network.config.num_classes) if mixes else None,
        ema=ema,
        teacher=teacher and make_teacher(apply_amp(teacher, runtime), teacher.config, network.config),
        flat=flat,
        recomputes=recomputes,
    )
    models = {WeightsKind.RAW: Model(step, metrics=metrics(), eval_network=EvaluationCell(computed))}
    for kind, average in ((WeightsKind.EMA, ema), (WeightsKind.SWA, swa)):
        if average is not None:
            evaluated = EvaluationCell(apply_amp(average.network, runtime))
            models[kind] = Model(evaluated, metrics=metrics(), eval_network=evaluated)
    if runtime.compile_cache:
        for cell in (step, *(model.eval_network for model in models.values())):
            cache_graphs(cell)
    return TrainComponents(step, ema, swa, models, groups, teacher and teacher.config)


def _common_settings(recipe: Recipe) -> dict:
    """What must be equal on all ranks; nodes may differ in how fast they read data."""
    versions = {"mindvit": mindvit.__version__, "mindspore": mindspore.__version__}
    per_node = marked_settings(Recipe, "per_node")
    return {name: value for name, value in flatten(plain(recipe)).items() if name not in per_node} | versions


def _open_data_and_model(recipe: Recipe) -> tuple[Source, ViT]:
    source = training_source(recipe)
    network = create_model(
        recipe.model.name,
        classes=source.train.classes,
        checkpoint=recipe.model.checkpoint,
        resize_pos_embed=recipe.model.resize_pos_embed,
        download=recipe.download,
        **recipe.model.overrides(),
    )
    return source, network


def training_source(recipe: Recipe) -> Source:
    """Opens the data of a recipe, with a train split.

    Raises:
        UserError: if there is none, the data are missing, or a setting needs validation images that they do not have.
    """
    data = recipe.data
    source = open_source(data.source, data.path, recipe.download, data.labels, data.val_fraction, data.split_seed)
    if source.train is None:
        raise UserError(f"{(source.val or source.test).origin} has no train split beside it; training needs one")
    source = replace(source, val=None) if source.is_unsplit else source
    source = source.subset(data.classes, data.samples_per_class)
    if source.val is None:
        _check_without_val(recipe, source)
    note_missing_in_splits(source)
    return source


def _check_without_val(recipe: Recipe, source: Source) -> None:
    """Warns that a run has no validation images.

    Raises:
        UserError: if a setting needs them.
    """
    cure = "set data.val_fraction, such as 0.2, to hold some out"
    for name, is_set in (
        ("train.patience", recipe.train.patience is not None),
        ("checkpoint.metric val_loss", recipe.checkpoint.metric == "val_loss"),
        ("checkpoint.keep_best", recipe.checkpoint.keep_best > 1),
    ):
        if is_set:
            raise UserError(f"{name} needs validation images, but {source.train.origin} has no val split; {cure}")
    warnings.warn(
        f"{source.train.origin} has no val split: no accuracy is measured, and there will be no best.ckpt, only "
        f"last.ckpt; {cure}",
        stacklevel=2,
    )


def sampling_plan(recipe: Recipe, source: Source, runtime: Runtime) -> SamplingPlan:
    """The sampling plan of a recipe on the images of a source.

    Raises:
        UserError: if there are too few images for one step.
    """
    plan = SamplingPlan(
        len(source.train),
        recipe.data.batch_size * recipe.train.accumulate_steps,
        recipe.train.seed,
        recipe.augment.repeated_aug,
        runtime.rank,
        runtime.world_size,
        ClassGroups.of(source.train.labels) if recipe.data.balanced_sampling else None,
    )
    plan.check(source.train.origin)
    return plan


def _can_compute_twice(network: ViT) -> bool:
    """Whether the embedding may be computed twice in a step; a warning says if not.

    The compiler joins both passes, unless something in it is updated by each.
    """
    if any(isinstance(cell, nn.BatchNorm2d) for _, cell in network.cells_and_names()):
        warnings.warn(
            f"train.recompute has no effect on a CPU with the stem {network.config.stem}, because its batch norm would "
            "count each batch twice. More and smaller micro-batches (train.accumulate_steps) save memory",
            stacklevel=2,
        )
        return False
    return True


def _mark_blocks_to_recompute(network: ViT, accumulate_steps: int) -> None:
    """Lets MindSpore's compiler recompute the blocks, as it does on devices other than a CPU."""
    if accumulate_steps > 1:
        warnings.warn(
            "train.recompute has no effect with train.accumulate_steps above 1 on this device, because MindSpore "
            "recomputes in the outermost graph only. More and smaller micro-batches save as much memory without "
            "computing anything twice",
            stacklevel=2,
        )
    network.transformer.recompute_blocks()


def _can_be_flat(recipe: Recipe, runtime: Runtime, network: ViT) -> bool:
    """Whether buffers hold the weights.

    LAMB needs the norm of each tensor, and the stem of a hybrid reads its parameters directly. With sharded states the
    EMA of buffers is wrong on CPU, for a reason that is not known.
    """
    is_sharded = recipe.optimizer.shard_states and runtime.world_size > 1
    has_buffers = recipe.optimizer.name != "lamb" and network.config.stem is None and not is_sharded
    return runtime.flat_weights and has_buffers


def _optimizer(
    settings: OptimizerSettings,
    parameters: list[Parameter],
    options: list[ParamOptions],
    runtime: Runtime,
    flat: FlatWeights | None,
) -> Optimizer | ShardedOptimizer | FlatOptimizer:
    if flat is not None:
        return FlatOptimizer(flat, _optimizer(settings, list(flat.masters), flat.options, runtime, None))
    if settings.shard_states and runtime.world_size > 1:
        return ShardedOptimizer(settings, parameters, options, runtime.rank, runtime.world_size)
    return make_optimizer(settings, parameters, options)


def _class_weights(recipe: Recipe, source: Source) -> np.ndarray | None:
    train, balanced_sampling = source.train, recipe.data.balanced_sampling
    if balanced_sampling and recipe.loss.class_weights == "balanced":
        warnings.warn(
            "data.balanced_sampling and loss.class_weights balanced both make up for unequal classes, so together they "
            "give rare classes more weight than the others; one of them is enough",
            stacklevel=2,
        )
    return resolve_class_weights(recipe.loss, train.classes, images_per_class(train), balanced_sampling)


def _loss(recipe: Recipe, network: ViT, teacher: ViT | None, class_weights: np.ndarray | None) -> nn.Cell:
    loss = make_loss(recipe.loss, network.config.num_classes, class_weights)
    if teacher is not None:
        return DistillationLoss(loss, recipe.distill.kind, recipe.distill.alpha, recipe.distill.temperature)
    return LossOfMean(loss) if network.config.distilled else loss

"""Putting a run's parts together from its recipe."""

import warnings
from dataclasses import dataclass

from mindspore import Parameter, nn
from mindspore.train import Model

from mindvit.data.visits import Course
from mindvit.evaluation.metrics import EvaluationCell, metrics
from mindvit.losses import make_loss
from mindvit.models.config import ViTConfig
from mindvit.models.vit import ViT
from mindvit.runtime import Runtime, loss_scaling, with_precision
from mindvit.training.averaging import ExponentialAverage, StochasticAverage
from mindvit.training.distillation import DistillationLoss, LossOfMean, make_teacher
from mindvit.training.mixing import MixBatch
from mindvit.training.optimizers import Optimizer, OptimizerSettings, make_optimizer
from mindvit.training.parameter_groups import ParameterSetting, apply_freezing, describe, make_rules, settle
from mindvit.training.recipe import Recipe
from mindvit.training.schedules import learning_rates
from mindvit.training.sharding import ShardedOptimizer
from mindvit.training.step import TrainStep


@dataclass(frozen=True)
class Engine:
    """What does the work of a run."""

    step: TrainStep
    ema: ExponentialAverage | None
    swa: StochasticAverage | None
    models: dict[str, Model]
    """What is trained (under the empty name) and evaluated, by the kind of weights."""
    groups: str
    """The table of parameter groups."""
    teacher: ViTConfig | None = None
    """The settings of the network that is distilled from."""

    @property
    def averages(self) -> list[nn.Cell]:
        """The averages that there are."""
        return [average for average in (self.ema, self.swa) if average is not None]


def assemble(
    recipe: Recipe, runtime: Runtime, network: ViT, course: Course, total_steps: int, teacher: ViT | None = None
) -> Engine:
    """Makes the step, the averages and the models of a run; ``teacher`` is the network to distill from.

    Raises:
        UserError: if a rule of the optimizer fits no parameter, or none is left to train.
    """
    parameters = list(network.trainable_params())
    settings = settle(parameters, make_rules(recipe.optimizer, network.config.depth))
    groups = describe(settings, parameters)
    apply_freezing(parameters, settings)
    peak = recipe.optimizer.peak_lr(course.batch_size * course.num_shards)
    average, augment = recipe.average, recipe.augment
    ema = None if average.ema_decay is None else ExponentialAverage(network, average.ema_decay, average.ema_warmup)
    swa = None if average.swa_start_epoch is None else StochasticAverage(network)
    computed = with_precision(network, runtime)
    if recipe.train.recompute:
        _warn_of_loop(recipe)
        network.transformer.recompute_blocks()
    step = TrainStep(
        computed,
        _loss(recipe, network, teacher),
        _optimizer(recipe.optimizer, network.trainable_params(), settings, runtime),
        learning_rates(recipe.schedule, peak, total_steps, course.steps_per_epoch),
        accumulate_steps=recipe.train.accumulate_steps,
        clip_norm=recipe.optimizer.clip_norm,
        scaler=loss_scaling(runtime),
        world_size=runtime.world_size,
        mixing=MixBatch(network.config.num_classes) if augment.mixup or augment.cutmix else None,
        ema=ema,
        teacher=teacher and make_teacher(with_precision(teacher, runtime), teacher.config, network.config),
    )
    models = {"": Model(step, metrics=metrics(), eval_network=EvaluationCell(computed))}
    for name, cell in (("ema", ema), ("swa", swa)):
        if cell is not None:
            evaluated = EvaluationCell(with_precision(cell.network, runtime))
            models[name] = Model(evaluated, metrics=metrics(), eval_network=evaluated)
    return Engine(step, ema, swa, models, groups, teacher and teacher.config)


def _warn_of_loop(recipe: Recipe) -> None:
    if recipe.train.accumulate_steps > 1:
        warnings.warn(
            "train.recompute saves nothing beside train.accumulate_steps above 1, for MindSpore recomputes in the "
            "outermost graph alone; more and smaller parts save as much, without computing anything twice",
            stacklevel=2,
        )


def _optimizer(
    chosen: OptimizerSettings, parameters: list[Parameter], settings: list[ParameterSetting], runtime: Runtime
) -> Optimizer | ShardedOptimizer:
    if chosen.shard_states and runtime.world_size > 1:
        return ShardedOptimizer(chosen, parameters, settings, runtime.rank, runtime.world_size)
    return make_optimizer(chosen, parameters, settings)


def _loss(recipe: Recipe, network: ViT, teacher: ViT | None) -> nn.Cell:
    loss = make_loss(recipe.loss, network.config.num_classes)
    if teacher is not None:
        return DistillationLoss(loss, recipe.distill.kind, recipe.distill.alpha, recipe.distill.temperature)
    return LossOfMean(loss) if network.config.distilled else loss

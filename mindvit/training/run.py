"""A training run: its recipe, its parts and its progress."""

from dataclasses import dataclass

from mindspore import nn
from mindspore.train import Model

from mindvit.config import plain
from mindvit.data.sampling import SamplingPlan
from mindvit.data.split import Source
from mindvit.models.vit import ViT
from mindvit.models.vit_config import ViTConfig
from mindvit.run_metrics import WeightsKind
from mindvit.runtime import Runtime
from mindvit.training.ema import ExponentialMovingAverage
from mindvit.training.recipe import Recipe
from mindvit.training.run_folder import RunFolder
from mindvit.training.run_state import RunState
from mindvit.training.step import TrainStep
from mindvit.training.swa import StochasticWeightAverage
from mindvit.weights.metadata import CheckpointMetadata


@dataclass(frozen=True)
class TrainComponents:
    """What computes: the training step, the averages, and the models to evaluate."""

    step: TrainStep
    ema: ExponentialMovingAverage | None
    swa: StochasticWeightAverage | None
    models: dict[WeightsKind, Model]
    """What is evaluated, by kind of weights; the raw one is also what is trained."""
    groups: str
    """Table of the parameter groups."""
    teacher: ViTConfig | None = None
    """Configuration of the teacher network; None without distillation."""

    @property
    def averages(self) -> list[nn.Cell]:
        """The averages that the run keeps."""
        return [average for average in (self.ema, self.swa) if average is not None]


@dataclass(frozen=True)
class Run:
    """All parts of a run."""

    recipe: Recipe
    """The settings, with every default resolved."""
    runtime: Runtime
    folder: RunFolder
    source: Source
    network: ViT
    plan: SamplingPlan
    components: TrainComponents
    state: RunState

    @property
    def epochs(self) -> int:
        """Number of epochs; the last one may be incomplete."""
        return -(-self.state.total_steps // self.state.steps_per_epoch)

    @property
    def settings(self) -> dict:
        """What a training checkpoint says about its run: all settings, and the number of ranks."""
        return {**plain(self.recipe), "world_size": self.runtime.world_size}

    @property
    def metadata(self) -> CheckpointMetadata:
        """The metadata of the run's checkpoints, before any epoch."""
        data = self.recipe.data
        return CheckpointMetadata(
            model_name=self.recipe.model.name,
            model=self.network.config,
            classes=self.source.train.classes,
            data_source=data.source,
            data_path=data.path,
            data_labels=data.labels,
            val_fraction=data.val_fraction,
            split_seed=None if data.val_fraction is None else data.split_seed,
            divided_data=self.source.divided,
            is_class_subset=data.classes is not None,
        )

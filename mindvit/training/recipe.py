"""All the settings of a training run."""

from dataclasses import dataclass, field

from mindvit.data.settings import AugmentSettings, DataSettings
from mindvit.factory import ModelSettings
from mindvit.losses import LossSettings
from mindvit.runtime import RuntimeSettings
from mindvit.training.optimizers import OptimizerSettings
from mindvit.training.schedules import ScheduleSettings


@dataclass(frozen=True)
class TrainSettings:
    """The course of the run."""

    epochs: int = 10
    """Passes over the training pictures."""
    seed: int = 0
    """Seed of the weights, the order of the pictures and their augmentation."""
    log_steps: int = 50
    """Steps between two lines of metrics.jsonl within an epoch."""

    def __post_init__(self) -> None:
        for name in ("epochs", "log_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"train.{name} must be at least 1, not {getattr(self, name)}")
        if not 0 <= self.seed < 2**31:
            raise ValueError(f"train.seed must lie in [0, 2147483648), not {self.seed}")


@dataclass(frozen=True)
class Recipe:
    """A training run. The groups are those of a recipe file."""

    model: ModelSettings = field(default_factory=ModelSettings)
    data: DataSettings = field(default_factory=DataSettings)
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    loss: LossSettings = field(default_factory=LossSettings)
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    schedule: ScheduleSettings = field(default_factory=ScheduleSettings)
    train: TrainSettings = field(default_factory=TrainSettings)
    runtime: RuntimeSettings = field(default_factory=RuntimeSettings)
    output_dir: str = "output/run"
    """Folder that the run is written to."""
    overwrite: bool = False
    """Write over the run that output_dir already holds."""
    download: bool = False
    """Fetch published data and weights that are missing."""

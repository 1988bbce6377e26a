"""All the settings of a training run."""

from dataclasses import dataclass, field

from mindvit.data.settings import AugmentSettings, DataSettings
from mindvit.factory import ModelSettings
from mindvit.losses import LossSettings
from mindvit.runtime import RuntimeSettings
from mindvit.training.averaging import AverageSettings
from mindvit.training.distillation import DistillationSettings
from mindvit.training.optimizers import OptimizerSettings
from mindvit.training.ranking import CheckpointSettings
from mindvit.training.schedules import ScheduleSettings


@dataclass(frozen=True)
class TrainSettings:
    """The course of the run."""

    epochs: int = 10
    """Passes over the training pictures."""
    steps: int | None = None
    """Steps of the run, in place of epochs."""
    accumulate_steps: int = 1
    """Parts that a step's pictures go through the network in; a step takes so many times data.batch_size."""
    recompute: bool = False
    """Compute a block's inner results again for its gradient in place of keeping them: about half the device's memory
    for up to a third more arithmetic, and the same weights. It saves nothing beside accumulate_steps above 1, which
    saves as much by itself."""
    seed: int = 0
    """Seed of the weights, the order of the pictures, their augmentation and all dropout."""
    log_steps: int = 50
    """Steps between two lines of metrics.jsonl within an epoch."""
    patience: int | None = None
    """Epochs without a better checkpoint.metric after which the run stops early; null never stops it."""
    max_skipped_steps: int = 20
    """Steps in a row that may overflow, under loss scaling, before the run stops."""
    tensorboard: bool = False
    """Write event files for TensorBoard too, into tensorboard/ of the run's folder (needs tensorboardX)."""

    def __post_init__(self) -> None:
        for name in ("epochs", "steps", "accumulate_steps", "log_steps", "patience", "max_skipped_steps"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
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
    distill: DistillationSettings = field(default_factory=DistillationSettings)
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    schedule: ScheduleSettings = field(default_factory=ScheduleSettings)
    average: AverageSettings = field(default_factory=AverageSettings)
    train: TrainSettings = field(default_factory=TrainSettings)
    checkpoint: CheckpointSettings = field(default_factory=CheckpointSettings)
    runtime: RuntimeSettings = field(default_factory=RuntimeSettings)
    output_dir: str = "output/run"
    """Folder that the run is written to."""
    overwrite: bool = False
    """Write over the run that output_dir already holds."""
    resume: str | None = None
    """Go on with a run: auto takes the newest whole state in output_dir, or starts anew where there is none; else the
    path of a state."""
    allow_changes: bool = False
    """Go on even though settings have changed since."""
    download: bool = False
    """Fetch published data and weights that are missing."""

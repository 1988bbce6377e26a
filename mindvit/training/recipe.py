"""The recipe: all settings of a training run."""

from dataclasses import dataclass, field

from mindvit.config import setting
from mindvit.data.settings import AugmentSettings, DataSettings
from mindvit.factory import ModelSettings
from mindvit.losses import LossSettings
from mindvit.models.setting_checks import check_values
from mindvit.runtime import RuntimeSettings
from mindvit.training.best_checkpoints import CheckpointSettings
from mindvit.training.distillation import DistillationSettings
from mindvit.training.ema import EMASettings
from mindvit.training.lr_schedule import ScheduleSettings
from mindvit.training.optimizer_settings import OptimizerSettings
from mindvit.training.swa import SWASettings
from mindvit.training.trackers.tracker import TrackerName


@dataclass(frozen=True)
class TrainSettings:
    """Length of the run, gradient accumulation, seed and logging."""

    epochs: int = 10
    """Passes over the training images."""
    steps: int | None = None
    """Optimizer steps of the run, in place of epochs. null uses epochs."""
    accumulate_steps: int = 1
    """Number of micro-batches accumulated per optimizer step. Images per rank per step = data.batch_size times this
    value."""
    recompute: bool = setting(False, changeable=True)
    """Recompute the activations of each block in the backward pass (activation checkpointing): less memory, more
    compute, the same weights. It has no effect with accumulate_steps above 1, except on a CPU."""
    seed: int = 0
    """Seed of the weights, the sampling order, the augmentation and all dropout."""
    log_steps: int = setting(50, changeable=True)
    """Steps between two lines of metrics.jsonl within an epoch."""
    patience: int | None = None
    """Early stopping: epochs without a better checkpoint.metric before the run stops. null disables it."""
    max_hours: float | None = setting(None, changeable=True)
    """Time limit, in hours: the run then saves a training checkpoint and stops, as after Ctrl-C. null means no
    limit."""
    max_skipped_steps: int = 20
    """Consecutive steps that may overflow under loss scaling before the run ends with an error."""
    tracker: TrackerName | tuple[TrackerName, ...] = setting("none", changeable=True)  # noqa: RUF009 (a field)
    """Experiment tracker that gets the metrics, or a list of several. tensorboard writes to the run folder, and so
    does mlflow without MLFLOW_TRACKING_URI."""
    tracker_project: str = setting("mindvit", changeable=True)
    """Project of the tracker that the run belongs to; in MLflow, the experiment."""
    tracker_run: str | None = setting(None, changeable=True)
    """Name of the run in the tracker. null takes the name of the run folder."""
    tracker_offline: bool = setting(False, changeable=True)
    """Let trackers write to the run folder and send nothing."""
    tensorboard: bool = setting(False, changeable=True)
    """Former name of train.tracker tensorboard."""

    def __post_init__(self) -> None:
        check_values(self, "train.")
        for name in ("epochs", "steps", "accumulate_steps", "log_steps", "patience", "max_skipped_steps"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"train.{name} must be at least 1, not {getattr(self, name)}")
        if self.max_hours is not None and self.max_hours <= 0:
            raise ValueError(f"train.max_hours must be above 0, not {self.max_hours}")
        if len(self._named_trackers) > 1 and "none" in self._named_trackers:
            raise ValueError("train.tracker lists none beside a tracker; remove one of them")
        for name in ("tracker_project", "tracker_run"):
            if getattr(self, name) == "":
                raise ValueError(f"train.{name} must not be empty")
        if not 0 <= self.seed < 2**31:
            raise ValueError(f"train.seed must lie in [0, 2147483648), not {self.seed}")

    @property
    def trackers(self) -> tuple[str, ...]:
        """Names of the trackers."""
        former = ("tensorboard",) if self.tensorboard else ()
        return tuple(dict.fromkeys(name for name in (*self._named_trackers, *former) if name != "none"))

    @property
    def _named_trackers(self) -> tuple[str, ...]:
        return (self.tracker,) if isinstance(self.tracker, str) else tuple(self.tracker)


@dataclass(frozen=True)
class Recipe:
    """All settings of a training run. The groups are those of a recipe file."""

    model: ModelSettings = field(default_factory=ModelSettings)
    data: DataSettings = field(default_factory=DataSettings)
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    loss: LossSettings = field(default_factory=LossSettings)
    distill: DistillationSettings = field(default_factory=DistillationSettings)
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    schedule: ScheduleSettings = field(default_factory=ScheduleSettings)
    ema: EMASettings = field(default_factory=EMASettings)
    swa: SWASettings = field(default_factory=SWASettings)
    train: TrainSettings = field(default_factory=TrainSettings)
    checkpoint: CheckpointSettings = field(default_factory=CheckpointSettings)
    runtime: RuntimeSettings = field(default_factory=RuntimeSettings)
    output_dir: str = setting("output/run", changeable=True)
    """Run folder: all files of the run are written to it."""
    overwrite: bool = setting(False, changeable=True)
    """Overwrite the run that output_dir already holds."""
    resume: str | None = setting(None, changeable=True)
    """Resume a run: auto takes the newest intact training checkpoint in output_dir, or starts from scratch if there is
    none; otherwise the path of a training checkpoint."""
    allow_config_changes: bool = setting(False, changeable=True)
    """Resume even if settings have changed since the training checkpoint was written."""
    download: bool = setting(False, changeable=True)
    """Download published data and weights that are missing."""
    dry_run: bool = setting(False, changeable=True)
    """Do not train: compile the training step for Ascend, on any machine, and say whether it compiles and fits."""
    device_memory_gb: float = setting(64.0, changeable=True)
    """Dry run: memory of the device in GB of 2^30 bytes, which the step must fit into. Ascend 910B: 64 or 32."""

    def __post_init__(self) -> None:
        check_values(self)
        if self.device_memory_gb <= 0:
            raise ValueError(f"device_memory_gb must be above 0, not {self.device_memory_gb}")
        if self.dry_run:
            self.check_graph_mode()

    def check_graph_mode(self) -> None:
        """Raises ValueError if the recipe compiles no graph, so that a dry run would say nothing about it."""
        if self.runtime.mode != "graph":
            raise ValueError(f"a dry run compiles graphs, but runtime.mode is {self.runtime.mode}; set it to graph")

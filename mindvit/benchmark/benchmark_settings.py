"""Settings of the command benchmark."""

import os
from dataclasses import dataclass, field, fields, replace

from mindvit.benchmark.contestants import OperatorName, Peer
from mindvit.data.settings import CORES, check_loading
from mindvit.factory import ModelSettings
from mindvit.models.setting_checks import check_values
from mindvit.runtime import RuntimeSettings
from mindvit.training.optimizer_settings import OptimizerSettings
from mindvit.training.recipe import Recipe
from mindvit.visualize.figures import check_figure_path


def usable_cores() -> int:
    """Logical cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # Not Linux.
        return os.cpu_count() or 1


@dataclass(frozen=True)
class MeasuringSettings:
    """How to measure, and where to write the result."""

    rounds: int = 7
    """Number of measurements of each contestant."""
    round_seconds: float = 1.0
    """Duration of a measurement in seconds; it takes one step at least."""
    threads: int | None = None
    """Threads and cores of each contestant. null: all cores that this process may use."""
    output: str | None = None
    """JSON file to write. null writes none."""
    chart: str | None = None
    """Figure to write, such as speed.png. null draws none."""

    def check_measuring(self) -> None:
        """Raises ValueError if a setting is out of range."""
        for name in ("rounds", "threads"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.threads is not None and self.threads > usable_cores():
            raise ValueError(f"threads must be at most {usable_cores()}, the cores of this process, not {self.threads}")
        if self.round_seconds < 0:
            raise ValueError(f"round_seconds must not be negative, but is {self.round_seconds}")
        if self.output is not None and not self.output.endswith(".json"):
            raise ValueError(f"output must end in .json, not {self.output}")
        if self.chart is not None:
            check_figure_path(self.chart)

    @property
    def compare(self) -> tuple[Peer, ...]:
        """What else to measure in turn."""
        return ()

    @property
    def torch_python(self) -> str | None:
        """Python interpreter for PyTorch; None is this one."""
        return None

    @property
    def used_threads(self) -> int:
        """Threads of each contestant."""
        return self.threads or usable_cores()


@dataclass(frozen=True)
class ComparingSettings(MeasuringSettings):
    """How to measure beside other libraries."""

    compare: tuple[Peer, ...] = ()
    """What to measure in turn with this project. stock: MindSpore's own cells; torch: PyTorch and timm, eager and
    compiled; onnx: the ONNX export under onnxruntime."""
    torch_python: str | None = None
    """Python interpreter that has PyTorch, timm and torchvision. null: this one."""


def _check_sizes(settings: "SizeSettings") -> None:
    for name in ("batch_sizes", "image_sizes"):
        if min(getattr(settings, name) or (1,)) < 1:
            raise ValueError(f"{name} must be numbers of at least 1, not {list(getattr(settings, name))}")
    for name in ("models", "batch_sizes", "image_sizes"):
        if getattr(settings, name) == ():
            raise ValueError(f"{name} must not be an empty list")
    classes = getattr(settings, "num_classes", None)
    if classes is not None and classes < 1:
        raise ValueError(f"num_classes must be at least 1, not {classes}")


@dataclass(frozen=True)
class ForwardSettings(ComparingSettings):
    """A benchmark of the forward pass."""

    models: tuple[str, ...] | None = None
    """Models to measure one after the other. null takes model.name."""
    batch_sizes: tuple[int, ...] = (8,)
    """Images per forward pass; several are measured one after the other."""
    image_sizes: tuple[int, ...] | None = None
    """Sides of square images in pixels, likewise. null takes that of the model."""
    num_classes: int | None = None
    """Outputs of the head. null: 1000."""
    operators: bool = True
    """Measure the share of time by operator too, with MindSpore's profiler, after the rounds."""
    model: ModelSettings = field(default_factory=ModelSettings)
    runtime: RuntimeSettings = field(default_factory=RuntimeSettings)

    def __post_init__(self) -> None:
        check_values(self)
        self.check_measuring()
        _check_sizes(self)

    def recipe(self) -> Recipe:
        """A recipe with this network."""
        return Recipe(model=self.model, runtime=self.runtime)

    def cases(self) -> list[Recipe]:
        """The recipe of each case: every model at every image size and batch size."""
        return _cases_of_sizes(self)


@dataclass(frozen=True)
class StepSettings(Recipe, ComparingSettings):
    """A benchmark of the training step: a recipe, and how to measure."""

    models: tuple[str, ...] | None = None
    """Models to measure one after the other. null takes model.name."""
    batch_sizes: tuple[int, ...] | None = None
    """Images per micro-batch; several are measured one after the other. null takes data.batch_size."""
    image_sizes: tuple[int, ...] | None = None
    """Sides of square images in pixels, likewise. null takes that of the model."""
    num_classes: int | None = None
    """Outputs of the head. null takes the classes of the data source, or 1000 if only its images tell."""
    operators: bool = True
    """Measure the share of time by operator too, with MindSpore's profiler, after the rounds."""
    optimizer: OptimizerSettings = field(default_factory=lambda: OptimizerSettings(clip_norm=1.0))

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_measuring()
        _check_sizes(self)

    def recipe(self) -> Recipe:
        """The recipe alone."""
        return _recipe_of(self)

    def cases(self) -> list[Recipe]:
        """The recipe of each case: every model at every image size and batch size."""
        return _cases_of_sizes(self)


@dataclass(frozen=True)
class PipelineSettings(Recipe, ComparingSettings):
    """A benchmark of the input pipeline of a recipe."""

    workers: tuple[int, ...] | None = None
    """Numbers of data workers to measure one after the other. null takes data.num_workers."""
    pass_images: int = 1024
    """Images of a pass; a measurement takes one pass at least."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_measuring()
        _check_passes(self)

    def recipe(self) -> Recipe:
        """The recipe alone."""
        return _recipe_of(self)

    def cases(self) -> list[Recipe]:
        """The recipe of each case: one for each number of workers."""
        return _cases_of_workers(self)


@dataclass(frozen=True)
class RunSettings(PipelineSettings):
    """A benchmark of the input pipeline and the training step together."""

    num_classes: int | None = None
    """Outputs of the head. null takes the classes of the images."""
    optimizer: OptimizerSettings = field(default_factory=lambda: OptimizerSettings(clip_norm=1.0))


@dataclass(frozen=True)
class InferenceSettings(MeasuringSettings):
    """A benchmark of the command infer, beside its network alone."""

    images: str | None = None
    """Folder of images. null: photo-like JPEG files, which are written first."""
    batch_sizes: tuple[int, ...] = (16,)
    """Images per batch; several are measured one after the other."""
    num_workers: int = min(8, CORES)
    """Threads that read and preprocess images."""
    model: ModelSettings = field(default_factory=ModelSettings)
    runtime: RuntimeSettings = field(default_factory=RuntimeSettings)

    def __post_init__(self) -> None:
        check_values(self)
        self.check_measuring()
        check_loading(1, self.num_workers)
        for size in self.batch_sizes:
            check_loading(size, 1)
        if not self.batch_sizes:
            raise ValueError("batch_sizes must not be an empty list")

    def cases(self) -> list[Recipe]:
        """The recipe of each case: one for each batch size."""
        recipe = Recipe(model=self.model, runtime=self.runtime)
        return [
            replace(recipe, data=replace(recipe.data, batch_size=size, num_workers=self.num_workers))
            for size in self.batch_sizes
        ]


@dataclass(frozen=True)
class OperatorSettings(MeasuringSettings):
    """A benchmark of forms of an operator, at the sizes that it has in a network."""

    operator: OperatorName = "gelu"
    """gelu: both forms and MindSpore's own; local_attention: beside full attention of the same patches; optimizer: the
    updates of all optimizers and of MindSpore's own."""
    backward: bool = False
    """Measure the forward and the backward pass together, not the forward pass. Not for optimizer."""
    models: tuple[str, ...] | None = None
    """Models whose sizes are measured one after the other. null takes model.name."""
    batch_sizes: tuple[int, ...] = (8,)
    """Images per step; several are measured one after the other."""
    image_sizes: tuple[int, ...] | None = None
    """Sides of square images in pixels, likewise. null takes that of the model."""
    model: ModelSettings = field(default_factory=ModelSettings)

    def __post_init__(self) -> None:
        check_values(self)
        self.check_measuring()
        _check_sizes(self)
        if self.backward and self.operator == "optimizer":
            raise ValueError("backward true is not for operator optimizer, which has no gradient")
        if self.operator == "local_attention" and self.model.window_size is None:
            raise ValueError("operator local_attention needs --model.window_size, such as 7")

    def recipe(self) -> Recipe:
        """A recipe with this network."""
        return Recipe(model=self.model)

    def cases(self) -> list[Recipe]:
        """The recipe of each case: every model at every image size and batch size."""
        return _cases_of_sizes(self)


SizeSettings = ForwardSettings | StepSettings | OperatorSettings
BenchmarkSettings = SizeSettings | PipelineSettings | InferenceSettings


def _recipe_of(settings: Recipe) -> Recipe:
    return Recipe(**{item.name: getattr(settings, item.name) for item in fields(Recipe)})


def _cases_of_sizes(settings: SizeSettings) -> list[Recipe]:
    recipe, found = settings.recipe(), []
    for name in settings.models or (recipe.model.name,):
        for size in settings.image_sizes or (None,):
            for batch in settings.batch_sizes or (recipe.data.batch_size,):
                model = replace(recipe.model, name=name)
                model = model if size is None else replace(model, image_size=size)
                found.append(replace(recipe, model=model, data=replace(recipe.data, batch_size=batch)))
    return found


def _cases_of_workers(settings: PipelineSettings) -> list[Recipe]:
    recipe = settings.recipe()
    counts = settings.workers or (recipe.data.num_workers,)
    return [replace(recipe, data=replace(recipe.data, num_workers=count)) for count in counts]


def _check_passes(settings: PipelineSettings) -> None:
    if settings.workers == ():
        raise ValueError("workers must not be an empty list")
    for count in settings.workers or ():
        check_loading(1, count)
    if settings.pass_images < 1:
        raise ValueError(f"pass_images must be at least 1, not {settings.pass_images}")

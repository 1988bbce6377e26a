"""The commands benchmark forward, train, data and run."""

import tempfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from tqdm import tqdm

from mindvit.analysis.counting import forward_flops, parameter_count, training_flops
from mindvit.benchmark.benchmark_settings import (
    BenchmarkSettings,
    ForwardSettings,
    InferenceSettings,
    OperatorSettings,
    PipelineSettings,
    RunSettings,
    StepSettings,
)
from mindvit.benchmark.contestants import (
    OWN,
    Contestant,
    Task,
    check_comparable,
    check_installed,
    contestants,
    timm_arguments,
    torch_data,
    torch_step,
)
from mindvit.benchmark.generated_images import write_images
from mindvit.benchmark.speed_report import Case, Speed, SpeedReport
from mindvit.benchmark.turns import Rounds, Spread, take_turns
from mindvit.benchmark.worker_process import WorkerProcess
from mindvit.config import plain
from mindvit.dry_run_worker.own_graph import number_of_classes
from mindvit.errors import UserError
from mindvit.factory import resolve_config
from mindvit.files import make_folder, write_text
from mindvit.models.vit_config import ViTConfig
from mindvit.printable import printable
from mindvit.runtime import Runtime, choose_amp_level, choose_device, device_counts
from mindvit.strict_json import dump_json
from mindvit.training.environment import describe_environment
from mindvit.training.recipe import Recipe
from mindvit.training.setup import training_source

_PROFILED_STEPS = 3
_COMPUTED = ("forward", "train", "run", "inference")
"""Tasks whose floating-point operations are counted."""


def benchmark_forward(settings: ForwardSettings) -> SpeedReport:
    """Measures the forward pass, prints a table, and writes JSON and a chart if asked to.

    Raises:
        UserError: for a mistake in the settings, or a contestant that is not installed or fails.
    """
    return _benchmark("forward", settings)


def benchmark_train(settings: StepSettings) -> SpeedReport:
    """Measures the training step: forward, loss, gradients, clipping, update and EMA, on random images.

    The others take the same step: PyTorch with AdamW and ``clip_grad_norm_``; MindSpore's ``TrainOneStepCell`` with
    ``nn.AdamWeightDecay``, which cannot clip.

    Raises:
        UserError: for a mistake in the settings, or a contestant that is not installed or fails.
    """
    return _benchmark("train", settings)


def benchmark_data(settings: PipelineSettings) -> SpeedReport:
    """Measures the input pipeline of a recipe alone: images/s that arrive in batches of the training step.

    Without ``data.path`` it reads photo-like JPEG files that it writes first. The others read the same files:
    MindSpore's ``ImageFolderDataset`` and ``RandomCropDecodeResize``, torchvision's ``ImageFolder`` behind a
    ``DataLoader``.

    Raises:
        UserError: for a mistake in the settings or the data, or a contestant that is not installed or fails.
    """
    return _benchmark("data", settings)


def benchmark_run(settings: RunSettings) -> SpeedReport:
    """Measures a training run end to end, beside its two parts alone: the training step and the input pipeline.

    Raises:
        UserError: for a mistake in the settings or the data, or a contestant that is not installed or fails.
    """
    return _benchmark("run", settings)


def benchmark_inference(settings: InferenceSettings) -> SpeedReport:
    """Measures the command infer (read, decode, preprocess, classify, rank) beside its network on batches in memory.

    Raises:
        UserError: for a mistake in the settings, or if there are no images.
    """
    return _benchmark("inference", settings)


def benchmark_operators(settings: OperatorSettings) -> SpeedReport:
    """Measures forms of an operator at the sizes that it has in a network.

    Raises:
        UserError: for a mistake in the settings.
    """
    return _benchmark(settings.operator, settings)


def _benchmark(task: Task, settings: BenchmarkSettings) -> SpeedReport:
    check_installed(settings.compare, settings.torch_python)
    for path in filter(None, (settings.output, settings.chart)):
        make_folder(Path(path).parent)
    with tempfile.TemporaryDirectory(prefix="mindvit-benchmark-") as name:
        recipes = _with_data(task, settings, Path(name))
        jobs = [_job(task, settings, recipe) for recipe in recipes]
        runtime = _runtime(recipes[0])
        found = [_measure(job, settings, runtime, Path(name)) for job in jobs]
    report = SpeedReport(task, asdict(describe_environment(runtime)), settings.used_threads, settings.rounds, found)
    print(report.table())
    if settings.output:
        write_text(Path(settings.output), dump_json(asdict(report), indent=2) + "\n")
        print(f"{'output':<10} {printable(settings.output)}")
    if settings.chart:
        from mindvit.benchmark.speed_chart import draw_chart  # The import takes half a second.

        draw_chart(report, Path(settings.chart))
        print(f"{'chart':<10} {printable(settings.chart)}")
    return report


def _with_data(task: Task, settings: BenchmarkSettings, folder: Path) -> list[Recipe]:
    """The recipes, with generated images in place of a folder that none names."""
    recipes = settings.cases()
    if task == "inference" and settings.images is None:
        write_images(folder / "images")
    data = recipes[0].data
    if task not in ("data", "run") or data.source != "folder" or data.path is not None:
        return recipes
    write_images(folder / "images")
    return [replace(recipe, data=replace(recipe.data, path=str(folder / "images"))) for recipe in recipes]


@dataclass(frozen=True)
class _Job:
    task: Task
    recipe: Recipe
    config: ViTConfig
    samples: int
    """Images of a step."""


def _job(task: Task, settings: BenchmarkSettings, recipe: Recipe) -> _Job:
    classes = None
    if task == "run":
        classes = settings.num_classes or len(training_source(recipe).train.classes)
    elif task in ("forward", "train"):
        classes = number_of_classes(recipe, settings.num_classes)
    overrides = recipe.model.overrides() | ({} if classes is None else {"num_classes": classes})
    config = resolve_config(recipe.model.name, **overrides)
    check_comparable(task, settings.compare, config, recipe)
    parts = recipe.train.accumulate_steps
    return _Job(task, recipe, config, recipe.data.batch_size * parts)


def _runtime(recipe: Recipe) -> Runtime:
    """Device and precision of the processes that measure. Nothing is computed here."""
    device = choose_device(recipe.runtime.device, {name: count > 0 for name, count in device_counts().items()})
    return Runtime(device, choose_amp_level(recipe.runtime.amp_level, device))


def _measure(job: _Job, settings: BenchmarkSettings, runtime: Runtime, folder: Path) -> Case:
    recipe, config = job.recipe, job.config
    common = _common(job, settings, folder)
    with ExitStack() as stack, tqdm(total=settings.rounds, unit="round", leave=False, disable=None) as bar:
        if "onnx" in settings.compare:
            bar.set_description("exporting")
            stack.enter_context(WorkerProcess("mindspore", {**common, "task": "export"})).finish()
        workers = {}
        for one in contestants(job.task, settings.compare):
            bar.set_description(f"starting {one.name}")
            workers[one.name] = stack.enter_context(_start(one, common, settings))
            _check_parameters(workers[one.name], config)
        bar.set_description("starting")
        peak = None
        if job.task in _COMPUTED:
            peak = stack.enter_context(WorkerProcess("mindspore", {**common, "task": "peak"}))
        bar.set_description(f"{recipe.model.name}, batch {job.samples}")
        rounds = take_turns(workers, peak, settings.rounds, settings.round_seconds, lambda _: bar.update())
        memory = {name: worker.ask("memory")["peak_bytes"] for name, worker in workers.items()}
        # The profiler takes memory, so it comes after.
        operators = workers[OWN].ask("operators", steps=_PROFILED_STEPS) if _profiles(settings) else None
        pools = {name: worker.finish() for name, worker in workers.items()}
    flops = (training_flops if job.task in ("train", "run") else forward_flops)(config)
    return Case(
        model=recipe.model.name,
        image_size=config.image_shape,
        batch_size=job.samples,
        amp_level=runtime.amp_level,
        parameters=parameter_count(config),
        gflop_per_image=flops / 1e9 if rounds.flops else None,
        peak_gflops=Spread.of([value / 1e9 for value in rounds.flops]) if rounds.flops else None,
        num_workers=recipe.data.num_workers if job.task in ("data", "run", "inference") else None,
        speeds=[
            _speed(name, worker, rounds, flops, memory[name], pools[name], job.samples)
            for name, worker in workers.items()
        ],
        operators=operators,
    )


def _profiles(settings: BenchmarkSettings) -> bool:
    return isinstance(settings, ForwardSettings | StepSettings) and settings.operators


def _common(job: _Job, settings: BenchmarkSettings, folder: Path) -> dict[str, Any]:
    """What the jobs of all contestants have in common: see ``make_task`` of each library."""
    recipe, config = job.recipe, job.config
    file = folder / "recipe.yaml"
    file.write_text(yaml.safe_dump(plain(recipe), sort_keys=False), encoding="utf-8")
    common = {
        "task": job.task,
        "recipe": str(file),
        "num_classes": config.num_classes,
        "threads": settings.used_threads,
        "network": timm_arguments(config),
        "input_shape": [job.samples, config.in_channels, *config.image_shape],
        "train": torch_step(recipe),
        "onnx": str(folder / "network.onnx"),
    }
    if isinstance(settings, PipelineSettings):
        path = Path(recipe.data.path or "")
        images = path / "train" if (path / "train").is_dir() else path
        common |= {"data": torch_data(recipe, config), "folder": str(images), "pass_images": settings.pass_images}
    if isinstance(settings, InferenceSettings):
        common["images"] = settings.images or str(folder / "images")
    if isinstance(settings, OperatorSettings):
        common["backward"] = settings.backward
    return common


def _start(one: Contestant, common: dict[str, Any], settings: BenchmarkSettings) -> WorkerProcess:
    python = settings.torch_python if one.framework == "torch" else None
    return WorkerProcess(one.framework, {**common, "contestant": one.name}, python)


def _check_parameters(worker: WorkerProcess, config: ViTConfig) -> None:
    """Raises UserError if the network of another library has another number of parameters, so it is another network."""
    found, expected = worker.started["facts"].get("parameters"), parameter_count(config)
    if found not in (None, expected):
        raise UserError(f"the network of {worker.name} has {found:,} parameters, not {expected:,}; leave out --compare")


def _speed(
    name: str, worker: WorkerProcess, rounds: Rounds, flops: int, memory: int, pool: int | None, samples: int
) -> Speed:
    seconds, own = rounds.seconds[name], next(iter(rounds.seconds.values()))
    computes = bool(rounds.flops) and name != "pipeline"
    shares = [flops / time / peak for time, peak in zip(seconds, rounds.flops, strict=True)] if computes else []
    ratios = [other / mine for mine, other in zip(own, seconds, strict=True)]
    median = Spread.of(seconds).median
    first = worker.started["first_seconds"]
    return Speed(
        contestant=name,
        images_per_second=Spread.of([1 / time for time in seconds]),
        milliseconds=1000 * median * samples,
        mfu=Spread.of(shares).median if computes else None,
        ratio=Spread.of(ratios),
        setup_seconds=worker.started["setup_seconds"],
        compile_seconds=max(0.0, first - median * worker.started["images"]) if computes else None,
        peak_process_mb=memory / 1e6,
        peak_pool_mb=None if pool is None else pool / 1e6,
        facts=worker.started["facts"],
        seconds=[time * samples for time in seconds],
    )

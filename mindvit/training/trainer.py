"""A training run, from its recipe to its run folder."""

import sys
from dataclasses import asdict
from pathlib import Path

import yaml
from mindspore.dataset import Dataset
from mindspore.train import Callback, RunContext

from mindvit.analysis.counting import forward_flops, training_flops
from mindvit.config import flatten, plain
from mindvit.console import fit_text, terminal_columns
from mindvit.data.corrupt_images import CorruptImageLog, reraise_decode_errors
from mindvit.data.pipeline import eval_pipeline, train_pipeline
from mindvit.distributed import all_gather_object, broadcast_object
from mindvit.dry_run.fit_check import check_step
from mindvit.errors import UserError
from mindvit.files import FileError, make_folder, write_text
from mindvit.run_metrics import WeightsKind
from mindvit.runtime import measured_flops
from mindvit.strict_json import dump_json
from mindvit.training.callbacks.check_run_folder import CheckRunFolder
from mindvit.training.callbacks.data_sink import DataSinkAdapter
from mindvit.training.callbacks.early_stopping import EarlyStopping
from mindvit.training.callbacks.evaluate import Evaluate
from mindvit.training.callbacks.metrics_log import MetricsLog
from mindvit.training.callbacks.metrics_recorder import MetricsRecorder, Throughput
from mindvit.training.callbacks.plot_curves import PlotCurves
from mindvit.training.callbacks.progress import ProgressBar
from mindvit.training.callbacks.publish_weights import PublishWeights
from mindvit.training.callbacks.stop_on_signal import StopOnSignal
from mindvit.training.callbacks.track_metrics import TrackMetrics
from mindvit.training.callbacks.train_checkpoint_saver import TrainCheckpointSaver
from mindvit.training.callbacks.update_swa import UpdateSWA
from mindvit.training.callbacks.weight_saver import WeightSaver
from mindvit.training.environment import describe_environment
from mindvit.training.overview import Summary, run_overview, write_summary
from mindvit.training.recipe import Recipe
from mindvit.training.run import Run
from mindvit.training.run_folder import RunFolder
from mindvit.training.setup import setup
from mindvit.training.trackers.tracker import TrackedRun
from mindvit.training.trackers.tracker_set import TrackerSet


def train(recipe: Recipe) -> Summary | None:
    """Trains a Vision Transformer and writes the run folder.

    The folder gets ``config.yaml`` and ``environment.json`` at the start; ``metrics.jsonl``, weights, training
    checkpoints and ``curves.png`` during the run; and ``summary.json`` at the end. It is locked for other runs
    meanwhile.

    Returns:
        The content of ``summary.json``; None on all ranks but 0. None after a dry run (``dry_run``) too, which prints
        whether the step compiles for Ascend and fits, and writes nothing.

    Raises:
        UserError: for a mistake in the settings, the data or the checkpoint; if the loss is not finite; or if the
            folder is in use by another run or can no longer be written to.
        KeyboardInterrupt: after Ctrl-C, SIGTERM or SIGHUP; the message says how to resume.
    """
    if recipe.dry_run:
        check_step(plain(recipe), recipe.device_memory_gb)
        return None
    folder = RunFolder(Path(recipe.output_dir))
    try:
        return _train(setup(recipe, folder))
    finally:
        folder.release()


def _train(run: Run) -> Summary | None:
    corrupt = None
    if run.recipe.data.on_corrupt == "skip":
        make_folder(run.folder.path)  # Ranks on other nodes may have a disk of their own.
        corrupt = CorruptImageLog(run.folder.corrupt_images)
    images = _train_images(run, corrupt)
    recorder = _recorder(run, corrupt)
    stop = StopOnSignal(recorder, run.components.step, run.runtime.world_size, run.recipe.train.max_hours)
    callbacks, trackers = _callbacks(run, recorder, stop, corrupt), _trackers(run)
    if run.runtime.is_main:
        run.folder.initialize(yaml.safe_dump(plain(run.recipe), sort_keys=False, allow_unicode=True), run.state)
        environment = asdict(describe_environment(run.runtime))
        write_text(run.folder.environment, dump_json(environment, indent=2) + "\n")
        print(fit_text(run_overview(run), terminal_columns(sys.stdout)), flush=True)
        callbacks += _main_rank_callbacks(run, recorder, trackers)
    saver = TrainCheckpointSaver(run, recorder)

    try:
        with trackers, stop:  # Until the training checkpoint is written: a terminal that closes may send two signals.
            with reraise_decode_errors(*filter(None, (run.source.train, run.source.val))):
                _run_steps(run, images, [*callbacks, saver, stop], stop)
            if stop.agreed and (run.state.step < run.state.total_steps or run.state.is_unrecorded):
                if not broadcast_object(run.folder.has_checkpoint_of(run.state)):
                    saver.save()
                all_gather_object("saved")  # The launcher ends the other ranks as soon as the first one exits.
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        hint = run.folder.resume_hint(run.runtime.world_size) if run.runtime.is_main else ""
        raise KeyboardInterrupt(f"{stop.reason} {hint}".strip()) from None
    except FileError as error:
        if not run.runtime.is_main:
            raise
        raise UserError(f"{error}. The run {run.folder.resume_hint(run.runtime.world_size)}") from error
    return write_summary(run, recorder.average_speed) if run.runtime.is_main else None


def _train_images(run: Run, corrupt: CorruptImageLog | None) -> Dataset:
    recipe, config = run.recipe, run.network.config
    options = {"first_step": run.state.step, "corrupt": corrupt, "native": recipe.runtime.native_kernels is not False}
    options["reduced_decode"] = recipe.data.reduced_decode
    return train_pipeline(run.source.train, config, recipe.augment, run.plan, recipe.data.num_workers, **options)


def _recorder(run: Run, corrupt: CorruptImageLog | None) -> MetricsRecorder:
    given, world_size = run.recipe.runtime.peak_tflops, run.runtime.world_size
    peak = measured_flops(run.runtime) if given is None else given * 1e12
    flops = training_flops(run.network.config)
    if run.components.teacher is not None:
        flops += forward_flops(run.components.teacher)
    return MetricsRecorder(
        run.state,
        Throughput(run.plan.samples_per_step, flops, peak * world_size),
        loss_scaled=run.components.step.scaler is not None,
        max_skipped=run.recipe.train.max_skipped_steps,
        last_checkpoint=run.folder.last_checkpoint,
        corrupt=corrupt,
    )


def _callbacks(
    run: Run, recorder: MetricsRecorder, stop: StopOnSignal, corrupt: CorruptImageLog | None
) -> list[Callback]:
    """The callbacks of every rank."""
    recipe, components, runtime = run.recipe, run.components, run.runtime
    callbacks = [recorder, PublishWeights(components)]
    if components.swa is not None:
        callbacks.append(UpdateSWA(components.swa, run.state, recipe.swa.start_epoch))
    if run.source.val is not None:
        loading = (recipe.data.batch_size, recipe.data.num_workers, runtime.rank, runtime.world_size)
        images = eval_pipeline(run.source.val, run.network.config, *loading, corrupt)
        callbacks.append(Evaluate(recorder, components.models, images, stop, components.swa))
    if recipe.train.patience is not None:
        callbacks.append(EarlyStopping(recorder, run.state, recipe.checkpoint.metric, recipe.train.patience))
    return callbacks


def _main_rank_callbacks(run: Run, recorder: MetricsRecorder, trackers: TrackerSet) -> list[Callback]:
    """The callbacks of rank 0 only, which shows the progress and writes files."""
    folder, state, log_steps = run.folder, run.state, run.recipe.train.log_steps
    return [
        CheckRunFolder(folder),
        _progress_bar(run, recorder),
        MetricsLog(folder.metrics, recorder, state, log_steps),
        TrackMetrics(trackers, recorder, state, log_steps, run.network.config.num_classes),
        PlotCurves(folder.metrics, folder.curves),
        WeightSaver(run, recorder),
    ]


def _trackers(run: Run) -> TrackerSet:
    """The trackers, on rank 0 only."""
    settings = run.recipe.train
    name = settings.tracker_run or run.folder.path.resolve().name
    tracked = TrackedRun(
        name=name,
        project=settings.tracker_project,
        folder=run.folder.path,
        settings=flatten(plain(run.recipe)),
        is_offline=settings.tracker_offline,
        resumed_step=run.state.step,
    )
    return TrackerSet(settings.trackers if run.runtime.is_main else (), tracked, run.folder.tracker_ids)


def _progress_bar(run: Run, recorder: MetricsRecorder) -> ProgressBar:
    config, teacher = run.network.config, run.components.teacher
    blocks = config.depth + (teacher.depth if teacher else 0) if run.recipe.runtime.mode == "graph" else None
    return ProgressBar(recorder, run.state, run.epochs, config.num_classes, blocks)


def _run_steps(run: Run, images: Dataset, callbacks: list[Callback], stop: StopOnSignal) -> None:
    """Trains to the end of the run. Starts with the evaluation that an interrupted run may still lack."""
    state = run.state
    if state.is_unrecorded:
        context = RunContext({})
        with stop:
            for callback in callbacks:
                callback.on_train_epoch_end(context)
    stopped_early = any(isinstance(callback, EarlyStopping) and callback.is_due for callback in callbacks)
    if stop.agreed or stopped_early or state.step >= state.total_steps:
        return
    model = run.components.models[WeightsKind.RAW]
    if run.runtime.data_sink:
        callbacks, epochs, first_epoch = [DataSinkAdapter(callbacks, state)], state.total_steps, state.step
    else:
        epochs, first_epoch = run.epochs, state.step // state.steps_per_epoch
    sink = {"dataset_sink_mode": run.runtime.data_sink, "sink_size": 1 if run.runtime.data_sink else -1}
    model.train(epochs, images, callbacks, initial_epoch=first_epoch, **sink)

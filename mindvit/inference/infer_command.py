"""The command infer: classifies images, folders and videos, and prints, writes and draws the predictions."""

import os
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from mindvit.data.settings import CORES, check_loading
from mindvit.errors import UserError
from mindvit.factory import TrainedModel, load_trained
from mindvit.files import make_folder
from mindvit.graph_cache.cached_compile import cache_graphs
from mindvit.inference.annotated_files import refuse_overwriting
from mindvit.inference.batched_pass import Classified, classify_files
from mindvit.inference.drawn_results import DrawnResults
from mindvit.inference.image_inputs import Unreadable, find_inputs
from mindvit.inference.prediction_files import (
    PREDICTION_FORMATS,
    as_object,
    image_object,
    ranked_lines,
    table_lines,
    write_predictions,
)
from mindvit.inference.predictor import Predictor, check_top_k
from mindvit.inference.video_frames import count_frames, parse_interval
from mindvit.printable import printable
from mindvit.runtime import RuntimeSettings, apply_amp, init_runtime
from mindvit.strict_json import dump_json

SOME_UNREADABLE = 1
"""Exit code if images could not be read, and others were classified."""


@dataclass(frozen=True)
class InferSettings:
    """An inference."""

    ckpt: str
    """Checkpoint: a path, or the name of a file in ckpt/."""
    image: tuple[str, ...] | str
    """Images: files, folders (searched with their sub-folders), quoted patterns such as "photos/*.jpg", or videos."""
    output: str | None = None
    """Where annotated images are written: a file for one image, a folder for several. null writes none."""
    predictions: str | None = None
    """File to write all predictions to, .csv, .json or .jsonl. null writes none."""
    contact_sheet: str | None = None
    """File to draw thumbnails with the best classes to, 48 images a page; its extension sets the format. null draws
    none."""
    top_k: int = 5
    """Number of classes to report for each image."""
    every: str = "1s"
    """Distance between the frames of a video that are classified: a number of frames such as 10, or of seconds such as
    0.5s."""
    batch_size: int = 16
    """Images per batch. With 1, an image gets the same numbers bit for bit however many others there are."""
    num_workers: int = min(8, CORES)
    """Data workers: threads that read and preprocess images, at most one per core."""
    runtime: RuntimeSettings = field(default_factory=RuntimeSettings)
    download: bool = False
    """Download published weights that are missing."""

    def __post_init__(self) -> None:
        check_top_k(self.top_k)
        check_loading(self.batch_size, self.num_workers, group="")
        parse_interval(self.every)
        if self.predictions is not None and Path(self.predictions).suffix not in PREDICTION_FORMATS:
            raise ValueError(f"predictions must end in {', '.join(PREDICTION_FORMATS)}, not {self.predictions}")


@dataclass(frozen=True)
class InferResults:
    """What an inference found."""

    images: list[Classified]
    """The images and frames that were classified, in order."""
    unreadable: list[Unreadable]
    """What was not."""


def run_infer(settings: InferSettings, as_json: bool = False) -> None:
    """Runs ``infer`` as a command.

    Raises:
        SystemExit: with code 1 if something could not be read, and the rest was classified.
        UserError: as ``infer``.
    """
    if infer(settings, as_json).unreadable:
        raise SystemExit(SOME_UNREADABLE)


def infer(settings: InferSettings, as_json: bool = False) -> InferResults:
    """Classifies images, prints the ranked classes, and writes and draws what is asked for.

    Args:
        settings: the settings.
        as_json: whether to print JSON.

    Raises:
        UserError: for a mistake in the settings or the checkpoint, or if no image can be read.
    """
    given = (settings.image,) if isinstance(settings.image, str) else settings.image
    is_single = len(given) == 1 and not Path(given[0]).is_dir()
    output = Path(settings.output) if settings.output else None
    files, unreadable = find_inputs(given, omit=None if is_single else output)
    is_single = is_single and len(files) == 1 and files[0].path == given[0] and not files[0].is_video
    if not files:
        raise UserError("; ".join(entry.reason for entry in unreadable) or "no image is given; set image")
    if is_single and not os.path.lexists(files[0].path):
        raise UserError(f"cannot read the image {printable(files[0].path)}: No such file or directory")

    runtime = init_runtime(settings.runtime)
    sheet = Path(settings.contact_sheet) if settings.contact_sheet else None
    predictions = Path(settings.predictions) if settings.predictions else None
    if predictions is not None:
        make_folder(predictions.parent)
        refuse_overwriting(predictions, {os.path.realpath(file.path) for file in files})
    drawing = DrawnResults(files, output, is_single, sheet, settings.num_workers)
    trained = load_trained(settings.ckpt, settings.download)
    network = apply_amp(trained.network, runtime)
    if runtime.compile_cache:
        cache_graphs(network)
    has_videos = any(file.is_video for file in files)
    batch_size = settings.batch_size if has_videos else min(settings.batch_size, len(files))
    predictor = Predictor(TrainedModel(network, trained.metadata), batch_size)
    interval = parse_interval(settings.every)
    results: list[Classified] = []
    answers = classify_files(
        files, predictor, settings.top_k, interval, settings.num_workers, with_thumbnails=sheet is not None
    )
    counts = [count_frames(file.path, interval) or 0 if file.is_video else 1 for file in files]
    # Without a terminal there is no bar: it would fill a log.
    with drawing, tqdm(total=sum(counts), unit="image", leave=False, disable=None) as bar:
        for answer in answers:
            bar.update()
            if isinstance(answer, Unreadable):
                unreadable.append(answer)
            else:
                results.append(answer.result)
                drawing.add(answer)
    if is_single and unreadable:
        raise UserError(unreadable[0].reason)
    if predictions is not None:
        write_predictions(predictions, results, unreadable)
        drawing.written.append(str(predictions))
    _print(results, unreadable, is_single, as_json)
    if not as_json:
        for path in drawing.written:
            print(f"wrote {printable(path)}")
    for entry in unreadable:
        print(f"unreadable: {entry.reason}", file=sys.stderr)
    if not results:
        raise UserError(f"none of the {len(unreadable):,} images can be read")
    return InferResults(results, unreadable)


def _print(results: list[Classified], unreadable: list[Unreadable], is_single: bool, as_json: bool) -> None:
    if as_json:
        print(dump_json(image_object(results[0]) if is_single else as_object(results, unreadable), indent=2))
    elif is_single:
        print(*ranked_lines(results[0]), sep="\n")
    elif results:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        print(*table_lines(results, width), sep="\n")
        print(f"{len(results):,} images classified" + (f", {len(unreadable):,} unreadable" if unreadable else ""))

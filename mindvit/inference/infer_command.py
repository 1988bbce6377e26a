"""The command infer: classifies images, folders and videos, and prints, writes and draws the predictions."""

import os
import shutil
import sys
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mindvit.data.images import read_image
from mindvit.data.settings import CORES, check_loading
from mindvit.errors import UserError
from mindvit.factory import TrainedModel, load_trained
from mindvit.files import make_folder
from mindvit.inference.annotated_files import AnnotatedFiles, refuse_overwriting
from mindvit.inference.batched_pass import Answer, Classified, classify_files
from mindvit.inference.image_inputs import InputFile, Unreadable, find_inputs
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
from mindvit.visualize.annotate import write_annotated_image
from mindvit.visualize.class_labels import note_undrawable
from mindvit.visualize.contact_sheet import ContactSheetWriter, SheetEntry
from mindvit.visualize.image_file import check_image_file

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
    drawing = _Drawing(settings, output, files, is_single)
    trained = load_trained(settings.ckpt, settings.download)
    network = apply_amp(trained.network, runtime)
    has_videos = any(file.is_video for file in files)
    batch_size = settings.batch_size if has_videos else min(settings.batch_size, len(files))
    predictor = Predictor(TrainedModel(network, trained.metadata), batch_size)
    interval = parse_interval(settings.every)
    results: list[Classified] = []
    answers = classify_files(
        files, predictor, settings.top_k, interval, settings.num_workers, settings.contact_sheet is not None
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
    if settings.predictions:
        path = Path(settings.predictions)
        write_predictions(path, results, unreadable)
        drawing.written.append(str(path))
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


class _Drawing:
    """Draws annotated images in threads, and contact sheets, while the next images are classified."""

    def __init__(self, settings: InferSettings, output: Path | None, files: list[InputFile], is_single: bool) -> None:
        self.written: list[str] = []
        self._top: dict[int, object] = {}
        self._output = output
        self._names: dict[str, Path] = {}
        self._annotated: AnnotatedFiles | None = None
        self._sheet: ContactSheetWriter | None = None
        real_paths = {os.path.realpath(file.path) for file in files}
        for path in (settings.predictions, settings.contact_sheet):
            if path:
                make_folder(Path(path).parent)
                refuse_overwriting(Path(path), real_paths)
        if settings.contact_sheet:
            self._sheet = ContactSheetWriter(Path(settings.contact_sheet))
        if output is not None and is_single:
            check_image_file(output)
            make_folder(output.parent)
            refuse_overwriting(output, real_paths)
            self._names = {files[0].path: output}
        elif output is not None:
            if output.is_file():
                raise UserError(f"{output} is a file; the annotated images of several images need a folder")
            make_folder(output)
            self._annotated = AnnotatedFiles(output, files)
            self._names = {file.path: self._annotated.name(file) for file in files if not file.is_video}
        self._count = 0
        self._limit = 2 * settings.num_workers
        self._pool = ThreadPoolExecutor(settings.num_workers)
        self._pending: deque[Future] = deque()

    def __enter__(self) -> "_Drawing":
        return self

    def __exit__(self, *error: object) -> None:
        try:
            while self._pending and error[0] is None:
                self._pending.popleft().result()
        finally:
            self._pool.shutdown(cancel_futures=True)
        if error[0] is not None:
            return
        if self._sheet is not None:
            self._sheet.close()
            self.written += map(str, self._sheet.pages)
        if self._count and self._annotated is not None:
            self.written.append(f"{self._output} ({self._count:,} annotated images)")
        elif self._count:
            self.written.append(str(self._output))
        note_undrawable(self._top.values())

    def add(self, answer: Answer) -> None:
        """Draws the result of an image."""
        if self._output is not None:
            self._top |= {prediction.label: prediction for prediction in answer.result.predictions}
            self._count += 1
            while len(self._pending) >= self._limit:
                self._pending.popleft().result()
            path = self._names.get(answer.result.file) or self._annotated.name(answer.source, answer.result.frame)
            self._pending.append(self._pool.submit(self._annotate, answer, path))
        if self._sheet is not None:
            best = answer.result.predictions[0]
            self._top[best.label] = best
            where = "" if answer.result.frame is None else f", {answer.result.time:.2f} s"
            self._sheet.add(SheetEntry(answer.thumbnail, best, Path(answer.result.file).name + where))

    def _annotate(self, answer: Answer, path: Path) -> None:
        image = answer.frame if answer.frame is not None else read_image(Path(answer.result.file))
        if self._annotated is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        write_annotated_image(np.asarray(image), answer.result.predictions, path)

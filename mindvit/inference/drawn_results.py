"""Draws the results of infer.py while the next images are classified."""

import os
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from mindvit.data.images import read_image
from mindvit.errors import UserError
from mindvit.files import make_folder
from mindvit.inference.annotated_files import AnnotatedFiles, refuse_overwriting
from mindvit.inference.batched_pass import Answer
from mindvit.inference.image_inputs import InputFile
from mindvit.inference.predictor import Prediction
from mindvit.visualize.annotate import write_annotated_image
from mindvit.visualize.class_labels import note_undrawable
from mindvit.visualize.contact_sheet import ContactSheetWriter, SheetEntry
from mindvit.visualize.image_file import check_image_file


class DrawnResults:
    """Draws annotated images in threads, and contact sheets, while the next images are classified.

    A context manager: at its end everything is written, and names that could not be drawn are reported.

    Args:
        files: the images and videos that are classified; none of them is overwritten.
        output: the annotated image of a single image, or the folder of those of several; None draws none.
        is_single: whether there is one image.
        contact_sheet: the file of the contact sheet; None draws none.
        num_workers: threads that draw.

    Raises:
        UserError: if a path has no image extension, would overwrite an image, or cannot be written.
    """

    def __init__(
        self,
        files: Sequence[InputFile],
        output: Path | None,
        is_single: bool,
        contact_sheet: Path | None,
        num_workers: int,
    ) -> None:
        self.written: list[str] = []
        """What was written, for the screen."""
        self._drawn: dict[int, Prediction] = {}
        self._output = output
        self._names: dict[str, Path] = {}
        self._annotated: AnnotatedFiles | None = None
        self._sheet: ContactSheetWriter | None = None
        real_paths = {os.path.realpath(file.path) for file in files}
        if contact_sheet is not None:
            self._sheet = ContactSheetWriter(contact_sheet)
            make_folder(contact_sheet.parent)
            refuse_overwriting(contact_sheet, real_paths)
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
        self._limit = 2 * num_workers
        self._pool = ThreadPoolExecutor(num_workers)
        self._pending: deque[Future] = deque()

    def __enter__(self) -> "DrawnResults":
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
        note_undrawable(self._drawn.values())

    def add(self, answer: Answer) -> None:
        """Draws the result of an image."""
        if self._output is not None:
            self._drawn |= {prediction.label: prediction for prediction in answer.result.predictions}
            self._count += 1
            while len(self._pending) >= self._limit:
                self._pending.popleft().result()
            path = self._names.get(answer.result.file) or self._annotated.name(answer.source, answer.result.frame)
            self._pending.append(self._pool.submit(self._annotate, answer, path))
        if self._sheet is not None:
            best = answer.result.predictions[0]
            self._drawn[best.label] = best
            where = "" if answer.result.frame is None else f", {answer.result.time:.2f} s"
            self._sheet.add(SheetEntry(answer.thumbnail, best, Path(answer.result.file).name + where))

    def _annotate(self, answer: Answer, path: Path) -> None:
        image = answer.frame if answer.frame is not None else read_image(Path(answer.result.file))
        if self._annotated is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        write_annotated_image(np.asarray(image), answer.result.predictions, path)

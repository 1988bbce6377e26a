"""Classifies many images in batches, while threads decode the next ones."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from mindvit.data.images import read_image
from mindvit.errors import UserError
from mindvit.inference.image_inputs import InputFile, Unreadable
from mindvit.inference.predictor import Prediction, Predictor
from mindvit.inference.prefetch import prefetched
from mindvit.inference.video_frames import Frame, Interval, read_frames
from mindvit.visualize.contact_sheet import make_thumbnail


@dataclass(frozen=True, slots=True)
class Classified:
    """An image, or a frame of a video, with its predictions."""

    file: str
    """The path."""
    predictions: list[Prediction]
    """The most probable first."""
    frame: int | None = None
    """Number of the frame, from 0."""
    time: float | None = None
    """Seconds from the beginning of the video."""


@dataclass(frozen=True, eq=False)
class Answer:
    """A result of the pass, with what is drawn of it."""

    result: Classified
    source: InputFile
    frame: Image.Image | None
    """The image of a frame. Image files are read again when they are drawn, which keeps memory bounded."""
    thumbnail: Image.Image | None


@dataclass(frozen=True, eq=False)
class _Item:
    source: InputFile
    frame: Frame | None = None
    reason: str | None = None


@dataclass(frozen=True, eq=False)
class _Loaded:
    item: _Item
    input: np.ndarray | None = None
    thumbnail: Image.Image | None = None
    reason: str | None = None


def classify_files(
    files: Sequence[InputFile],
    predictor: Predictor,
    top_k: int,
    interval: Interval,
    num_workers: int,
    with_thumbnails: bool = False,
) -> Iterator[Answer | Unreadable]:
    """Classifies images and videos, in order.

    Args:
        files: the images and videos.
        predictor: the network; its batch size is that of the pass.
        top_k: number of classes for each image; at most all are reported.
        interval: distance between the frames of a video.
        num_workers: threads that decode and preprocess.
        with_thumbnails: whether the answers need thumbnails.

    Yields:
        An answer for each image or frame, and in its place what cannot be read. The rest of a corrupt video is one.

    Raises:
        UserError: if the outputs of the network are not finite.
    """

    def load(item: _Item) -> _Loaded:
        if item.reason is not None:
            return _Loaded(item, reason=item.reason)
        try:
            image = item.frame.image if item.frame else read_image(item.source.path)
        except UserError as error:
            return _Loaded(item, reason=str(error))
        return _Loaded(item, predictor.input(image), make_thumbnail(image) if with_thumbnails else None)

    lookahead = max(2 * predictor.batch_size, 2 * num_workers)
    waiting: list[_Loaded] = []
    loading = prefetched(_items(files, interval), load, num_workers, lookahead)
    try:
        for loaded in loading:
            if loaded.input is None:
                yield Unreadable(loaded.item.source.path, loaded.reason)
                continue
            waiting.append(loaded)
            if len(waiting) == predictor.batch_size:
                yield from _answers(waiting, predictor, top_k)
                waiting = []
        yield from _answers(waiting, predictor, top_k)
    finally:
        loading.close()


def _items(files: Sequence[InputFile], interval: Interval) -> Iterator[_Item]:
    for file in files:
        if not file.is_video:
            yield _Item(file)
            continue
        try:
            for frame in read_frames(file.path, interval):
                yield _Item(file, frame)
        except UserError as error:
            yield _Item(file, reason=str(error))


def _answers(batch: list[_Loaded], predictor: Predictor, top_k: int) -> Iterator[Answer]:
    if not batch:
        return
    probabilities = predictor.probabilities([loaded.input for loaded in batch])
    for loaded, row in zip(batch, probabilities, strict=True):
        source, frame = loaded.item.source, loaded.item.frame
        where = (frame.number, round(frame.time, 3)) if frame else ()
        result = Classified(source.path, predictor.rank(row, top_k), *where)
        yield Answer(result, source, frame.image if frame else None, loaded.thumbnail)

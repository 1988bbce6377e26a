"""Reads frames of a video with OpenCV."""

import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
from PIL import Image

from mindvit.data.images import check_regular
from mindvit.errors import UserError
from mindvit.printable import printable

_COMPLETE = 0.9
"""A video with less than this part of the frames that its header states is reported. The header is an estimate."""


@dataclass(frozen=True)
class Interval:
    """The distance between the frames that are read: one of the two."""

    frames: int | None = None
    seconds: float | None = None


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame of a video."""

    number: int
    """From 0."""
    time: float
    """Seconds from the beginning."""
    image: Image.Image
    """RGB."""


def parse_interval(text: str) -> Interval:
    """The interval that a text means: ``"10"`` is every tenth frame, ``"0.5s"`` two frames a second.

    Raises:
        ValueError: if it is neither a whole number of frames nor a number of seconds, greater than 0.
    """
    if re.fullmatch(r"[0-9]{1,9}", text) and int(text) > 0:
        return Interval(frames=int(text))
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?s", text) and float(text[:-1]) > 0:
        return Interval(seconds=float(text[:-1]))
    raise ValueError(f"every must be a number of frames such as 10, or of seconds such as 0.5s, not {printable(text)}")


def count_frames(path: str, interval: Interval) -> int | None:
    """About how many frames ``read_frames`` yields, from the header of the video; None if it does not say."""
    try:
        capture = _open(path)
    except (UserError, OSError):
        return None
    cv2 = _load_opencv()
    count, rate = capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)
    capture.release()
    step = interval.frames or interval.seconds * rate
    return max(1, round(count / max(step, 1))) if count > 0 and step > 0 else None


def read_frames(path: str, interval: Interval) -> Iterator[Frame]:
    """Reads frames in display orientation, from the first.

    Args:
        path: the video.
        interval: distance between the frames.

    Raises:
        UserError: if the file is no video, if a frame has too many pixels, or, after the frames before, if the video
            ends long before the end that its header states.
    """
    cv2 = _load_opencv()
    capture = _open(path)
    try:
        expected, rate = capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)
        number, next_time = 0, 0.0
        while capture.grab():
            time = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            if time <= 0 and rate > 0:
                time = number / rate
            # A video has no frame at most ticks of a clock, so a frame counts from half a frame before its time.
            moment = time + (0.5 / rate if rate > 0 else 0)
            is_due = number % interval.frames == 0 if interval.frames else moment >= next_time
            if is_due:
                readable, pixels = capture.retrieve()
                if not readable:
                    break
                if interval.seconds:
                    next_time = interval.seconds * (math.floor(moment / interval.seconds) + 1)
                yield Frame(number, time, Image.fromarray(np.ascontiguousarray(pixels[:, :, ::-1])))
            number += 1
    finally:
        capture.release()
    if number == 0:
        raise UserError(f"{printable(path)} is not a video that OpenCV can decode; convert it to .mp4 (H.264)")
    if number < _COMPLETE * expected:
        raise UserError(
            f"{printable(path)} ends after {number:,} of about {expected:,.0f} frames: it is incomplete or corrupt"
        )


def _open(path: str):
    try:
        check_regular(path)
    except OSError as error:
        raise UserError(f"cannot read the video {printable(path)}: {error.strerror}") from error
    cv2 = _load_opencv()
    # FFmpeg opens what a playlist names; a video from outside must not make this machine fetch addresses.
    os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "protocol_whitelist;file")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # It writes to standard error; messages here say more.
    capture = cv2.VideoCapture(os.fspath(Path(path).absolute()), cv2.CAP_FFMPEG)
    width, height = (capture.get(name) for name in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    if not capture.isOpened() or not width or not height:
        capture.release()
        raise UserError(f"{printable(path)} is not a video that OpenCV can decode; convert it to .mp4 (H.264)")
    if width * height > 2 * Image.MAX_IMAGE_PIXELS:
        capture.release()
        raise UserError(f"{printable(path)} has frames of {width:,.0f} x {height:,.0f} pixels; scale it down")
    return capture


def _load_opencv() -> ModuleType:
    try:
        import cv2
    except ImportError as error:
        raise UserError(
            f"cannot load OpenCV, which decodes videos ({error}). On a machine without graphics, install its libraries "
            "(Debian, Ubuntu: apt-get install libgl1 libglib2.0-0) or install opencv-python-headless instead"
        ) from error
    return cv2

import cv2
import numpy as np
import pytest

from mindvit.errors import UserError
from mindvit.inference.video_frames import Interval, count_frames, parse_interval, read_frames


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """25 frames of 10 a second; the gray of a frame is ten times its number."""
    path = tmp_path_factory.mktemp("video") / "clip 猫.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for number in range(25):
        frame = np.full((48, 64, 3), 10 * number, np.uint8)
        frame[:, :8] = (0, 0, 255)  # Blue, green, red.
        writer.write(frame)
    writer.release()
    return path


def numbers(frames):
    frames = list(frames)
    for frame in frames:
        pixels = np.asarray(frame.image).astype(int)
        assert abs(pixels[20, 40] - 10 * frame.number).max() <= 3, "it is the frame of its number"
        assert pixels[20, 2, 0] > 200, "red is red"
        assert pixels[20, 2, 2] < 60, "red is red"
        assert frame.time == pytest.approx(frame.number / 10, abs=1e-3)
    return [frame.number for frame in frames]


def test_every_nth_frame_is_read(clip):
    assert numbers(read_frames(str(clip), Interval(frames=1))) == list(range(25))
    assert numbers(read_frames(str(clip), Interval(frames=10))) == [0, 10, 20]
    assert count_frames(str(clip), Interval(frames=10)) in (2, 3)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(1.0, [0, 10, 20]), (0.5, [0, 5, 10, 15, 20]), (0.25, [0, 2, 5, 7, 10, 12, 15, 17, 20, 22]), (0.01, range(25))],
)
def test_frames_are_read_at_an_interval_of_time(clip, seconds, expected):
    found = numbers(read_frames(str(clip), Interval(seconds=seconds)))
    assert len(found) == len(list(expected))
    assert np.abs(np.array(found) - list(expected)).max() <= 1, "no frame lies at a quarter of a second"


@pytest.mark.parametrize("content", [b"", b"hello" * 100, b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/x.ts\n"])
def test_what_is_no_video_is_refused(tmp_path, content):
    (tmp_path / "x.mp4").write_bytes(content)
    with pytest.raises(UserError, match=r"x\.mp4 is not a video that OpenCV can decode"):
        list(read_frames(str(tmp_path / "x.mp4"), Interval(frames=1)))
    assert count_frames(str(tmp_path / "x.mp4"), Interval(frames=1)) is None


def test_a_missing_video_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"cannot read the video .*x\.mp4: No such file"):
        list(read_frames(str(tmp_path / "x.mp4"), Interval(frames=1)))


def test_of_a_truncated_video_the_frames_before_are_read(clip, tmp_path):
    content = clip.read_bytes()
    (tmp_path / "x.avi").write_bytes(content[: len(content) // 2])
    found = []
    with pytest.raises(UserError, match=r"ends after \d+ of about 25 frames"):
        for frame in read_frames(str(tmp_path / "x.avi"), Interval(frames=1)):
            found.append(frame.number)
    assert found == list(range(len(found)))
    assert found


@pytest.mark.parametrize(
    ("text", "interval"), [("10", Interval(frames=10)), ("1s", Interval(seconds=1)), ("0.5s", Interval(seconds=0.5))]
)
def test_an_interval_is_frames_or_seconds(text, interval):
    assert parse_interval(text) == interval


@pytest.mark.parametrize("text", ["0", "-1", "0s", "1.5", "s", "1m", "", "nan", "1e9s", "٣"])
def test_another_interval_is_refused(text):
    with pytest.raises(ValueError, match="every must be a number of frames"):
        parse_interval(text)

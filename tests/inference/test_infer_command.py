"""The command infer. One pass over 200 mixed files serves most tests."""

import csv
import json
import re
import shlex
from pathlib import Path

import cv2
import mindspore as ms
import numpy as np
import pytest
from PIL import Image

from mindvit.classes import Classes
from mindvit.errors import UserError
from mindvit.factory import create_model, load_trained
from mindvit.inference import InferSettings, infer, predict
from mindvit.inference.image_inputs import find_inputs
from mindvit.inference.infer_command import run_infer
from mindvit.inference.prediction_files import image_object
from mindvit.parsing import parse
from mindvit.weights.checkpoint import write_checkpoint
from mindvit.weights.metadata import CheckpointMetadata
from tests.conftest import ROOT, TINY
from tests.data.mixed_images import BROKEN, READABLE, write_mixed_images

pytestmark = pytest.mark.eager

NAMES = ("ant", "bee\n\x1b[2J", "猫", "=dog")


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory):
    network = create_model("vit_mini_4_32", num_classes=len(NAMES), **TINY)
    values = np.random.default_rng(0).standard_normal(network.dense.weight.shape)
    network.dense.weight.set_data(ms.Tensor(values.astype(np.float32)))
    metadata = CheckpointMetadata("vit_mini_4_32", network.config, Classes.named(NAMES))
    path = tmp_path_factory.mktemp("ckpt") / "tiny.ckpt"
    write_checkpoint(path, network, metadata)
    return str(path)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mixed")
    write_mixed_images(folder)
    return folder


@pytest.fixture(scope="module")
def answered(ckpt, mixed, tmp_path_factory):
    """The results of a pass over the mixed files, and the folder of what it wrote."""
    out = tmp_path_factory.mktemp("out")
    settings = InferSettings(
        ckpt, (str(mixed),), str(out / "annotated"), str(out / "all.json"), str(out / "sheet.png"), top_k=2
    )
    return infer(settings), out


@pytest.fixture
def image(tmp_path):
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (20, 30, 3)).astype(np.uint8)).save(tmp_path / "x.png")
    return tmp_path / "x.png"


@pytest.mark.slow
def test_of_200_mixed_files_190_are_answered_and_10_refused_by_name(answered, mixed):
    results, out = answered
    assert len(results.images) == READABLE
    assert len(results.unreadable) == BROKEN
    assert {Path(entry.file).parent.name for entry in results.unreadable} == {"broken"}
    for entry in results.unreadable:
        assert Path(entry.file).name in entry.reason
    reasons = {Path(entry.file).name: entry.reason for entry in results.unreadable}
    assert "has more than 178,956,970 pixels" in reasons["bomb.png"]
    assert "is not an image" in reasons["document.png"]
    files, _ = find_inputs([str(mixed)])
    assert [result.file for result in results.images] == [file.path for file in files if "/broken/" not in file.path]
    content = json.loads((out / "all.json").read_text(encoding="utf-8"))
    assert content["images"] == [image_object(result) for result in results.images]
    assert len(content["unreadable"]) == BROKEN


def test_an_image_alone_gets_the_numbers_that_it_gets_in_the_batch(answered, ckpt):
    results, _ = answered
    some = results.images[::6]
    alone = predict([Path(result.file) for result in some], load_trained(ckpt), top_k=2)
    for result, expected in zip(some, alone, strict=True):
        assert [entry.label for entry in result.predictions] == [entry.label for entry in expected]
        probabilities = [[entry.probability for entry in entries] for entries in (result.predictions, expected)]
        np.testing.assert_allclose(*probabilities, rtol=0, atol=1e-6)


def test_each_answered_image_has_an_annotated_one(answered, mixed):
    _, out = answered
    drawn = [path for path in (out / "annotated").rglob("*") if path.is_file()]
    assert len(drawn) == READABLE
    assert {path.suffix for path in drawn} == {".jpg", ".png"}
    assert (out / "annotated/good/sub folder").is_dir(), "sub-folders are kept"
    for name in ("good/rotated 6.jpg", "good/猫 кошка.png"):
        with Image.open(out / "annotated" / name) as image:
            assert image.width >= 480


def test_the_contact_sheet_has_pages_of_48_images(answered):
    _, out = answered
    pages = sorted(path.name for path in out.glob("sheet*"))
    assert pages == ["sheet.png", "sheet_2.png", "sheet_3.png", "sheet_4.png"]
    sizes = [Image.open(out / name).size for name in pages]
    assert sizes[0] == sizes[2]
    assert sizes[3][1] == sizes[0][1], "46 images need eight rows too"


@pytest.mark.graph
def test_one_image_is_printed_as_ranked_classes_or_json(ckpt, image, tmp_path, capsys):
    output = tmp_path / "new/out.jpg"
    (result,) = infer(InferSettings(ckpt, str(image), str(output), top_k=3)).images
    lines = capsys.readouterr().out.splitlines()
    assert [line[:3] for line in lines] == ["1. ", "2. ", "3. ", "wro"]
    assert all(line.isprintable() for line in lines)
    assert lines[0].endswith(f"  {100 * result.predictions[0].probability:.2f} %")
    assert Image.open(output).width >= 480
    infer(InferSettings(ckpt, (str(image),), top_k=4), as_json=True)
    out = capsys.readouterr().out
    assert all(char.isprintable() or char == "\n" for char in out)
    content = json.loads(out)
    assert content["image"] == str(image)
    assert {entry["name"] for entry in content["predictions"]} == set(NAMES), "JSON keeps the names"


def test_frames_of_a_video_are_answered_with_their_time(ckpt, image, tmp_path, capsys):
    writer = cv2.VideoWriter(str(tmp_path / "clip.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for number in range(20):
        writer.write(np.full((48, 64, 3), 12 * number, np.uint8))
    writer.release()
    inputs = (str(tmp_path / "clip.avi"), str(image), str(tmp_path / "gone.mp4"))
    settings = InferSettings(ckpt, inputs, str(tmp_path / "out"), str(tmp_path / "p.csv"), every="5", batch_size=1)
    with pytest.raises(SystemExit) as exited:
        run_infer(settings)
    assert exited.value.code == 1, "some were unreadable, and the others answered"
    out, err = capsys.readouterr()
    assert "unreadable: cannot read the video" in err
    assert "clip.avi, frame 10, 1.00 s" in out
    assert "5 images classified, 1 unreadable" in out
    rows = list(csv.DictReader((tmp_path / "p.csv").open(encoding="utf-8")))
    firsts = [(row["frame"], row["time"]) for row in rows if row["rank"] == "1"]
    assert firsts == [("0", "0.0"), ("5", "0.5"), ("10", "1.0"), ("15", "1.5"), ("", "")]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "clip_frame000000.jpg",
        "clip_frame000005.jpg",
        "clip_frame000010.jpg",
        "clip_frame000015.jpg",
        "x.png",
    ]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"image": "{}/nowhere.png"}, r"cannot read the image .*nowhere\.png: No such file"),
        ({"image": "{}/*.gif"}, r"\*\.gif has no images or videos"),
        ({"image": "{}", "output": "{}"}, r"would overwrite .*x\.png"),
        ({"output": "{}/x.png"}, r"would overwrite .*x\.png"),
        ({"predictions": "{}/x.png.csv", "contact_sheet": "{}/sheet.txt"}, "use .jpg or .png"),
        ({"image": "{}", "output": "{}/x.png"}, "is a file; the annotated images of several images need a folder"),
        ({"image": ()}, "no image is given"),
    ],
)
def test_what_cannot_be_done_is_refused_before_the_work(image, change, words, tmp_path):
    folder = str(tmp_path)
    change = {name: value.format(folder) if isinstance(value, str) else value for name, value in change.items()}
    settings = InferSettings(**{"ckpt": "nowhere.ckpt", "image": str(image), **change})
    with pytest.raises(UserError, match=words):
        infer(settings)
    assert [path.name for path in tmp_path.iterdir()] == ["x.png"]


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("predictions", "p.xlsx", r"predictions must end in \.json, \.jsonl, \.csv, not p\.xlsx"),
        ("every", "often", "every must be a number of frames"),
        ("batch_size", 0, "batch_size must be at least 1"),
        ("top_k", 0, "top_k must be at least 1"),
    ],
)
def test_a_setting_out_of_range_is_refused(setting, value, words):
    with pytest.raises(ValueError, match=words):
        InferSettings("x.ckpt", "x.png", **{setting: value})


def test_where_nothing_can_be_read_it_is_an_error(ckpt, mixed, tmp_path, capsys):
    with pytest.raises(UserError, match="none of the 10 images can be read"):
        infer(InferSettings(ckpt, (str(mixed / "broken"),), predictions=str(tmp_path / "p.csv")))
    assert capsys.readouterr().err.count("unreadable: ") == BROKEN


def test_the_commands_of_the_documentation_have_known_settings():
    commands = re.findall(r"^python infer.py (.*)$", (ROOT / "docs/inference.md").read_text(), re.MULTILINE)
    assert len(commands) == 3
    for command in commands:
        settings, _ = parse(InferSettings, "", shlex.split(command))
        assert isinstance(settings.image, tuple)
    settings, given = parse(InferSettings, "", ["--ckpt", "c", "--image", "a.png", "b 猫.png", "--json"], {"json": ""})
    assert settings.image == ("a.png", "b 猫.png")
    assert given == {"json"}

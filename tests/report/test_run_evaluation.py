"""Reports on a run with weights. One small network is compiled once for evaluation and once for attention."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from PIL import Image

from mindvit.config import plain
from mindvit.errors import UserError
from mindvit.factory import load_trained
from mindvit.parsing import parse
from mindvit.report.report_command import ReportSettings, make_report
from mindvit.training.recipe import Recipe
from mindvit.weights.checkpoint import write_checkpoint
from tests.report.test_page import Page

pytestmark = pytest.mark.eager


def report(*arguments):
    """Reports with the options of the command line. Returns the page."""
    arguments = [*map(str, arguments), "--data.num_workers", "1"]
    path = make_report(parse(ReportSettings, "", arguments, positional=("run", "compare"))[0])
    return path.read_text(encoding="utf-8")


@pytest.fixture
def run_folder(tiny_checkpoint, make_folder, tmp_path):
    """A run folder whose best weights were trained on a folder of two classes."""
    folder, root = tmp_path / "run <b>", make_folder(counts=5)
    folder.mkdir()
    loaded = load_trained(str(tiny_checkpoint()))
    write_checkpoint(folder / "best.ckpt", loaded.network, replace(loaded.metadata, data_path=str(root)))
    (folder / "config.yaml").write_text(yaml.safe_dump(plain(Recipe())))
    return folder


def test_a_report_evaluates_once_and_says_what_it_says(run_folder, tmp_path, capsys):
    """All in one test, because each evaluation compiles a graph."""
    html = report(run_folder, "--attention", 2)
    stored = json.loads((run_folder / "evaluation/evaluation.json").read_text())
    assert stored["num_images"] == 10
    page = Page(html)
    assert f"{stored['top1']:.2f} %" in page.text and "Attention rollout" in page.text
    images = [value for tag, name, value in page.attributes if tag == "img" and name == "src"]
    assert len(images) == stored["num_mistakes"] + 2 * 2
    assert (run_folder / "report.html").exists()
    assert "metrics.jsonl is missing" in page.text and "note: run <b>: metrics.jsonl" in capsys.readouterr().out

    # The evaluation is used again: what it says is shown, although it is not true.
    path = run_folder / "evaluation/evaluation.json"
    path.write_text(json.dumps({**stored, "loss": 77.25}))
    assert "77.2500" in report(run_folder, "--attention", 0)
    # Without the images it is still shown. With others in their place, it is not known which image an index means.
    images = tmp_path / "images"
    shutil.move(images, tmp_path / "moved")
    page = Page(report(run_folder, "--attention", 0, "--output", tmp_path / "a.html"))
    assert "77.2500" in page.text and "Without images and attention maps: the data folder" in page.text
    assert "img" not in page.tags
    shutil.copytree(tmp_path / "moved", images)
    wrong = Path(stored["mistakes"][0]["file"])
    wrong.rename(wrong.with_name("x.png"))
    page = Page(report(run_folder, "--attention", 0))
    assert "the data have changed since the evaluation" in page.text


def test_an_evaluation_of_earlier_weights_is_not_used(run_folder):
    page = Page(report(run_folder, "--evaluate", "false"))
    assert "There is no evaluation (evaluate is false)." in page.text
    folder = run_folder / "evaluation"
    folder.mkdir()
    (folder / "evaluation.json").write_text("{}")
    page = Page(report(run_folder, "--evaluate", "false"))
    assert "The evaluation of the run folder is not used" in page.text and "top1 is missing" in page.text
    os.utime(folder / "evaluation.json", (1, 1))
    assert "is not used" not in Page(report(run_folder, "--evaluate", "false")).text


def test_missing_data_are_a_note_and_no_error(run_folder, tmp_path):
    shutil.rmtree(tmp_path / "images")
    page = Page(report(run_folder))
    assert "Without the evaluation: the data folder" in page.text and "does not exist" in page.text
    (run_folder / "best.ckpt").unlink()
    assert "The run folder has no best.ckpt and no last.ckpt." in Page(report(run_folder)).text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["absent"], "the run folder absent does not exist"),
        (["run <b>", "--output", "page.pdf"], r"must be a file that ends in \.html"),
        (["run <b>", "--mistakes", "1000"], "mistakes must lie between 0 and 100"),
        (["run <b>", "absent"], "the run folder absent does not exist"),
    ],
)
def test_mistakes_in_the_settings_are_reported(run_folder, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=words):
        report(*arguments)


def test_thumbnails_keep_tiny_images_exact_and_shrink_others():
    from mindvit.report.embedded_images import thumbnail

    assert thumbnail(Image.new("RGB", (8, 8))).startswith("data:image/png;base64,")
    large = thumbnail(Image.effect_noise((3000, 1000), 50).convert("RGB"))
    assert large.startswith("data:image/jpeg;base64,") and len(large) < 20_000

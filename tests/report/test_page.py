import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from mindvit.report.embedded_images import AttentionView, thumbnail
from mindvit.report.page import render_page
from tests.report.conftest import HOSTILE

pytestmark = pytest.mark.eager

VOID = {"meta", "link", "br", "img", "input", "wbr", "hr"}


class Page(HTMLParser):
    """The tags, attributes and texts of a page. Fails at a tag that is not closed in order."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes, self.texts, self.open = [], [], [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attributes]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attributes]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        if "style" not in self.open:
            self.texts.append(text)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())


@pytest.fixture(scope="module")
def image():
    from PIL import Image

    return thumbnail(Image.new("RGB", (8, 8), "red"))


def test_the_page_holds_the_figures_of_the_evaluation(evaluated):
    run, evaluation = evaluated()
    record = evaluation.record
    html = render_page([run], [evaluation])
    page = Page(html)
    for expected in (
        f"{record.top1:.2f} %",
        f"{record.top5:.2f} %",
        f"{record.loss:.4f}",
        f"ECE {100 * record.calibration.ece:.2f} %",
        f"{100 * record.macro.f1:.2f} %",
        f"{record.num_mistakes} of 200 images are predicted wrong",
        "not finished: 3 of 10 epochs",
    ):
        assert expected in page.text
    for item in record.per_class:
        figures = f"{item.precision:.3f} {item.recall:.3f} {item.f1:.3f} {item.support}"
        assert f"{item.name} {figures}" in page.text
    cells = re.findall(
        r'<td class="[^"]*" style="--v:[\d.]+" title="[^"]*">(\d+)</td>', render_page([run], [evaluation])
    )
    assert [int(cell) for cell in cells] == [count for row in record.confusion_matrix for count in row]


def test_the_page_needs_nothing_from_outside_and_runs_nothing(evaluated, image):
    run, evaluation = evaluated()
    evaluation = replace(evaluation, thumbnails={item.index: image for item in evaluation.record.mistakes[:3]})
    html = render_page([run], [evaluation])
    page = Page(html)
    assert not {"script", "link", "iframe", "object", "form", "base"} & set(page.tags)
    for tag, name, value in page.attributes:
        assert not name.startswith("on"), (tag, name)
        if name in ("href", "src", "xlink:href", "srcset", "action"):
            assert value.startswith(("#", "data:image/")), (tag, name, value)
    assert "@import" not in html and not re.search(r"url\((?!#)", html)
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in html
    assert page.tags.count("img") == 3


def test_every_text_from_outside_is_escaped(evaluated, image):
    names = [HOSTILE, '"><img src=x onerror=alert(1)>', "a&b", "猫", "\u202eevil\x00", "{{ 7 * 7 }}", "\udcff"]
    run, evaluation = evaluated(f"{HOSTILE[:20]}'\"&", names, ckpt=HOSTILE, model=HOSTILE, data=HOSTILE)
    run.epochs[0]["note"] = 1
    settings = {**run.settings, HOSTILE: HOSTILE, "data.path": [HOSTILE]}
    run = replace(run, settings=settings, notes=[HOSTILE])
    mistakes = tuple(replace(item, file=f"{HOSTILE}/{item.index}") for item in evaluation.record.mistakes)
    record = replace(evaluation.record, mistakes=mistakes, skipped_images=(HOSTILE,))
    view = AttentionView(image, image, HOSTILE, names[1], 0.5)
    evaluation = replace(evaluation, record=record, notes=[HOSTILE], attention=[view])
    with_images = replace(evaluation, thumbnails={mistakes[0].index: image})
    for runs, evaluations in (([run], [evaluation]), ([run, run], [with_images, with_images])):
        html = render_page(runs, evaluations)
        page = Page(html)
        assert "script" not in page.tags
        assert not [name for _, name, _ in page.attributes if name.startswith("on")]
        assert HOSTILE in page.text and "{{ 7 * 7 }}" in page.text and "猫" in page.text
        assert "\\u202eevil\\x00" in page.text and "\u202e" not in html
        html.encode("utf-8")


@pytest.mark.parametrize("count", [5, 30, 120])
def test_the_page_suits_any_number_of_classes(evaluated, count):
    run, evaluation = evaluated(num_classes=count)
    run = replace(run, epochs=[{**run.epochs[0], "lr": None, "grad_norm": None, "images_per_second": None}], steps=[])
    page = Page(render_page([run], [evaluation]))
    assert ("Top-5" in page.text) == (count > 5)
    assert ("The 25 classes with the lowest F1" in page.text) == (count > 25)
    assert "Most frequent confusions" in page.text
    assert any("heat" in (value or "") for _, name, value in page.attributes if name == "class") == (count <= 100)


def test_two_runs_stand_side_by_side(evaluated):
    first, one = evaluated("first")
    second, other = evaluated("second", seed=1)
    second = replace(second, settings={**second.settings, "optimizer.lr": 0.25})
    page = Page(render_page([first, second], [one, other]))
    change = f"{other.record.top1 - one.record.top1:+.2f}".replace("-", "\N{MINUS SIGN}")
    assert f"Top-1 {one.record.top1:.2f} % {other.record.top1:.2f} % {change}" in page.text
    assert "Settings that differ Setting A B optimizer. lr 0.001 0.25 A All" in page.text
    assert "F1 of each class in both runs" in page.text
    assert "A: training B: training" in page.text, "the legend of a chart"
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))


def test_a_run_without_any_result_has_a_page(evaluated):
    run, evaluation = evaluated()
    run = replace(run, epochs=[], steps=[], settings=None, best=None, notes=["config.yaml is missing."])
    page = Page(render_page([run], [replace(evaluation, record=None)]))
    assert "config.yaml is missing." in page.text
    assert "svg" not in page.tags

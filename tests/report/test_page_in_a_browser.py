"""The page in a real browser: nothing is requested, nothing runs, and nothing is wider than the screen."""

import shutil
from dataclasses import replace

import pytest
from PIL import Image

from mindvit.report.embedded_images import AttentionView, thumbnail
from mindvit.report.page import render_page
from tests.report.conftest import HOSTILE

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def pages(evaluated, tmp_path):
    """A page on a run with hostile names, and one on two runs."""
    names = [HOSTILE, '"><img src=x onerror=alert(1)>', "x" * 300, "猫", "a b", "c", "d"]
    run, evaluation = evaluated("long" * 50, names, data="/" + "very-long/" * 40)
    image = thumbnail(Image.new("RGB", (300, 200), "red"))
    images = {item.index: image for item in evaluation.record.mistakes[:7]}
    view = AttentionView(image, image, names[2], names[0], 0.5)
    evaluation = replace(evaluation, thumbnails=images, attention=[view] * 3, notes=["n" * 400])
    for name, count in (("one", 1), ("two", 2)):
        (tmp_path / f"{name}.html").write_text(render_page([run] * count, [evaluation] * count), encoding="utf-8")
    return [tmp_path / "one.html", tmp_path / "two.html"]


@pytest.mark.slow
def test_the_page_fits_every_screen_and_asks_for_nothing(browser, pages):
    for path in pages:
        for width in (390, 1280):
            page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme="dark")
            asked, said = [], []
            page.on("request", lambda request, asked=asked: asked.append(request.url))
            page.on("console", lambda message, said=said: said.append(message.text))
            page.on("dialog", lambda dialog, said=said: said.append(dialog.message))
            page.goto(path.as_uri())
            page.evaluate("document.querySelectorAll('details').forEach(item => item.open = true)")
            assert page.evaluate("document.documentElement.scrollWidth") == width
            assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()]
            assert said == []
            broken = "[...document.images].filter(image => !image.naturalWidth).length"
            assert page.evaluate(broken) == 0 and page.evaluate("document.images.length") > 0
            color = "getComputedStyle(document.body).backgroundColor"
            dark = page.evaluate(color)
            page.click("label[for=theme-light]")
            light = page.evaluate(color)
            assert (dark, light) == ("rgb(15, 20, 27)", "rgb(246, 247, 249)")
            page.click("label[for=theme-auto]")
            page.emulate_media(media="print")
            assert page.evaluate("getComputedStyle(document.querySelector('.card')).backgroundColor") == (
                "rgb(255, 255, 255)"
            )
            page.close()

"""The page in a real browser: Chromium without a window. Each wait is for a condition, never for a time."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from tests.conftest import ROOT
from tests.demo.digit_network import save_digit, write_digit_checkpoint

pytestmark = pytest.mark.slow

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
MISSING = [name for name in ("gradio", "playwright") if find_spec(name) is None] + ["chromium"] * (CHROMIUM is None)
NAMES = ["0", "<img src=x onerror=document.title='run'>", "2", "三", "4", "5", "6", "7", "8", "9"]
SECONDS = 120


@pytest.fixture(scope="module", autouse=True)
def browser_is_installed():
    """Without a browser these tests are skipped with a reason; in continuous integration that is an error."""
    if MISSING:
        reason = f"THE PAGE IS NOT TESTED: {', '.join(MISSING)} missing; scripts/test.sh installs what it can"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def digits(folder):
    """Writes the checkpoint and images. The files of digits that it classifies correctly, by class."""
    chosen = write_digit_checkpoint(folder / "digits.ckpt", NAMES)
    (folder / "examples").mkdir()
    for label in (5, 7):
        save_digit(chosen[label], folder / "examples" / f"{label}.png")
    return [save_digit(index, folder / f"digit{label}.png") for label, index in enumerate(chosen)]


@pytest.fixture
def notes(folder):
    (folder / "notes.txt").write_text("no image")
    return folder / "notes.txt"


@pytest.fixture(scope="module")
def server(folder, digits):
    """The address of the page, and the process that serves it."""
    (folder / "tmp").mkdir()
    options = [
        "--ckpt",
        folder / "digits.ckpt",
        "--port",
        "0",
        "--max_upload_mb",
        "1",
        "--examples",
        folder / "examples",
    ]
    environment = {**os.environ, "TMPDIR": str(folder / "tmp"), "PYTHONPATH": str(ROOT), "no_proxy": ""}
    with open(folder / "errors.txt", "w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "mindvit", "demo", *map(str, options)],
            cwd=folder,
            env=environment | {"http_proxy": "http://127.0.0.1:9"},  # Nothing listens there.
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    lines = []
    for line in process.stdout:
        lines.append(line)
        if address := re.search(r"http://127\.0\.0\.1:\d+/", line):
            break
    else:
        pytest.fail("".join(lines) + (folder / "errors.txt").read_text())
    yield address[0], process
    process.kill()
    process.wait(SECONDS)


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        options = ["--no-sandbox"] if os.geteuid() == 0 else []
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield launched
        launched.close()


@pytest.fixture
def open_page(browser, server):
    """Opens the page in a language; returns it with the hosts of all its requests in ``page.hosts``."""
    contexts = []

    def open_one(locale="en-US", **options):
        contexts.append(browser.new_context(locale=locale, **options))
        page = contexts[-1].new_page()
        page.set_default_timeout(1000 * SECONDS)
        page.hosts = set()
        page.on("request", lambda request: page.hosts.add(urlsplit(request.url).netloc))
        page.goto(server[0])
        page.wait_for_selector("#upload input[type=file]", state="attached")
        return page

    yield open_one
    for context in contexts:
        context.close()


def upload(page, file):
    page.set_input_files("#upload input[type=file]", file)


def first_label(page):
    return page.locator("#labels [data-testid=label-output-value]")


def shown_pixels(page, element, folder):
    page.wait_for_function(f"document.querySelector('#{element} img')?.naturalWidth > 0")
    page.locator(f"#{element} img").screenshot(path=folder / f"{element}.png")
    return np.asarray(Image.open(folder / f"{element}.png").convert("RGB")).astype(float)


def test_an_uploaded_digit_gets_ranked_labels_and_a_map_of_attention(open_page, digits, folder, server):
    page = open_page()
    assert page.get_by_text("Drop an image into the box").is_visible()
    assert page.get_by_text("vit_mini_4_32, 10 classes").is_visible()
    upload(page, digits[3])
    first_label(page).get_by_text("三").wait_for()
    percents = [int(text.rstrip("%")) for text in page.locator("#labels .confidence").all_inner_texts()]
    assert len(percents) == 5 and percents[0] > 50
    assert percents == sorted(percents, reverse=True)
    seen, attention = (shown_pixels(page, element, folder) for element in ("seen", "attention"))
    assert np.ptp(seen, axis=2).max() == 0, "a gray image"
    assert np.ptp(attention, axis=2).max() > 50, "a map in colors"
    assert page.hosts == {urlsplit(server[0]).netloc}, "no request leaves the machine"
    assert not list((folder / "tmp").rglob("digit3.png")), "the upload is deleted"


def test_names_of_classes_and_files_are_text_and_the_page_works_after_a_refusal(open_page, digits, notes, folder):
    page = open_page()
    broken = folder / "<img src=x onerror=document.title=1>.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    upload(page, broken)
    page.get_by_text("This file cannot be classified").wait_for()
    assert re.search(r"onerror.*\.png is (not an image|corrupt)", page.get_by_role("alert").inner_text())
    assert not page.locator("#labels").is_visible()
    upload(page, notes)
    page.get_by_text("notes.txt is not an image, or its format is not one of JPEG, PNG").wait_for()
    upload(page, digits[1])
    first_label(page).get_by_text(NAMES[1]).wait_for()
    assert not page.get_by_role("alert").is_visible()
    assert page.title() == "mindvit: digits.ckpt", "no script has run"


def test_an_example_is_classified_by_a_click(open_page):
    page = open_page()
    page.locator("#examples button").nth(1).click()
    first_label(page).get_by_text("7").wait_for()


def test_the_page_is_in_chinese_where_the_browser_is(open_page, digits, notes):
    page = open_page("zh-CN", viewport={"width": 390, "height": 844}, color_scheme="dark")
    page.get_by_text("请将图像拖放到方框中").wait_for()
    upload(page, digits[3])
    first_label(page).get_by_text("三").wait_for()
    assert page.get_by_text("网络看到的区域").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing is cut off on a phone"
    upload(page, notes)
    page.get_by_text("无法对此文件进行分类").wait_for()


def test_a_file_above_the_limit_is_refused_by_page_and_server(open_page, folder, server):
    page = open_page()
    large = folder / "large.bmp"
    Image.new("RGB", (800, 600)).save(large)
    upload(page, large)
    page.get_by_text(re.compile("exceed the maximum allowed size of 1.0 Mb")).wait_for()
    content = {"name": "large.bmp", "mimeType": "image/bmp", "buffer": large.read_bytes()}
    answer = page.request.post(f"{server[0]}gradio_api/upload", multipart={"files": content})
    assert answer.status == 413
    assert not list((folder / "tmp").rglob("large*"))


@pytest.mark.parametrize("place", ["file", "address"])
def test_a_request_cannot_name_a_file_of_the_server_or_an_address(open_page, digits, server, place):
    page = open_page()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        path = str(digits[3]) if place == "file" else f"http://127.0.0.1:{listener.getsockname()[1]}/digit.png"
        payload = {"path": path, "meta": {"_type": "gradio.FileData"}}
        body = {"data": [payload], "fn_index": 0, "session_hash": place}
        assert page.request.post(f"{server[0]}gradio_api/queue/join", data=body).ok
        events = page.request.get(f"{server[0]}gradio_api/queue/data?session_hash={place}").text()
        assert '"success":false' in events and "三" not in events
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert digits[3].exists()


def test_a_stop_ends_the_server_and_removes_its_files(server, folder):
    _, process = server
    before = (folder / "errors.txt").read_text()  # Gradio prints why it refused the requests of the test above.
    process.send_signal(signal.SIGTERM)
    assert process.wait(SECONDS) == 130
    assert (folder / "errors.txt").read_text().removeprefix(before) == "stopped by SIGTERM\n"
    assert list(Path(folder / "tmp").glob("mindvit-demo-*")) == []

"""The documentation: links and anchors hold, both READMEs say the same, and the site builds."""

import ast
import json
import posixpath
import re
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import nbformat
import pytest

from tests.conftest import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("docs/*.ipynb"), *ROOT.glob("*/README.md")])
FENCED = re.compile(r"^( *)```.*?^\1```$", re.MULTILINE | re.DOTALL)
# What must be equal in all languages. A number is compared without the text around it.
CODE_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE_CODE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^()\s]+)\)")
NUMBER = re.compile(r"(?<![\w.])\d[\d,.]*\d|(?<![\w.])\d")


@cache
def read(path):
    """The text of a file; of a notebook, its cells without outputs, as Markdown."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return text
    cells = nbformat.reads(text, as_version=4).cells
    return "\n\n".join(f"```python\n{c.source}\n```" if c.cell_type == "code" else c.source for c in cells)


def prose(text):
    return FENCED.sub("", text)


def anchors(path):
    """The anchors of a page, as GitHub and the site make them of its headings, and those that it sets itself."""
    found, counts = set(re.findall(r'<a id="([^"]+)"></a>', read(path))), Counter()
    for heading in re.findall(r"^#+ (.+)$", prose(read(path)), re.MULTILINE):
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").strip().lower()
        slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        found.add(f"{slug}_{counts[slug]}" if counts[slug] else slug)
        counts[slug] += 1
    return found


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_and_anchors_exist(path):
    for target in LINK.findall(prose(read(path))):
        if re.match(r"https?://", target):
            continue
        name, _, anchor = target.partition("#")
        file = path if not name else ROOT / posixpath.normpath((path.parent / name).relative_to(ROOT).as_posix())
        assert file.exists(), f"{target} does not exist"
        if anchor:
            # In the Chinese site, the link leads to the translation.
            for page in filter(Path.exists, (file, file.with_suffix(".zh.md"))):
                assert anchor in anchors(page), f"{page} has no heading {anchor!r}; it has {sorted(anchors(page))}"


def shape(text):
    """Level of each heading, and number of rows and columns of each table, in order."""
    headings = [len(mark) for mark in re.findall(r"^(#+) ", prose(text), re.MULTILINE)]
    tables = re.findall(r"(?:^\|.*\|\n)+", prose(text), re.MULTILINE)
    return headings, [(len(rows := table.splitlines()), rows[0].count("|")) for table in tables]


def without_language(target):
    """A link target without the parts that differ between languages: suffix of the file, text of the anchor."""
    name, mark, _ = target.partition("#")
    return re.sub(r"\.zh\.(md|ipynb)$", r".\1", name) + mark


TRANSLATIONS = [("README.md", "README_CN.md")] + [
    (path.relative_to(ROOT).as_posix().replace(".zh.", "."), path.relative_to(ROOT).as_posix())
    for path in sorted([*ROOT.glob("docs/*.zh.md"), *ROOT.glob("docs/*.zh.ipynb")])
]


@pytest.mark.parametrize(("name", "translated"), TRANSLATIONS, ids=[name for _, name in TRANSLATIONS])
def test_a_translation_says_the_same(name, translated):
    english, chinese = read(ROOT / name), read(ROOT / translated)
    assert CODE_BLOCK.findall(chinese) == CODE_BLOCK.findall(english)
    assert shape(chinese) == shape(english)
    english, chinese = prose(english), prose(chinese)
    assert set(INLINE_CODE.findall(chinese)) == set(INLINE_CODE.findall(english))
    targets = [Counter(map(without_language, LINK.findall(text))) for text in (chinese, english)]
    assert targets[0] == targets[1]
    numbers = [Counter(NUMBER.findall(INLINE_CODE.sub("", LINK.sub("", text)))) for text in (chinese, english)]
    assert numbers[0] == numbers[1], f"only in one of them: {numbers[0] - numbers[1]}, {numbers[1] - numbers[0]}"
    assert re.search(r"[\u4e00-\u9fff]{10}", chinese)


@pytest.mark.parametrize("path", [ROOT / name for _, name in TRANSLATIONS], ids=lambda path: path.name)
def test_chinese_pages_link_to_chinese_pages(path):
    for target in LINK.findall(prose(read(path))):
        name = target.partition("#")[0]
        if name.endswith((".md", ".ipynb")) and ".zh." not in name:
            translated = path.parent / re.sub(r"\.(md|ipynb)$", r".zh.\1", name)
            assert not translated.exists(), f"{name} has a translation"


def test_images_are_shown_and_small():
    shown = {
        posixpath.normpath((path.parent / target).relative_to(ROOT).as_posix())
        for path in PAGES
        for target in LINK.findall(prose(read(path)))
    } | {"docs/images/favicon.png"}
    for image in ROOT.glob("docs/images/*"):
        assert image.relative_to(ROOT).as_posix() in shown, f"no page shows {image}"
        assert image.stat().st_size < 300_000, f"{image} is too large"


def test_the_reference_of_the_python_api_is_complete():
    import mindvit

    listed = re.findall(r"^::: mindvit\.(\w+)$", read(ROOT / "docs/api.md"), re.MULTILINE)
    assert sorted(listed) == sorted(mindvit.__all__)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.slow
def test_the_site_has_every_page_in_both_languages(site):
    names = {path.name for path in site.glob("*.html")}
    assert {"index.html", "tutorial.html", "recipes.html", "troubleshooting.html", "api.html"} <= names
    assert names - {"404.html"} == {path.name for path in (site / "zh").glob("*.html")}
    assert "\u4e00" <= re.search(r"<h2[^>]*>(.*?)</h2>", read(site / "zh/index.html"))[1][0] <= "\u9fff"


@pytest.mark.slow
def test_the_site_loads_nothing_from_elsewhere(site):
    for page in site.rglob("*.html"):
        loaded = re.findall(r'<(?:script|img|iframe|source)[^>]*src="([^"]+)"', read(page))
        loaded += re.findall(r'<link(?![^>]*rel="(?:canonical|alternate)")[^>]*href="([^"]+)"', read(page))
        assert not [target for target in loaded if re.match(r"(https?:)?//", target)], page


@pytest.mark.slow
def test_chinese_text_is_found_by_words(site):
    entries = json.loads(read(site / "search/search_index.json"))["docs"]
    assert any("\u200b微调\u200b" in entry["text"] for entry in entries), "jieba divides Chinese text"


@pytest.mark.slow
def test_the_reference_shows_docstrings(site):
    text = re.sub(r"<[^>]+>", "", read(site / "api.html"))
    for words in ("create_model", "num_classes", "Returns:", "Raises:"):
        assert words in text


def template(node):
    """The text of a message in the code, with … for what is filled in; None if the node is no text."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
    return None


@cache
def messages():
    nodes = [node for path in ROOT.glob("mindvit/**/*.py") for node in ast.walk(ast.parse(read(path)))]
    docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    return {text for node in nodes if id(node) not in docstrings and (text := template(node))}


TROUBLESHOOTING = read(ROOT / "docs/troubleshooting.md")
OF_OTHER_PACKAGES = TROUBLESHOOTING.partition("Messages of other packages:")[2].partition("\n## ")[0]
QUOTED = [
    message
    for message in re.findall(r"^\| `([^`]+)` \|", TROUBLESHOOTING, re.MULTILINE)
    if f"`{message}`" not in OF_OTHER_PACKAGES
]


@pytest.mark.parametrize("message", QUOTED)
def test_messages_in_troubleshooting_are_messages_of_the_code(message):
    pattern = ".*".join(map(re.escape, message.split("…")))
    assert any(re.search(pattern, text) for text in messages()), "no text in mindvit/ has this message"


def test_troubleshooting_explains_many_messages():
    assert len(QUOTED) == len(set(QUOTED)) >= 40

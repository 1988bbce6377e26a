"""A hook of MkDocs (mkdocs.yml): pages of the site that are files elsewhere, such as README, recipes and notebooks."""

import base64
import posixpath
import re
from pathlib import Path

import nbformat
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent

PAGES = {
    "index.md": "README.md",
    "index.zh.md": "README_CN.md",
    "tutorial.md": "docs/tutorial.ipynb",
    "tutorial.zh.md": "docs/tutorial.zh.ipynb",
    "recipes.md": "configs/README.md",
    "contributing.md": "CONTRIBUTING.md",
    "security.md": "SECURITY.md",
    "changelog.md": "CHANGELOG.md",
}
"""Page of the site -> file of the project."""

_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+)\)")
_LANGUAGES = re.compile(r"^\[English\]\(.*\n+", re.MULTILINE)


# Before the plugin i18n, which makes a tree of files for each language.
@event_priority(100)
def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages."""
    for page in PAGES:
        if files.get_file_from_path(page) is None:
            files.append(File(page, config.docs_dir, config.site_dir, config.use_directory_urls))
    return files


def on_page_read_source(page: Page, config: MkDocsConfig) -> str | None:
    """Reads a page from the file that it is."""
    source = PAGES.get(page.file.src_uri)
    if source is None:
        return None
    text = (ROOT / source).read_text(encoding="utf-8")
    return notebook_page(text, posixpath.basename(source)) if source.endswith(".ipynb") else text


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lets the links of a page, which hold in the repository, hold in the site."""
    name = page.file.src_uri
    source = PAGES.get(name, f"docs/{name}")
    # The site has its own choice of languages.
    return site_links(_LANGUAGES.sub("", markdown), source)


def site_links(markdown: str, source: str) -> str:
    """Rewrites the links of a file for the site. A link to a file that the site lacks becomes its text.

    Args:
        markdown: the text of the file.
        source: its path in the repository.
    """
    pages = {file: page for page, file in PAGES.items()}

    def rewrite(link: re.Match) -> str:
        image, text, target = link.groups()
        path, mark, anchor = target.partition("#")
        if not path or re.match(r"[a-z]+:", path):
            return link[0]
        file = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        if file.endswith(".ipynb"):
            found = file.removeprefix("docs/")  # The notebook itself, to be downloaded.
        elif file in pages:
            found = pages[file]
        elif file.startswith("docs/"):
            found = file.removeprefix("docs/")
        else:
            return text
        return f"{image}[{text}]({found}{mark}{anchor})"

    parts = re.split(r"(^```.*?^```$)", markdown, flags=re.MULTILINE | re.DOTALL)
    return "".join(part if part.startswith("```") else _LINK.sub(rewrite, part) for part in parts)


def notebook_page(text: str, name: str) -> str:
    """Turns a notebook into a page: its text, its code, and the outputs that are stored in it.

    Args:
        text: content of the file.
        name: name of the file, for a link to it.
    """
    parts = []
    for cell in nbformat.reads(text, as_version=4).cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source)
            continue
        parts.append(f"```python\n{cell.source}\n```")
        parts += [_output(output) for output in cell.outputs]
    parts.insert(1, f"[{name}]({name})")
    return "\n\n".join(part for part in parts if part) + "\n"


def _output(output: nbformat.NotebookNode) -> str:
    if output.output_type == "stream":
        return _fenced(output.text)
    data = output.get("data", {})
    if "image/png" in data:
        image = base64.b64encode(base64.b64decode(data["image/png"])).decode()
        return f'<img alt="" src="data:image/png;base64,{image}">'
    return _fenced(data["text/plain"]) if "text/plain" in data else ""


def _fenced(text: str) -> str:
    return f"```{{ .text .no-copy }}\n{text.rstrip()}\n```"

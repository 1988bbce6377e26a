"""The page: an upload, ranked classes, attention, and examples."""

import html
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from mindvit.demo.image_classifier import Answer, ImageClassifier
from mindvit.demo.page_texts import PREFIX, translations
from mindvit.errors import UserError
from mindvit.printable import printable

_THUMBNAIL = 256  # Pixels.
_CACHE_SECONDS = 900
"""Age at which images that the page has shown are deleted."""
# Fonts of the system: the themes of Gradio load theirs from Google.
_FONTS = ("system-ui", "-apple-system", "Segoe UI", "Noto Sans CJK SC", "Microsoft YaHei", "PingFang SC", "sans-serif")
_CSS = """
#refusal { border: 1px solid #dc2626; border-radius: 8px; padding: 10px 14px; overflow-wrap: anywhere; }
.heading { font-weight: 600; }
#title, #title > *, #headline + div, #headline + div > * { padding-left: 0 !important; margin-left: 0 !important; }
#seen img, #attention img { width: 100%; max-height: 60vh; object-fit: contain; }
#examples .grid-wrap { height: auto; max-height: none; min-height: 0; }
#examples .grid-container { grid-template-columns: repeat(auto-fill, minmax(88px, 1fr)); }
#examples button { cursor: pointer; }
"""
_MAX_MESSAGE = 500  # Characters.
_MAX_WAITING = 64  # Requests.
_TEXTS = gr.I18n(**translations())


def _text(key: str) -> str:
    return _TEXTS(PREFIX + key)


def _refuse_addresses(component: gr.File) -> None:
    """Lets a component take uploaded files alone. Gradio would also download what an address in a request names."""
    take = component.async_move_resource_to_block_cache

    async def take_upload(path: str | Path | None) -> str | None:
        # A class derived from gr.File cannot be used: Gradio writes a .pyi file beside the module of each.
        if "://" in str(path):
            raise gr.Error("an address is no upload")
        return await take(path)

    component.async_move_resource_to_block_cache = take_upload


def make_page(classifier: ImageClassifier, title: str, description: str, examples: Sequence[Image.Image]) -> gr.Blocks:
    """Creates the page.

    Args:
        classifier: what classifies the images.
        title: name of the checkpoint.
        description: what it is, in one line.
        examples: images in RGB.
    """

    def refuse(headline: str, detail: str = "") -> list[Any]:
        # The detail contains the name of a file, and becomes HTML.
        shown = f"<div role='alert' id='refusal'>{html.escape(detail)}</div>" if detail else ""
        hidden = gr.update(visible=False)
        return [gr.update(visible=True), _text(headline), shown, hidden, None, hidden, None, None]

    def answer(classify: Callable[[], Answer]) -> list[Any]:
        try:
            found = classify()
        except UserError as error:
            return refuse("refused", printable(str(error), _MAX_MESSAGE))
        except Exception:
            traceback.print_exc()
            return refuse("failed")
        shown = gr.update(visible=True)
        return [gr.update(visible=False), "", "", shown, found.seen, shown, found.probabilities, found.attention]

    def classify_upload(path: str | None) -> list[Any]:
        if path is None:
            return [gr.update()] * 9
        uploaded = Path(path)
        try:
            with open(uploaded, "rb") as file:
                found = answer(lambda: classifier.classify_file(file, uploaded.name))
        finally:
            uploaded.unlink(missing_ok=True)
        return [None, *found]

    def classify_example(event: gr.SelectData) -> list[Any]:
        if not isinstance(event.index, int) or not 0 <= event.index < len(examples):
            return [gr.update()] * 8
        return answer(lambda: classifier.classify(examples[event.index]))

    with gr.Blocks(title=f"mindvit: {title}", analytics_enabled=False, delete_cache=(60, _CACHE_SECONDS)) as page:
        gr.HTML(f"<h1>{html.escape(title)}</h1><p>{html.escape(description)}</p>", padding=False, elem_id="title")
        gr.Markdown(_text("intro"))
        with gr.Row():
            with gr.Column():
                upload = gr.File(label=_text("upload"), file_count="single", height=160, elem_id="upload")
                _refuse_addresses(upload)
                with gr.Column(visible=False) as left:
                    gr.Markdown(_text("seen"), elem_classes="heading")
                    seen = gr.Image(show_label=False, interactive=False, buttons=[], elem_id="seen")
            with gr.Column():
                with gr.Column(visible=False) as refusal:
                    headline = gr.Markdown(elem_id="headline")
                    detail = gr.HTML(padding=False)
                with gr.Column(visible=False) as right:
                    labels = gr.Label(label=_text("classes"), elem_id="labels")
                    gr.Markdown(_text("attention"), elem_classes="heading")
                    attention = gr.Image(show_label=False, interactive=False, buttons=["download"], elem_id="attention")
                    gr.Markdown(_text("attention_help"))
        results = [refusal, headline, detail, left, seen, right, labels, attention]
        # One request at a time: there is one network.
        options = {"concurrency_limit": 1, "concurrency_id": "network", "api_visibility": "private"}
        upload.upload(classify_upload, upload, [upload, *results], show_progress_on=upload, **options)
        if examples:
            gr.Markdown(_text("examples"), elem_classes="heading")
            gallery = gr.Gallery(
                [_thumbnail(image) for image in examples],
                show_label=False,
                columns=10,
                height="auto",
                object_fit="contain",
                allow_preview=False,
                interactive=False,
                buttons=[],
                elem_id="examples",
            )
            gallery.select(classify_example, None, results, show_progress_on=upload, **options)
    return page


def serve(page: gr.Blocks, host: str, port: int, max_upload_mb: float) -> str:
    """Starts to serve the page, in a thread of its own.

    Args:
        page: the page.
        host: address to listen on.
        port: port to listen on.
        max_upload_mb: greatest size of an upload, in MB (2^20 bytes).

    Returns:
        The address of the page.
    """
    theme = gr.themes.Default(font=_FONTS, font_mono=("monospace",))
    page.queue(default_concurrency_limit=1, max_size=_MAX_WAITING, api_open=False)
    _, address, _ = page.launch(
        server_name=host,
        server_port=port,
        share=False,
        inbrowser=False,
        prevent_thread_lock=True,
        quiet=True,
        show_error=False,
        max_file_size=round(max_upload_mb * 2**20),
        enable_monitoring=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        footer_links=["settings"],
        run_history=False,
        theme=theme,
        css=_CSS,
        i18n=_TEXTS,
    )
    return address


def _thumbnail(image: Image.Image) -> Image.Image:
    factor = _THUMBNAIL / max(image.size)
    method = Image.Resampling.NEAREST if factor > 4 else Image.Resampling.BICUBIC
    return image.resize(tuple(max(round(side * factor), 1) for side in image.size), method)

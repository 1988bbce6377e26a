import asyncio
import socket

import gradio as gr
import pytest

from mindvit.demo import gradio_page
from mindvit.demo.page_texts import CHINESE, ENGLISH, PREFIX, translations
from tests.conftest import ROOT


def make():
    return gradio_page.make_page(None, "a<b>.ckpt", "vit, <i>2</i> classes", [])


def component(page, kind):
    return next(block for block in page.blocks.values() if isinstance(block, kind))


def test_an_address_in_a_request_is_not_downloaded():
    """A listening socket would see a connection."""
    upload = component(make(), gr.File)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/cat.png"
        with pytest.raises(gr.Error, match="an address is no upload"):
            asyncio.run(upload.async_move_resource_to_block_cache(address))
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_the_name_of_the_checkpoint_is_text():
    title = component(make(), gr.HTML).value
    assert "a&lt;b&gt;.ckpt" in title and "&lt;i&gt;2&lt;/i&gt;" in title


def test_nothing_is_measured_shared_or_fetched():
    page = make()
    assert page.analytics_enabled is False
    assert page.delete_cache == (60, 900)
    assert not (ROOT / "mindvit/demo/gradio_page.pyi").exists(), "Gradio writes beside the module"


def test_both_languages_have_the_same_texts_and_the_page_uses_them_all():
    assert ENGLISH.keys() == CHINESE.keys()
    source = (ROOT / "mindvit/demo/gradio_page.py").read_text()
    assert all(f'"{key}"' in source for key in ENGLISH)
    texts = translations()
    assert texts["zh-CN"] == texts["zh"] == {PREFIX + key: text for key, text in CHINESE.items()}
    assert all(any("\u4e00" <= char <= "\u9fff" for char in text) for text in CHINESE.values())


@pytest.mark.parametrize("error", [RuntimeError("a bug"), MemoryError()])
def test_an_unforeseen_error_shows_a_sentence_and_its_cause_on_the_console(error, tmp_path, capsys):
    class Broken:
        def classify_file(self, file, name):
            raise error

    page = gradio_page.make_page(Broken(), "a.ckpt", "", [])
    image = tmp_path / "image.png"
    image.write_bytes(b"")
    (handler,) = (event.fn for event in page.fns.values())
    outputs = handler(str(image))
    assert PREFIX + "failed" in str(outputs[2])
    assert type(error).__name__ in capsys.readouterr().err
    assert not image.exists(), "the upload is deleted in any case"

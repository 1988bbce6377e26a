import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mindvit.download import PublishedFile, download_archive, download_file
from mindvit.errors import UserError


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture
def web(tmp_path):
    """Serves a folder over HTTP. Yields a function that writes a file to it and returns a ``PublishedFile``."""
    root = tmp_path / "web"
    root.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(root)))
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def publish(name, content, num_bytes=None):
        (root / name).write_bytes(content)
        limits = num_bytes or (len(content), len(content))
        return PublishedFile(f"http://127.0.0.1:{server.server_port}/{name}", "5 MB", limits)

    yield publish
    server.shutdown()
    server.server_close()


def accept(path):
    assert path.stat().st_size > 0


def test_a_file_is_downloaded(web, tmp_path):
    download_file(web("a.ckpt", b"content"), tmp_path / "target/a.ckpt", accept)
    assert (tmp_path / "target/a.ckpt").read_bytes() == b"content"


def is_missing_or_empty(folder):
    return not folder.exists() or not list(folder.iterdir())


def test_a_file_of_another_size_is_not_kept(web, tmp_path):
    with pytest.raises(UserError, match="has 7 bytes, not 5 MB"):
        download_file(web("a.ckpt", b"content", (100, 200)), tmp_path / "target/a.ckpt", accept)
    assert is_missing_or_empty(tmp_path / "target")


def test_a_file_that_fails_its_check_is_not_kept(web, tmp_path):
    def refuse(path):
        raise ValueError("tensor missing")

    with pytest.raises(UserError, match="corrupt: tensor missing"):
        download_file(web("a.ckpt", b"content"), tmp_path / "target/a.ckpt", refuse)
    assert is_missing_or_empty(tmp_path / "target")


def test_an_unavailable_url_is_reported_with_advice(web, tmp_path):
    gone = PublishedFile(web("a", b"x").url + "bc", "5 MB", (1, 10))
    with pytest.raises(UserError, match="Download it by other means and put it at"):
        download_file(gone, tmp_path / "target/a.ckpt", accept)
    assert is_missing_or_empty(tmp_path / "target")


def make_zip(path, names, corrupt=False):
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "image " * 100)
    content = bytearray(path.read_bytes())
    if corrupt:
        content[200] ^= 255
    return bytes(content)


@pytest.mark.parametrize("top", ["", "dataset/"])
def test_an_archive_is_extracted_with_or_without_a_top_level_folder(web, tmp_path, top):
    content = make_zip(tmp_path / "z", [f"{top}train/a/1.png", f"{top}val/a/1.png"])
    download_archive(web("d.zip", content), tmp_path / "target/dataset")
    assert (tmp_path / "target/dataset/train/a/1.png").is_file()
    assert [path.name for path in (tmp_path / "target").iterdir()] == ["dataset"]


def test_a_corrupt_archive_is_not_extracted(web, tmp_path):
    content = make_zip(tmp_path / "z", ["train/a/1.png"], corrupt=True)
    with pytest.raises(UserError, match="corrupt"):
        download_archive(web("d.zip", content), tmp_path / "target/dataset")
    assert is_missing_or_empty(tmp_path / "target")

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
    """Serves a folder on this machine. Yields a function that writes a file there and returns its address."""
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


def test_a_file_is_fetched(web, tmp_path):
    download_file(web("a.ckpt", b"content"), tmp_path / "kept/a.ckpt", accept)
    assert (tmp_path / "kept/a.ckpt").read_bytes() == b"content"


def leaves_nothing(folder):
    return not folder.exists() or not list(folder.iterdir())


def test_a_file_of_another_size_is_not_kept(web, tmp_path):
    with pytest.raises(UserError, match="sent 7 bytes, not 5 MB"):
        download_file(web("a.ckpt", b"content", (100, 200)), tmp_path / "kept/a.ckpt", accept)
    assert leaves_nothing(tmp_path / "kept")


def test_a_file_that_fails_its_check_is_not_kept(web, tmp_path):
    def refuse(path):
        raise ValueError("tensor missing")

    with pytest.raises(UserError, match="damaged: tensor missing"):
        download_file(web("a.ckpt", b"content"), tmp_path / "kept/a.ckpt", refuse)
    assert leaves_nothing(tmp_path / "kept")


def test_an_address_that_does_not_answer_says_what_to_do(web, tmp_path):
    gone = PublishedFile(web("a", b"x").url + "bc", "5 MB", (1, 10))
    with pytest.raises(UserError, match="Fetch it by other means and put it at"):
        download_file(gone, tmp_path / "kept/a.ckpt", accept)
    assert leaves_nothing(tmp_path / "kept")


def make_zip(path, names, damage=False):
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "image " * 100)
    content = bytearray(path.read_bytes())
    if damage:
        content[200] ^= 255
    return bytes(content)


@pytest.mark.parametrize("top", ["", "dataset/"])
def test_an_archive_is_unpacked_with_or_without_its_single_folder(web, tmp_path, top):
    content = make_zip(tmp_path / "z", [f"{top}train/a/1.png", f"{top}val/a/1.png"])
    download_archive(web("d.zip", content), tmp_path / "kept/dataset")
    assert (tmp_path / "kept/dataset/train/a/1.png").is_file()
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["dataset"]


def test_a_damaged_archive_is_not_unpacked(web, tmp_path):
    content = make_zip(tmp_path / "z", ["train/a/1.png"], damage=True)
    with pytest.raises(UserError, match="damaged"):
        download_archive(web("d.zip", content), tmp_path / "kept/dataset")
    assert leaves_nothing(tmp_path / "kept")

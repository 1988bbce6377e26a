import fcntl
import http.client
import json
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mindvit.download import http_stream
from mindvit.download.published import PublishedFile, download_archive, download_file
from mindvit.errors import UserError


class Server(ThreadingHTTPServer):
    """Serves files from memory, and misbehaves as it is told."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {}
        self.etags = {}
        self.ranges = []
        """The range of each request."""
        self.action = lambda handler, content: handler.wfile.write(content)
        """Sends the content."""
        self.head = {}
        """More header lines."""
        self.states_size = True
        self.stopped = threading.Event()


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *arguments):
        pass

    def do_GET(self):
        server = self.server
        content, etag = server.files.get(self.path), server.etags.get(self.path)
        wanted = self.headers.get("Range")
        server.ranges.append(wanted)
        if content is None:
            self.send_error(404)
            return
        first = int(wanted[len("bytes=") : -1]) if wanted and self.headers.get("If-Range") == etag else 0
        if first >= len(content) > 0:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.end_headers()
            return
        self.send_response(206 if first else server.head.get("status", 200))
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        if server.states_size:
            self.send_header("Content-Length", str(len(content) - first))
        if etag:
            self.send_header("ETag", etag)
        if "Location" in server.head:
            self.send_header("Location", server.head["Location"])
        self.end_headers()
        try:
            server.action(self, content[first:])
        except ConnectionError:
            server.stopped.set()


@pytest.fixture
def server():
    running = Server()
    threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
    yield running
    running.stopped.set()
    running.shutdown()
    running.server_close()


@pytest.fixture
def web(server):
    """Publishes a file: a function that returns a ``PublishedFile``."""

    def publish(name, content, num_bytes=None, etag='"1"'):
        server.files[f"/{name}"], server.etags[f"/{name}"] = content, etag
        limits = num_bytes or (len(content), len(content))
        return PublishedFile(f"http://127.0.0.1:{server.server_port}/{name}", "5 MB", limits)

    return publish


def breaking_off_after(num_bytes):
    def send(handler, content):
        handler.wfile.write(content[:num_bytes])
        handler.wfile.flush()
        handler.connection.close()

    return send


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


CONTENT = bytes(range(256)) * 20


def test_a_download_that_breaks_off_is_resumed(server, web, tmp_path):
    published, path = web("a.ckpt", CONTENT), tmp_path / "target/a.ckpt"
    normal, server.action = server.action, breaking_off_after(1000)
    with pytest.raises(UserError, match=r"the connection ended after 1,000 of 5,120 bytes\. 1,000 bytes are kept, and"):
        download_file(published, path, accept)
    assert not path.exists()
    server.action = normal
    download_file(published, path, accept)
    assert path.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=1000-"]
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("change", ["another file", "no ETag", "weak ETag", "another address", "ignored If-Range"])
def test_what_cannot_be_resumed_is_downloaded_from_its_start(server, web, tmp_path, monkeypatch, change):
    etag = {"no ETag": None, "weak ETag": 'W/"1"'}.get(change, '"1"')
    published, path = web("a.ckpt", CONTENT, etag=etag), tmp_path / "target/a.ckpt"
    normal, server.action = server.action, breaking_off_after(1000)
    with pytest.raises(UserError, match="the connection ended after"):
        download_file(published, path, accept)
    server.action = normal
    content = CONTENT[::-1] if "If-Range" in change or change == "another file" else CONTENT
    name = "b.ckpt" if change == "another address" else "a.ckpt"
    published = web(name, content, etag='"2"' if content != CONTENT else etag)
    if change == "ignored If-Range":
        monkeypatch.setattr(http_stream, "_open", ignoring_if_range(http_stream._open, '"2"'))
    download_file(published, path, accept)
    assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


def ignoring_if_range(original, etag):
    return lambda url, headers: original(url, {**headers, "If-Range": etag} if headers else {})


def test_a_download_that_was_killed_before_its_check_is_only_checked(server, web, tmp_path):
    published, path = web("a.ckpt", CONTENT), tmp_path / "a.ckpt"
    (tmp_path / "a.part.ckpt").write_bytes(CONTENT)
    (tmp_path / "a.part.ckpt.json").write_text(json.dumps({"url": published.url, "validator": '"1"'}))
    download_file(published, path, accept)
    assert path.read_bytes() == CONTENT
    assert server.ranges == ["bytes=5120-"], "no byte is received twice"


def test_a_partial_file_that_is_longer_than_the_published_one_is_replaced(server, web, tmp_path):
    published, path = web("a.ckpt", CONTENT), tmp_path / "a.ckpt"
    (tmp_path / "a.part.ckpt").write_bytes(CONTENT * 2)
    (tmp_path / "a.part.ckpt.json").write_text(json.dumps({"url": published.url, "validator": '"1"'}))
    download_file(published, path, accept)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("about", ["", "[]", "{}", '{"url": 1, "validator": 2}', "nonsense"])
def test_a_partial_file_of_unknown_origin_is_replaced(web, tmp_path, about):
    (tmp_path / "a.part.ckpt").write_bytes(b"something else")
    (tmp_path / "a.part.ckpt.json").write_text(about)
    download_file(web("a.ckpt", CONTENT), tmp_path / "a.ckpt", accept)
    assert (tmp_path / "a.ckpt").read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["a.ckpt"]


def test_two_processes_that_download_the_same_file_do_not_mix_their_bytes(web, tmp_path):
    published = web("a.ckpt", CONTENT)
    with open(tmp_path / "a.part.ckpt", "wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        download_file(published, tmp_path / "a.ckpt", accept)
        assert (tmp_path / "a.part.ckpt").stat().st_size == 0, "the file of the other process"
    assert (tmp_path / "a.ckpt").read_bytes() == CONTENT


@pytest.mark.parametrize("moment", ["connecting", "header", "content"])
def test_a_server_that_stalls_is_given_up(server, web, tmp_path, monkeypatch, moment):
    monkeypatch.setattr(http_stream, "_STALL_SECONDS", 0.2)
    published = web("a.ckpt", CONTENT)
    if moment == "connecting":
        monkeypatch.setattr(http_stream, "_open", lambda *_: server.stopped.wait(5))
    elif moment == "header":
        monkeypatch.setattr(Handler, "do_GET", lambda handler: trickle(handler, b"HTTP/1.1 200 OK\r\nX: " + bytes(99)))
    else:
        server.action = lambda handler, content: (handler.wfile.write(content[:100]), server.stopped.wait(5))
    started = time.monotonic()
    with pytest.raises(UserError, match=r"the server sent nothing for 0\.2 s"):
        download_file(published, tmp_path / "a.ckpt", accept)
    assert time.monotonic() - started < 2


def trickle(handler, content):
    for index in range(len(content)):
        if handler.server.stopped.wait(0.05):
            return
        handler.wfile.write(content[index : index + 1])
        handler.wfile.flush()


def test_a_server_that_trickles_is_given_up(server, web, tmp_path, monkeypatch):
    monkeypatch.setattr(http_stream, "_SLOW_SECONDS", 0.3)
    server.action = trickle
    with pytest.raises(UserError, match=r"the server sent only \d+ bytes in 0\.3 s\. \d+ bytes are kept"):
        download_file(web("a.ckpt", CONTENT), tmp_path / "a.ckpt", accept)


def test_a_server_without_end_is_given_up_at_the_published_size(server, web, tmp_path):
    def without_end(handler, content):
        while not server.stopped.is_set():
            handler.wfile.write(content)

    server.action, server.states_size = without_end, False
    with pytest.raises(UserError, match="bytes, not 5 MB"):
        download_file(web("a.ckpt", CONTENT), tmp_path / "target/a.ckpt", accept)
    assert is_missing_or_empty(tmp_path / "target")


@pytest.mark.parametrize("place", ["file:///etc/passwd", "ftp://127.0.0.1/a", "data:,hello"])
def test_a_redirect_leads_to_no_other_protocol(server, web, tmp_path, place):
    server.head = {"status": 302, "Location": place}
    with pytest.raises(UserError, match="cannot download"):
        download_file(web("a.ckpt", CONTENT), tmp_path / "target/a.ckpt", accept)
    assert is_missing_or_empty(tmp_path / "target")


def test_https_is_not_redirected_to_http():
    request = http_stream.urllib.request.Request("https://example.org/a")
    with pytest.raises(http_stream.HTTPError, match="from HTTPS to another protocol"):
        http_stream._Redirects().redirect_request(
            request, None, 302, "Found", http.client.HTTPMessage(), "http://example.org/a"
        )


def test_a_full_disk_is_reported(web, tmp_path):
    (tmp_path / "a.part.ckpt").symlink_to("/dev/full")
    with pytest.raises(UserError, match=r"cannot write .*a\.ckpt: "):
        download_file(web("a.ckpt", CONTENT), tmp_path / "a.ckpt", accept)


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


def test_an_archive_that_is_beside_the_folder_is_used_and_kept(web, tmp_path):
    published = web("d.zip", make_zip(tmp_path / "d.zip", ["train/a/1.png", "val/a/1.png"]))
    download_archive(PublishedFile("http://127.0.0.1:1/d.zip", "5 MB", published.num_bytes), tmp_path / "dataset")
    assert (tmp_path / "dataset/train/a/1.png").is_file()
    assert (tmp_path / "d.zip").is_file()


def test_an_archive_beside_the_folder_that_is_no_archive_is_refused(web, tmp_path):
    (tmp_path / "d.zip").write_bytes(b"hello")
    with pytest.raises(UserError, match=r"d\.zip is corrupt: it is not an intact zip archive.*; remove it"):
        download_archive(web("d.zip", b"content"), tmp_path / "dataset")
    assert not (tmp_path / "dataset").exists()


def test_an_archive_with_a_file_outside_its_folder_writes_nothing(web, tmp_path):
    content = make_zip(tmp_path / "z", ["train/a/1.png", "../../outside.png"])
    with pytest.raises(UserError, match=r"is corrupt: it has a file outside its folder, \.\./\.\./outside\.png"):
        download_archive(web("d.zip", content), tmp_path / "target/dataset")
    assert is_missing_or_empty(tmp_path / "target")
    assert not (tmp_path / "outside.png").exists()


def test_an_archive_is_not_extracted_over_a_file(web, tmp_path):
    (tmp_path / "dataset").write_text("mine")
    content = make_zip(tmp_path / "z", ["train/a/1.png"])
    with pytest.raises(UserError, match=r"cannot extract .*d\.zip to .*dataset: "):
        download_archive(web("d.zip", content), tmp_path / "dataset")
    assert (tmp_path / "dataset").read_text() == "mine"

"""Receiving a file over HTTP with time limits."""

import queue
import re
import threading
import time
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPResponse
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from mindvit.printable import printable

_STALL_SECONDS = 30.0
"""A transfer fails if the server sends nothing for this time."""
_SLOW_SECONDS, _SLOW_BYTES = 60.0, 2**16
"""A transfer fails if it receives fewer bytes than this in this time."""
_CHUNK_BYTES = 2**16
_PARTIAL_CONTENT, _RANGE_NOT_SATISFIABLE = 206, 416


class TransferError(Exception):
    """A server or a network that fails, with the reason."""


@dataclass(frozen=True)
class ResponseHead:
    """What a server says about the file that it sends."""

    offset: int
    """Position of the first byte that it sends."""
    total: int | None
    """Size of the whole file in bytes; None if the server does not say."""
    validator: str | None
    """The ETag or the date of the file, which identifies its content; None if the server sends neither."""


class HttpStream:
    """A file that a server sends, from a position.

    A thread receives the bytes, so that no step (looking up the name, connecting, reading the header or the content)
    can block the caller for longer than the time limits. Only HTTP and HTTPS are used, and HTTPS never redirects to
    HTTP.

    Args:
        url: address of the file.
        offset: number of bytes that the caller already has.
        validator: what identified the file when the caller received them. If the file has changed since, the server
            sends it from its start.
    """

    def __init__(self, url: str, offset: int = 0, validator: str | None = None) -> None:
        self._url = url
        self._offset, self._validator = (offset, validator) if offset and validator else (0, None)
        self._items: queue.Queue[ResponseHead | bytes | Exception] = queue.Queue(maxsize=8)
        self._is_closed = threading.Event()
        self._since, self._received = time.monotonic(), 0
        threading.Thread(target=self._receive, daemon=True).start()

    def __enter__(self) -> "HttpStream":
        return self

    def __exit__(self, *error: object) -> None:
        self._is_closed.set()

    def head(self) -> ResponseHead:
        """Waits for the header of the response; called once, before ``read``.

        Raises:
            TransferError: if the server cannot be reached, refuses, stalls, or sends another part of the file.
        """
        return self._next()

    def read(self) -> bytes:
        """Waits for the next bytes; empty at the end.

        Raises:
            TransferError: if the connection breaks, or the server stalls or is too slow.
        """
        chunk = self._next()
        self._received += len(chunk)
        if time.monotonic() - self._since > _SLOW_SECONDS:
            if chunk and self._received < _SLOW_BYTES:
                raise TransferError(f"the server sent only {self._received:,} bytes in {_SLOW_SECONDS:g} s")
            self._since, self._received = time.monotonic(), 0
        return chunk

    def _next(self) -> ResponseHead | bytes:
        try:
            item = self._items.get(timeout=_STALL_SECONDS)
        except queue.Empty:
            raise TransferError(f"the server sent nothing for {_STALL_SECONDS:g} s") from None
        if isinstance(item, TransferError):
            raise item
        if isinstance(item, Exception):
            reason = item.reason if isinstance(item, URLError) and not isinstance(item, HTTPError) else item
            raise TransferError(printable(str(reason), 200) or type(reason).__name__) from item
        return item

    def _receive(self) -> None:
        try:
            self._receive_from(self._offset)
        except Exception as error:  # The caller raises it. urllib, http and ssl raise exceptions of many types.
            self._put(error)

    def _receive_from(self, offset: int) -> None:
        ranged = {"Range": f"bytes={offset}-", "If-Range": self._validator} if offset else {}
        try:
            response = _open(self._url, ranged)
        except HTTPError as error:
            if error.code != _RANGE_NOT_SATISFIABLE or not ranged:
                raise
            if error.headers.get("Content-Range") != f"bytes */{offset}":
                self._receive_from(0)  # The file is now shorter than what the caller has.
                return
            self._put(ResponseHead(offset, offset, self._validator))  # The caller has the whole file.
        else:
            with response:
                head = self._head(response, offset)
                if head.offset and head.validator != self._validator:
                    self._receive_from(0)  # The server ignores If-Range, and the file has changed.
                    return
                self._put(head)
                while (chunk := response.read1(_CHUNK_BYTES)) and self._put(chunk):
                    pass
        self._put(b"")

    def _head(self, response: HTTPResponse, offset: int) -> ResponseHead:
        validator = _validator(response.headers)
        if response.status != _PARTIAL_CONTENT:
            length = response.headers.get("Content-Length")
            return ResponseHead(0, None if length is None else int(length), validator)
        span = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", response.headers.get("Content-Range", ""))
        if span is None or int(span[1]) != offset or int(span[2]) + 1 != int(span[3]):
            raise TransferError("the server sent another part of the file than it was asked for")
        return ResponseHead(offset, int(span[3]), validator or self._validator)

    def _put(self, item: ResponseHead | bytes | Exception) -> bool:
        """Hands an item to the caller; returns whether the caller still wants any."""
        while not self._is_closed.is_set():
            with suppress(queue.Full):
                self._items.put(item, timeout=0.2)
                return True
        return False


class _Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, request, response, code, message, headers, url):
        if urlsplit(request.full_url).scheme == "https" and urlsplit(url).scheme != "https":
            raise HTTPError(url, code, "the server redirects from HTTPS to another protocol", headers, response)
        return super().redirect_request(request, response, code, message, headers, url)


def _open(url: str, headers: Mapping[str, str]) -> HTTPResponse:
    # Not urllib.request.build_opener: it also opens files, FTP and data addresses.
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.UnknownHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPErrorProcessor,
        _Redirects,
    ):
        opener.add_handler(handler())
    agent = {"User-Agent": "Mozilla/5.0 (compatible; mindvit)", "Accept-Encoding": "identity"}
    request = urllib.request.Request(url, headers={**agent, **headers})
    return opener.open(request, timeout=2 * _STALL_SECONDS)  # The caller gives up before.


def _validator(headers: Mapping[str, str]) -> str | None:
    etag = headers.get("ETag", "")
    # A weak ETag also identifies a file with another content of the same meaning.
    return etag if etag and not etag.startswith("W/") else headers.get("Last-Modified")

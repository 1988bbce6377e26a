"""Standard input, output and error that survive a closed pipe, a lost terminal and a terminal that is not UTF-8."""

import codecs
import errno
import io
import os
import sys

_ESCAPE = "mindvit.escape"
"""Name of the error handler of ``_escape``."""


def prepare_streams() -> None:
    """Makes printing safe for the rest of the process.

    - A stream that was closed before the process started (``>&-``) becomes the null device. Otherwise the next file
      that is opened would take its number, and the messages of libraries would be written into that file.
    - After the reader of a pipe has ended, or the terminal is gone, output is discarded and the process continues:
      a training run does not depend on who watches it. See ``is_output_lost``.
    - Characters that a stream cannot encode are written as escape sequences, such as ``\\u00e9``. A file name that is
      not UTF-8, or a terminal that is not, then raises no error.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    codecs.register_error(_ESCAPE, _escape)
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 (for the rest of the process)
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        if stream is None:
            stream = open(number, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        if stream is getattr(sys, f"__{name}__") and isinstance(stream, io.TextIOWrapper):
            stream = _lasting(stream)
        elif hasattr(stream, "reconfigure"):  # Another program, such as a test runner, has replaced the stream.
            stream.reconfigure(errors=_ESCAPE)
        setattr(sys, name, stream)


def is_output_lost() -> bool:
    """Whether the reader of standard output has ended before everything was written."""
    sys.stdout.flush()
    buffer = getattr(sys.stdout, "buffer", None)
    return getattr(getattr(buffer, "raw", buffer), "is_lost", False)


class _LastingFile(io.FileIO):
    """A file descriptor that becomes the null device when nobody can read it any longer."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self.is_lost = False
        # Of a terminal that is gone, an error of input and output; of a file on a broken disk the same means damage.
        self._losses = {errno.EPIPE, errno.EIO} if self.isatty() else {errno.EPIPE}

    def write(self, data: bytes) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if error.errno not in self._losses:
                raise
        self.is_lost = True
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self.fileno())
        os.close(null)
        return memoryview(data).nbytes


def _lasting(stream: io.TextIOWrapper) -> io.TextIOWrapper:
    stream.flush()
    file = _LastingFile(stream.fileno())
    is_buffered = not isinstance(stream.buffer, io.RawIOBase)  # python -u does not buffer.
    return io.TextIOWrapper(
        io.BufferedWriter(file) if is_buffered else file,
        encoding=stream.encoding,
        errors=_ESCAPE,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def _escape(error: UnicodeError) -> tuple[str, int]:
    """An error handler for encoders: escape sequences as in JSON, so that JSON stays JSON in any encoding."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{high:02x}{low:02x}" for high, low in zip(units[::2], units[1::2], strict=True)), error.end

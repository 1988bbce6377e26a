"""The command line: ``mindvit COMMAND …``, and what all commands have in common.

The programs at the top of the repository, such as ``train.py``, are the same commands under another name.
"""

import errno
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

# Before MindSpore is imported: its warnings (level 2) are about its internals, and hide the messages of this project.
os.environ.setdefault("GLOG_v", "3")

from mindvit.command import overview, unknown_command
from mindvit.command_table import COMMANDS, EXAMPLES
from mindvit.console import fit_text, terminal_columns
from mindvit.errors import STOPPED_BY_USER, UserError
from mindvit.files import os_error_message
from mindvit.parent_death import end_with_launcher
from mindvit.printable import printable
from mindvit.stand_in_imports import import_stand_ins, is_help_requested
from mindvit.standard_streams import is_output_lost, prepare_streams

_OUTPUT_LOST = 128 + signal.SIGPIPE
"""Exit code of a command whose result nobody could read, as a shell reports it."""


def main() -> NoReturn:
    """Runs the command that the command line names: ``mindvit COMMAND …`` or ``python -m mindvit COMMAND …``."""
    end_with_launcher()  # Before MindSpore is imported, which takes seconds: the launcher may end meanwhile.
    name, arguments = (sys.argv[1], sys.argv[2:]) if len(sys.argv) > 1 else ("--help", [])
    if name in ("--help", "-h"):
        _run(lambda: print(overview("mindvit", COMMANDS, EXAMPLES)), prints_result=True)
    if name == "--version":
        import mindvit

        _run(lambda: print(f"mindvit {mindvit.__version__}"), prints_result=True)
    run_command(name, arguments, f"mindvit {name}")


def run_command(name: str, arguments: list[str] | None = None, usage: str | None = None) -> NoReturn:
    """Runs a command and ends the process.

    The exit code is 0; 2 after an error of the user, or of a file that cannot be read or written, which is reported in
    one sentence; 130 after Ctrl-C, SIGTERM or SIGHUP; or 141 if the command only prints, and the reader of its output
    has ended. Every other command does its work to the end without a reader or a terminal.

    Args:
        name: name of the command.
        arguments: its arguments; by default those of the process.
        usage: how it was called, for ``--help``; by default the name of the program.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    usage = os.path.basename(sys.argv[0]) if usage is None else usage  # noqa: PTH119 (argv need not be a path)
    command = COMMANDS.get(name)
    if is_help_requested(arguments):
        import_stand_ins()

    def run() -> None:
        if command is None:
            raise UserError(unknown_command(name, COMMANDS, "mindvit"))
        command.start(arguments, usage)

    _run(run, prints_result=command is not None and command.prints_result)


def _run(action: Callable[[], None], prints_result: bool) -> NoReturn:
    prepare_streams()
    warnings.formatwarning = lambda message, *where: _fit(f"note: {printable(str(message))}") + "\n"
    received: list[str] = []
    try:
        try:
            with _stopped_by_signals(received):
                action()
        except SystemExit as end:  # After --help, or with the exit code of a job.
            if end.code:
                raise
            prints_result = True
        except Exception:
            if received:  # Raised where C++ called Python, KeyboardInterrupt becomes another exception.
                raise KeyboardInterrupt(received[-1]) from None
            raise
        sys.exit(_OUTPUT_LOST if is_output_lost() and prints_result else 0)
    except UserError as error:
        print(_fit(f"error: {printable(str(error))}"), file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            print(f"error: the disk is full: {error}", file=sys.stderr)
        elif error.filename is not None:
            print(f"error: {os_error_message(error, 'access')}", file=sys.stderr)
        else:
            raise
        sys.exit(2)
    except KeyboardInterrupt as stop:
        print(_fit(str(stop) or "stopped"), file=sys.stderr)
        (_leave if received else sys.exit)(STOPPED_BY_USER)


def _fit(message: str) -> str:
    return fit_text(message, terminal_columns(sys.stderr), indent=2)


def _leave(code: int) -> NoReturn:
    """Ends the process without Python's finalization: the threads of MindSpore that are at work would crash in it."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


@contextmanager
def _stopped_by_signals(received: list[str]) -> Iterator[None]:
    """Lets SIGTERM and SIGHUP raise ``KeyboardInterrupt``, as Ctrl-C does. An ignored signal stays ignored (nohup).

    A rank of a job keeps the default, which ends it at once: while it waits for the other ranks, MindSpore runs no
    Python code, and its launcher reports the stop.

    Args:
        received: gets a sentence for each signal that has stopped the work wherever it was.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        received.append(f"stopped by {signal.Signals(number).name}")
        raise KeyboardInterrupt(received[-1])

    defaults = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGTERM: signal.SIG_DFL,
        signal.SIGHUP: signal.SIG_DFL,
    }
    if "MS_ROLE" in os.environ:
        defaults = {}
    handled = [number for number, default in defaults.items() if signal.getsignal(number) == default]
    for number in handled:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in handled:
            signal.signal(number, defaults[number])

import errno
import signal
import subprocess
import sys
import warnings

import pytest

from mindvit import cli
from mindvit.command import Command
from mindvit.errors import UserError
from tests.conftest import ROOT

pytestmark = pytest.mark.eager


@pytest.fixture
def run(monkeypatch):
    """Runs a command that does what `action` does. Returns the exit code."""

    def run_one(action):
        monkeypatch.setitem(cli.COMMANDS, "probe", Command("Probes.", "", lambda *given: action()))
        monkeypatch.setattr(cli, "_leave", sys.exit)
        with pytest.raises(SystemExit) as exited:
            cli.run_command("probe", [])
        return exited.value.code

    return run_one


def raising(error):
    def action():
        raise error

    return action


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (UserError("it is wrong"), 2, "error: it is wrong\n"),
        (UserError("no class '\x1b[2J\ncat'"), 2, "error: no class '\\x1b[2J\\ncat'\n"),
        (OSError(errno.ENOSPC, "No space left on device"), 2, "error: the disk is full: [Errno 28] No space left"),
        (OSError(errno.EROFS, "Read-only file system", "a.txt"), 2, "error: cannot access a.txt: Read-only file"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "x" * 5000), 2, "error: cannot access xxx"),
        (KeyboardInterrupt("kept last.ckpt"), 130, "kept last.ckpt\n"),
        (KeyboardInterrupt(), 130, "stopped\n"),
    ],
)
def test_an_error_of_the_user_or_a_stop_ends_with_one_sentence(run, capsys, error, code, words):
    assert run(raising(error)) == code
    assert capsys.readouterr().err.startswith(words)


def test_a_note_cannot_control_the_terminal(run, capsys):
    def action():
        print(warnings.formatwarning(UserWarning("the class \x1b]0;title\x07\u202e"), UserWarning, "file.py", 1))

    assert run(action) == 0
    assert capsys.readouterr().out.startswith("note: the class \\x1b]0;title\\x07\\u202e\n")


@pytest.mark.usefixtures("default_signal_handling")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_before_the_first_step_ends_a_command_as_one_after_it(run, capsys, number):
    assert run(lambda: signal.raise_signal(number)) == 130
    assert capsys.readouterr().err == f"stopped by {number.name}\n"
    assert signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler)


@pytest.mark.usefixtures("default_signal_handling")
def test_a_signal_that_becomes_another_error_on_its_way_is_still_a_stop(run, capsys):
    def import_mindspore():
        try:
            signal.raise_signal(signal.SIGTERM)
        except KeyboardInterrupt:
            raise ImportError("initialization failed") from None

    assert run(import_mindspore) == 130
    assert capsys.readouterr().err == "stopped by SIGTERM\n"


@pytest.mark.usefixtures("default_signal_handling")
def test_an_ignored_signal_stays_ignored(run):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    assert run(lambda: signal.raise_signal(signal.SIGHUP)) == 0


@pytest.mark.usefixtures("default_signal_handling")
def test_a_rank_that_waits_for_others_can_be_ended(run, monkeypatch):
    """MindSpore runs no Python code while it connects to the other ranks, so no handler would be called."""
    monkeypatch.setenv("MS_ROLE", "MS_WORKER")
    handlers = []
    assert run(lambda: handlers.append(signal.getsignal(signal.SIGTERM))) == 0
    assert handlers == [signal.SIG_DFL]


def test_a_command_without_error_has_exit_code_0(run):
    assert run(lambda: None) == 0


@pytest.mark.parametrize("error", [ValueError("a bug"), OSError(errno.EIO, "broken")])
def test_a_bug_keeps_its_traceback(monkeypatch, error):
    monkeypatch.setitem(cli.COMMANDS, "probe", Command("Probes.", "", lambda *given: raising(error)()))
    with pytest.raises(type(error)):
        cli.run_command("probe", [])


def call(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["mindvit", *arguments])
    with pytest.raises(SystemExit) as exited:
        cli.main()
    return exited.value.code


def test_an_unknown_command_is_reported_with_the_nearest(monkeypatch, capsys):
    assert call(monkeypatch, "trian") == 2
    assert "there is no command 'trian'; the nearest is 'train'" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",)])
def test_help_lists_all_commands(monkeypatch, capsys, arguments):
    assert call(monkeypatch, *arguments) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert all(f" {name} {command.help}" in text for name, command in cli.COMMANDS.items())


def test_the_version_is_printed(monkeypatch, capsys):
    import mindvit

    assert call(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == f"mindvit {mindvit.__version__}\n"


@pytest.mark.parametrize("program", ["train", "eval", "infer", "convert", "extract_features"])
def test_the_programs_are_the_commands(program, run_program):
    code, out, _ = run_program(f"{program}.py", "--help")
    assert code == 0
    assert out.startswith(f"usage: {program}.py")
    assert cli.COMMANDS[program.replace("_", "-")].help.split()[0] in out


@pytest.mark.slow
def test_a_command_gives_what_its_program_gives(run_program, monkeypatch, capfd, tiny_checkpoint, make_folder):
    checkpoint, folder = tiny_checkpoint(), make_folder()
    image = folder / "val/cat/0.png"
    code, out, _ = run_program("infer.py", "--ckpt", checkpoint, "--image", image, "--json")
    assert code == 0
    assert call(monkeypatch, "infer", "--ckpt", str(checkpoint), "--image", str(image), "--json") == 0
    assert capfd.readouterr().out == out


def test_importing_mindvit_imports_no_mindspore():
    code = "import sys, mindvit, mindvit.cli; sys.exit(any(name in sys.modules for name in ('mindspore', 'numpy')))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0

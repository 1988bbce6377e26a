import errno
import subprocess
import sys

import pytest

from mindvit import cli
from mindvit.errors import UserError
from tests.conftest import ROOT


@pytest.fixture
def run(monkeypatch):
    """Runs a command that does what `action` does. Returns the exit code."""

    def run_one(action):
        monkeypatch.setitem(cli.COMMANDS, "probe", cli.Command("Probes.", "", lambda *given: action()))
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
        (OSError(errno.ENOSPC, "No space left on device"), 2, "error: the disk is full: [Errno 28] No space left"),
        (KeyboardInterrupt("kept last.ckpt"), 130, "kept last.ckpt\n"),
        (KeyboardInterrupt(), 130, "stopped\n"),
    ],
)
def test_an_error_of_the_user_or_a_stop_ends_with_one_sentence(run, capsys, error, code, words):
    assert run(raising(error)) == code
    assert capsys.readouterr().err.startswith(words)


def test_a_command_without_error_has_exit_code_0(run):
    assert run(lambda: None) == 0


@pytest.mark.parametrize("error", [ValueError("a bug"), OSError(errno.EIO, "broken")])
def test_a_bug_keeps_its_traceback(monkeypatch, error):
    monkeypatch.setitem(cli.COMMANDS, "probe", cli.Command("Probes.", "", lambda *given: raising(error)()))
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
    text = capsys.readouterr().out
    assert all(f"  {name} " in text and command.help in text for name, command in cli.COMMANDS.items())


def test_the_version_is_printed(monkeypatch, capsys):
    import mindvit

    assert call(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == f"mindvit {mindvit.__version__}\n"


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_explains_itself_under_its_own_name(monkeypatch, capsys, name):
    assert call(monkeypatch, name, "--help") == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: mindvit {name}")


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

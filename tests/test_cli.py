import errno

import pytest

from mindvit.errors import UserError
from mindvit.cli import run


def raising(error):
    def main():
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (UserError("it is wrong"), 2, "error: it is wrong\n"),
        (OSError(errno.ENOSPC, "No space left on device"), 2, "error: the disk is full: [Errno 28] No space left"),
        (KeyboardInterrupt("kept last.ckpt"), 130, "kept last.ckpt\n"),
        (KeyboardInterrupt(), 130, "stopped\n"),
    ],
)
def test_what_ends_a_program_is_told_in_a_sentence(capsys, error, code, words):
    with pytest.raises(SystemExit) as exited:
        run(raising(error))
    assert exited.value.code == code
    assert capsys.readouterr().err.startswith(words)


def test_a_program_that_ends_well_has_exit_code_0():
    with pytest.raises(SystemExit) as exited:
        run(lambda: None)
    assert exited.value.code == 0


@pytest.mark.parametrize("error", [ValueError("a bug"), OSError(errno.EIO, "broken")])
def test_a_mistake_of_the_programs_own_is_not_hidden(error):
    with pytest.raises(type(error)):
        run(raising(error))

"""Errors and exit codes that are meant for the person at the keyboard."""

STOPPED_BY_USER = 130
"""Exit code after Ctrl-C or SIGTERM."""


class UserError(ValueError):
    """A mistake in the input: in a setting, a file or a folder.

    The message says what is wrong, where, and what to do. The command line prints it without a traceback.
    """

"""The one kind of error that is meant for the person at the keyboard."""


class UserError(ValueError):
    """Something in the input is wrong: a setting, a file, a folder.

    Its message says what is wrong, where, and what to do. The programs print it without a traceback.
    """

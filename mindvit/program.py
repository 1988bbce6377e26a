"""What every program at the top of the tree does around its own work."""

import errno
import os
import sys
import warnings
from collections.abc import Callable
from typing import NoReturn

# Before MindSpore is imported: its own warnings (level 2) are about its internals, and hide what a person should read.
os.environ.setdefault("GLOG_v", "3")

from mindvit.errors import UserError

STOPPED_BY_USER = 130
"""The exit code of what Ctrl-C or SIGTERM stopped."""


def run(main: Callable[[], None]) -> NoReturn:
    """Runs a program: a user's mistake or a full disk ends it with one sentence and exit code 2, Ctrl-C with 130."""
    warnings.formatwarning = lambda message, *where: f"note: {message}\n"
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        print(f"error: the disk is full: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt as stop:
        print(str(stop) or "stopped", file=sys.stderr)
        sys.exit(STOPPED_BY_USER)
    sys.exit(0)

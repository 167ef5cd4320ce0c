"""How a command ends that prints to another one, which may stop reading: `python -m tools.where | head`."""

import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn


def exit_with(main: Callable[[], int]) -> NoReturn:
    """End the process with what `main` returns; once nobody reads what it prints, silently with SIGPIPE's code."""
    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # takes what Python flushes at its end
        code = 128 + signal.SIGPIPE
    raise SystemExit(code)

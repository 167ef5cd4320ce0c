"""How a command ends: by its code, by an error in words, or because nobody reads it: `python -m tools.where | head`."""

import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from rlhf.params.base import ParamsError
from rlhf.secrets import guard


def exit_with(main: Callable[[], int]) -> NoReturn:
    """End the process with what `main` returns; once nobody reads what it prints, silently with SIGPIPE's code.

    What its user can mend is said without a traceback (TRACEBACK=1): the code is 2 for a file of params, else 1.
    """
    guard.install()
    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # takes what Python flushes at its end
        code = 128 + signal.SIGPIPE
    except (ValueError, OSError) as error:
        if os.environ.get("TRACEBACK"):
            raise
        named = "" if isinstance(error, ParamsError) else f" ({type(error).__name__}; TRACEBACK=1 shows where)"
        guard.say(f"{error}{named}")
        code = 2 if isinstance(error, ParamsError) else 1
    raise SystemExit(code)

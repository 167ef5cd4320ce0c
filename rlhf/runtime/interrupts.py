"""Ctrl-C before a program has begun its work, or in a command that keeps none: one line and exit code 130.

The packages of programs call these as they are imported by `python -m PACKAGE.MODULE`, before the module's own imports.
"""

import os
import signal
import sys
from types import FrameType, TracebackType

CODE = 130  # of a shell for a command that SIGINT ended


def end_while_importing() -> None:
    """Let Ctrl-C end this process at once, until `raise_from_now_on`.

    An exception would show the libraries' imports, and that of torch swallows some. Nothing is to be undone yet.
    """
    if _is_program() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not where it is ignored
        signal.signal(signal.SIGINT, _end)


def raise_from_now_on() -> None:
    """Let Ctrl-C raise KeyboardInterrupt again."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def end_without_traceback() -> None:
    """Let a KeyboardInterrupt that nobody catches end this process with one line."""
    if _is_program():
        sys.excepthook = _excepthook


def _is_program() -> bool:
    """Return whether `python -m` is just looking for its module; what else imports a package is left as it is."""
    return sys.argv[:1] == ["-m"]


def _end(_number: int, _frame: FrameType | None) -> None:
    _say()
    os._exit(CODE)


def _excepthook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, traceback)
        return
    _say()
    raise SystemExit(CODE)


def _say() -> None:
    module = sys.orig_argv[sys.orig_argv.index("-m") + 1]
    print(f"{module}: interrupted", file=sys.stderr, flush=True)

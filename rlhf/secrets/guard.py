"""What libraries say of themselves in this process - log records, warnings, tracebacks - passes the mask too."""

import logging
import sys
import threading
import traceback
import warnings
from collections.abc import Callable
from types import TracebackType
from typing import Any, TextIO

from rlhf.secrets.masking import masked, visible

Make = Callable[..., logging.LogRecord]
Hook = Callable[[type[BaseException], BaseException, TracebackType | None], Any]


def say(text: str, where: TextIO | None = None) -> None:
    """Print a line to stderr, or elsewhere, at once: without secrets, and steering no terminal."""
    print(visible(masked(text)), file=where or sys.stderr, flush=True)


def install() -> None:
    """Let log records, warnings and tracebacks that nobody catches pass the mask, whoever makes them.

    Only what holds a secret is changed. Once is enough; more do no harm.
    """
    if getattr(logging.getLogRecordFactory(), "masks", False):
        return
    logging.setLogRecordFactory(_MaskedRecords(logging.getLogRecordFactory()))
    warnings.formatwarning = _masked_result(warnings.formatwarning)
    sys.excepthook = _masked_traceback(sys.excepthook)
    threads, ignored = threading.excepthook, sys.unraisablehook

    def of_thread(told: Any) -> None:
        _masked_traceback(lambda *_: threads(told))(told.exc_type, told.exc_value, told.exc_traceback)

    def of_nobody(told: Any) -> None:
        _masked_traceback(lambda *_: ignored(told))(told.exc_type, told.exc_value, told.exc_traceback)

    threading.excepthook, sys.unraisablehook = of_thread, of_nobody


class _MaskedRecords:
    """Makes the log records of all loggers."""

    masks = True

    def __init__(self, make: Make):
        self._make = make

    def __call__(self, *arguments: Any, **named: Any) -> logging.LogRecord:
        record = self._make(*arguments, **named)
        try:
            text = record.getMessage()
        except (TypeError, ValueError, LookupError):  # logging shows both when it finds that they do not fit
            text = f"{record.msg} {record.args}"
        if masked(text) != text:
            record.msg, record.args = masked(text), ()
        if record.exc_info and record.exc_info[0]:
            record.exc_text = masked("".join(traceback.format_exception(*record.exc_info)).rstrip("\n"))
        record.stack_info = masked(record.stack_info) if record.stack_info else record.stack_info
        return record


def _masked_result(make: Callable[..., str]) -> Callable[..., str]:
    return lambda *arguments, **named: masked(make(*arguments, **named))


def _masked_traceback(show: Hook) -> Hook:
    """Return a hook that prints a traceback masked where it holds a secret, and else does what `show` does."""

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        text = "".join(traceback.format_exception(kind, error, trace))
        if masked(text) == text:
            show(kind, error, trace)
        else:
            print(masked(text), end="", file=sys.stderr, flush=True)

    return hook

"""What libraries say of themselves - log records, warnings, tracebacks - in a process that has installed the mask."""

import io
import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlhf.params.base import listed
from rlhf.runs.progress import Progress
from rlhf.secrets import guard
from rlhf.secrets.masking import visible
from tests import toys

MARKER = "Xmarker72Xmarker"
ADDRESS = f"http://user:{MARKER}@host"
WAYS = {
    "a log record": "logging.getLogger('urllib3').warning('retrying %s', address)",
    "a record whose arguments do not fit": "logging.getLogger('urllib3').warning('retrying', address)",
    "a logged exception": "try: raise ValueError(address)\nexcept ValueError: logging.exception('failed')",
    "a logged stack": "logging.warning(address, stack_info=True)",
    "a warning": "warnings.warn(address)",
    "a warning that is logged": "logging.basicConfig(); logging.captureWarnings(True); warnings.warn(address)",
    "a traceback": "raise ValueError(address)",
    "a cause": "try: raise KeyError(address)\nexcept KeyError as error: raise ValueError('x') from error",
    "a thread's traceback": "import threading; t = threading.Thread(target=lambda: int(address)); t.start(); t.join()",
    "an error that nobody can catch": "A = type('A', (), {'__del__': lambda self: int(address)}); A()",
}


@pytest.mark.process
def test_no_way_out_shows_a_secret():
    """All ways in one process each, as they end it; started at once."""
    start = (
        "import logging, sys, warnings\nfrom rlhf.secrets import guard\n"
        "guard.install(); guard.install()\nimport os\naddress = os.environ['ADDRESS']\n"
    )
    own = os.environ | {"ADDRESS": ADDRESS}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "cwd": toys.REPO, "env": own}
    started = {name: subprocess.Popen([sys.executable, "-c", start + way], **pipes) for name, way in WAYS.items()}
    for name, process in started.items():
        said, _ = process.communicate(timeout=60)
        assert MARKER not in said, name
        assert "http://***@host" in said, name


STEERING = [*map(chr, range(0x20)), "\x7f", "\x9b", "\u202e", "\u2066", "\u2028", "\u200f", "\udcff"]
AS_THEY_ARE = "a\tb\nc ümläut 問い　🙂 ‍ \\x1b"


@pytest.mark.parametrize("mark", [mark for mark in STEERING if mark not in "\t\n"])
def test_what_steers_a_terminal_stands_as_its_escape(mark, capsys):
    told = io.StringIO()
    guard.say(f"column {mark}[2J", told)
    Progress("sft", silent=False).say(f"column {mark}[2J")
    assert told.getvalue() == capsys.readouterr().out == f"column {repr(mark)[1:-1]}[2J\n"


@settings(deadline=None)
@given(st.text())
def test_a_shown_text_can_be_written_and_is_the_same_when_shown_again(text):
    shown = visible(text)
    shown.encode()
    assert visible(shown) == shown
    assert visible(AS_THEY_ARE) == AS_THEY_ARE


def test_a_name_in_a_list_is_one_line():
    assert listed(["a\nb", "c\r\n d"]) == "a b, c d"

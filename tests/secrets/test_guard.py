"""What libraries say of themselves - log records, warnings, tracebacks - in a process that has installed the mask."""

import os
import subprocess
import sys

import pytest

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

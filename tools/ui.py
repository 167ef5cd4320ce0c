"""The MLflow UI of this repository: `make ui`, or `make ui PORT=5001`.

    python -m tools.ui                  at http://localhost:5000, to which the links point that stages print
    python -m tools.ui --port 5001      at another port

Before it serves, it sets the addresses of artifacts right where mlflow.db was moved with its folder, and ends runs
whose process is gone. It prints the address of the table of runs with the columns that matter.
"""

import argparse
import os
import socket
import sys
from pathlib import Path
from typing import NoReturn

from rlhf.params.base import ParamsError, load
from rlhf.params.tracking import TrackingInputs
from rlhf.runs import mlflow_store
from rlhf.runs.recording import reaping
from rlhf.secrets import guard
from tools.looking import piped

PORTS = range(1, 1 << 16)


def main(arguments: list[str], root: Path = Path(".")) -> int:
    """Become the server; returns the exit code where there is nothing to serve, or where it cannot be served."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=5000)
    port = parser.parse_args(arguments).port
    if port not in PORTS:
        parser.error(f"--port: expected a number from {PORTS[0]} to {PORTS[-1]} (got {port})")
    guard.install()
    address = f"http://localhost:{port}"
    why_not = _in_use(port)
    if why_not:
        guard.say(f"Port {port}: {why_not}. Name another: make ui PORT={port + 1}")
        return 1
    try:
        uri, table = look(root, address)
    except ConnectionError as error:
        guard.say(str(error))
        return 1
    if uri.startswith("http"):
        guard.say(f"MLflow is on a server: {table}", sys.stdout)
        return 0
    guard.say(f"MLflow: {table}   (Ctrl-C ends it)", sys.stdout)
    return _become_the_server(uri, port)


def _become_the_server(uri: str, port: int) -> NoReturn:
    serve = [
        "-m",
        "mlflow",
        "ui",
        "--workers",
        "1",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]  # whatever MLFLOW_HOST says
    own = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_BACKEND_STORE_URI": uri}  # all users see arguments
    os.execve(sys.executable, [sys.executable, *serve], os.environ | own)


def look(root: Path, address: str) -> tuple[str, str]:
    """Set the store right; return its URI, and the address of the table of runs, below `address` for one to be served.

    Raises ConnectionError where the store cannot be opened. A params.yaml that cannot be read leaves it as it is, and
    so does a deleted experiment: both are said.
    """
    home = mlflow_store.anchor(root)
    try:
        settings = load(root, TrackingInputs).tracking
    except ParamsError as error:
        guard.say(f"{error}\n(so the runs are shown as they are, and those of mlflow.db)")
        return mlflow_store.resolve_uri("sqlite:///mlflow.db", home), address
    uri = mlflow_store.resolve_uri(settings.uri, home)
    try:
        store = mlflow_store.open_store(settings, home)
    except mlflow_store.DeletedExperiment as error:
        guard.say(str(error))
        return uri, address
    reaping.reap(store, home)
    return uri, mlflow_store.table_link(uri if uri.startswith("http") else address, store)


def _in_use(port: int) -> str | None:
    """Return why this port cannot be served, if so."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        return os.strerror(error.errno or 0)
    return None


if __name__ == "__main__":
    piped.exit_with(lambda: main(sys.argv[1:]))

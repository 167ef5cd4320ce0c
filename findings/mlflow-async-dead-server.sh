#!/usr/bin/env bash
# MLflow 3.17.2: asynchronous logging drops what a server that is down for a moment did not take, and the run is FINISHED.
#
# A batch that fails is reported in one ERROR line and never tried again, also when the server is back before the run ends.
# No call raises, not end_run() either; the exit code is 0 and the curve has a hole.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet mlflow==3.17.2
cd "$folder"
export MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false MLFLOW_HTTP_REQUEST_MAX_RETRIES=1
timeout 600 venv/bin/python - 2>errors <<'PYTHON' || { tail -3 errors >&2; exit 1; }
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager

import mlflow

with socket.create_server(("127.0.0.1", 0)) as free:
    port = free.getsockname()[1]
address = f"http://127.0.0.1:{port}"


@contextmanager
def server():
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", "sqlite:///server.db", "--workers", "1"]
    process = subprocess.Popen([*command, "--port", str(port)], stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        for _ in range(200):
            try:
                urllib.request.urlopen(f"{address}/health", timeout=2).close()
                break
            except OSError:
                time.sleep(1)
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def log(steps):
    for step in steps:
        mlflow.log_metric("loss", 1.0, step=step)
    mlflow.flush_async_logging()  # raises nothing, whatever became of them


mlflow.set_tracking_uri(address)
mlflow.config.enable_async_logging()
with server():
    run = mlflow.start_run()
    log(range(10))
log(range(10, 20))
with server():
    log(range(20, 30))
    mlflow.end_run()
    client = mlflow.MlflowClient(address)
    steps = [point.step for point in client.get_metric_history(run.info.run_id, "loss")]
    status = client.get_run(run.info.run_id).info.status
print(f"mlflow {mlflow.__version__}: {len(steps)} of 30 points, run {status}")
assert (sorted(steps), status) == ([*range(10), *range(20, 30)], "FINISHED"), "this changed"
PYTHON
echo "ERROR lines: $(grep -c "Failed to log run data" errors)"

#!/usr/bin/env bash
# MLflow 3.17.2: asynchronous logging with a buffer loses every point of a script that ends normally without end_run().
#
# AsyncLoggingQueue.activate registers an exit handler "to ensure that any remaining log data is flushed". It runs after
# Python has closed all thread pools, so each batch is refused ("cannot schedule new futures after interpreter shutdown"):
# with MLFLOW_ASYNC_LOGGING_BUFFERING_SECONDS nothing arrives, without it what the pool had not yet taken is lost (5 to 64
# of 200 points in three runs). Exit code 0, run FINISHED, one ERROR line a batch. In a with block all arrive.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet mlflow==3.17.2
cd "$folder"
export MLFLOW_DISABLE_TELEMETRY=true MLFLOW_ASYNC_LOGGING_BUFFERING_SECONDS=2

points() {  # DATABASE STATEMENT: a script logs 50 points with this statement before the loop; prints points, status, code
    local code=0
    timeout 300 venv/bin/python - "$1" "$2" 2>"$1.err" <<'PYTHON' || code=$?
import sys
import mlflow

mlflow.set_tracking_uri(f"sqlite:///{sys.argv[1]}.db")
mlflow.config.enable_async_logging()
if sys.argv[2] == "with":
    with mlflow.start_run():
        for step in range(50):
            mlflow.log_metric("loss", 1 / (step + 1), step=step)
else:
    mlflow.start_run()
    for step in range(50):
        mlflow.log_metric("loss", 1 / (step + 1), step=step)
PYTHON
    venv/bin/python - "$1" "$code" <<'PYTHON'
import sqlite3
import sys

store = sqlite3.connect(f"{sys.argv[1]}.db")
(points,) = store.execute("select count(*) from metrics").fetchone()
(status,) = store.execute("select status from runs").fetchone()
print(f"{points} of 50 points, run {status}, exit code {sys.argv[2]}")
PYTHON
}

plain=$(points plain bare)
block=$(points block with)
echo "without a with block: $plain"
grep -m1 -o "Failed to submit batch for logging: cannot schedule new futures after interpreter shutdown" plain.err
echo "in a with block:      $block"
[ "$plain" = "0 of 50 points, run FINISHED, exit code 0" ]
[ "$block" = "50 of 50 points, run FINISHED, exit code 0" ]

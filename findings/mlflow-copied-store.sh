#!/bin/sh
# MLflow 3.17.2, SQLite store with artifacts beside it: a copy of the folder writes its artifacts into the original's
# folder; a moved folder lists no artifacts, without an error, and its new ones go to where it was.
#
# Versions: mlflow-skinny 3.17.2, sqlalchemy 2.0.54, alembic 1.18.5, Python 3.11.
# Seen: artifact addresses are kept whole, and relative ones are made whole when the experiment is created
# (mlflow/mlflow pull request 7670; a wish to have them relative: issue 3144). The script exits with 1 if that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check mlflow-skinny==3.17.2 sqlalchemy==2.0.54 alembic==1.18.5
export MLFLOW_DISABLE_TELEMETRY=true

cat > record.py <<'PYTHON'
"""Open the store in the folder named first, record a run with an artifact named second, and list all runs' artifacts."""
import logging
import os
import sys
from pathlib import Path

from mlflow import MlflowClient

logging.disable(logging.WARNING)
os.chdir(sys.argv[1])
client = MlflowClient(f"sqlite:///{Path('mlflow.db').resolve()}")
found = client.get_experiment_by_name("example")
experiment = found.experiment_id if found else client.create_experiment("example", artifact_location="artifacts")
run = client.create_run(experiment)
client.log_text(run.info.run_id, "text", f"{sys.argv[2]}.txt")
for run in client.search_runs([experiment], order_by=["attributes.start_time"]):
    print("  listed:", [artifact.path for artifact in client.list_artifacts(run.info.run_id)])
PYTHON

echo "original:"; venv/bin/python record.py "$(mkdir original && echo original)" first
cp -r original copy
echo "its copy:"; venv/bin/python record.py copy of_the_copy
mv original moved
echo "moved:"; venv/bin/python record.py moved after_the_move
find . -path ./venv -prune -o -name '*.txt' -print | sed -E 's/[0-9a-f]{32}/RUN/' | sort | tee where

diff where - <<'EXPECTED'
./copy/artifacts/RUN/artifacts/first.txt
./moved/artifacts/RUN/artifacts/first.txt
./moved/artifacts/RUN/artifacts/of_the_copy.txt
./original/artifacts/RUN/artifacts/after_the_move.txt
EXPECTED
echo "as found: the copy's artifact went to the original, and the moved folder's to where it was"

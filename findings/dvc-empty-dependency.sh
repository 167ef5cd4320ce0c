#!/bin/sh
# DVC 3.67.1: a dependency that is an empty file is warned of three times in one `dvc repro`, though all is well.
#
# Versions: dvc 3.67.1, Python 3.11. Seen: two warnings before the stage runs and one after it; no setting takes them
# away but --quiet, which takes the rest as well (treeverse/dvc issue 6144, closed). Exits with 1 if that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check dvc==3.67.1
export PATH="$folder/venv/bin:$PATH" DVC_NO_ANALYTICS=1 DVC_SITE_CACHE_DIR="$folder/site"
mkdir project
cd project
dvc init --quiet --no-scm
: > comparisons.jsonl
cat > dvc.yaml <<'YAML'
stages:
  count:
    cmd: wc -l < comparisons.jsonl > count.txt
    deps: [comparisons.jsonl]
    outs: [count.txt]
YAML
dvc repro 2>&1 | tee log
count=$(grep -c "WARNING: 'comparisons.jsonl' is empty" log)
echo "warnings: $count"
test "$count" = 3

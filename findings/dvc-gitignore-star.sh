#!/bin/sh
# DVC 3.67.1: with `/data/*` and `!/data/dvc.*` in .gitignore, git tracks data/dvc.yaml, and DVC does not see the
# pipeline in it: `dvc stage list --all` leaves it out, and `dvc repro data/dvc.yaml` ends in "unexpected error".
# With `/data/?*` in place of `/data/*`, which means the same to git, DVC finds it.
#
# Versions: dvc 3.67.1, dulwich 1.2.21 (it matches "data/" itself with "/data/*", where git does not), Python 3.11.
# The script exits with 1 if that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check dvc==3.67.1 dulwich==1.2.21
export PATH="$folder/venv/bin:$PATH" DVC_NO_ANALYTICS=1 DVC_SITE_CACHE_DIR="$folder/site"

mkdir repository
cd repository
git init --quiet
dvc init --quiet
mkdir data
printf 'stages:\n  hello:\n    cmd: echo hello > hello.txt\n    outs: [hello.txt]\n' > data/dvc.yaml

printf '/data/*\n!/data/dvc.*\n' > .gitignore
git add --all
echo "git tracks:" && git ls-files data | tee tracked
grep --quiet --line-regexp data/dvc.yaml tracked
echo "with /data/* dvc lists:" && dvc stage list --all --name-only | tee listed
test ! -s listed
if dvc repro data/dvc.yaml > said 2>&1; then cat said; exit 1; fi
grep "unexpected error" said

printf '/data/?*\n!/data/dvc.*\n' > .gitignore
echo "with /data/?* dvc lists:" && dvc stage list --all --name-only | tee listed
grep --quiet "data/dvc.yaml:hello" listed
dvc repro data/dvc.yaml

#!/bin/sh
# DVC 3.67.1: `dvc exp run --set-param seed=2` also fills in `${...}` in every other text of params.yaml, and writes the
# result back: a prompt's template "Hello ${name}" becomes "Hello fox" for good, because another key is called `name`.
# A text whose `${...}` names no key stops the command, though the key that is set has nothing to do with it. Without
# --set-param both texts stay as they are.
#
# Versions: dvc 3.67.1 with hydra-core 1.3.8 and omegaconf 2.3.1, Python 3.11. The script exits with 1 if that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check dvc==3.67.1 hydra-core==1.3.8 omegaconf==2.3.1
export PATH="$folder/venv/bin:$PATH" DVC_NO_ANALYTICS=1 DVC_SITE_CACHE_DIR="$folder/site"
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@localhost GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@localhost

mkdir repository
cd repository
git init --quiet
dvc init --quiet
printf 'stages:\n  copy:\n    cmd: cp params.yaml copied.yaml\n    params: [seed]\n    outs: [copied.yaml]\n' > dvc.yaml
printf 'name: fox\nseed: 1\ntemplate: Hello ${name}\n' > params.yaml
git add --all
git commit --quiet --message first

dvc repro --quiet
grep --quiet --fixed-strings 'template: Hello ${name}' copied.yaml
dvc exp run --quiet --set-param seed=2
echo "params.yaml after --set-param seed=2:" && cat params.yaml
grep --quiet --line-regexp 'template: Hello fox' params.yaml

printf 'name: fox\nseed: 1\ntemplate: Hello ${nobody}\n' > params.yaml
git commit --quiet --all --message second
if dvc exp run --set-param seed=3 > said 2>&1; then cat said; exit 1; fi
echo "with a text that names no key:" && cat said
grep --quiet "Interpolation key 'nobody' not found" said

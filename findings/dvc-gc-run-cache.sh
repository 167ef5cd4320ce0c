#!/bin/sh
# DVC 3.67.1: `dvc gc --all-commits` (or --all-experiments) keeps every output of every commit, but a stage with a metrics
# file in git (cache: false) is no longer restored from the run cache: going back to earlier params runs it again.
#
# Versions: dvc 3.67.1, Python 3.11.
# Seen: to restore a stage, DVC also keeps its uncached metrics and plots in the cache; gc counts those as unused, since no
# commit's dvc.lock has them cached, and leaves the run cache's entry. The script exits with 1 if that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check dvc==3.67.1
export PATH="$folder/venv/bin:$PATH" DVC_NO_ANALYTICS=1 DVC_SITE_CACHE_DIR="$folder/site"
export GIT_AUTHOR_NAME=t GIT_AUTHOR_EMAIL=t@localhost GIT_COMMITTER_NAME=t GIT_COMMITTER_EMAIL=t@localhost

mkdir repository
cd repository
git init --quiet
dvc init --quiet
cat > dvc.yaml <<'YAML'
stages:
  train:
    cmd: cp params.yaml model && echo "{\"score\":${knob}}" > metrics.json
    params: [knob]
    outs: [model]
    metrics: [{metrics.json: {cache: false}}]
YAML
for knob in 1 2; do
  echo "knob: $knob" > params.yaml
  dvc repro --quiet
  git add --all && git commit --quiet --message "knob $knob"
done
cp -r . ../collected
again() { echo "knob: 1" > params.yaml && dvc repro 2>&1 | grep "^Stage\|^Running"; }

echo "before gc:"; again
cd ../collected
dvc gc --force --all-commits 2>&1 | grep Removed
echo "the first commit's model is still there:"
git stash --quiet 2>/dev/null || true
git checkout --quiet HEAD~1 && dvc checkout --quiet && cat model && git checkout --quiet - && dvc checkout --quiet
echo "after gc:"; again | tee said
grep --quiet "^Running stage 'train'" said
echo "as found: the model was in the cache, and the stage ran again"

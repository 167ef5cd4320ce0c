#!/bin/sh
# DVC 3.67.1 writes dvc.lock in place: while it is written, for part of a second in a pipeline of 60 stages, it is empty or
# holds the first of its stages alone. Who reads it then sees that, and who is killed then leaves it so.
#
# Versions: dvc 3.67.1, Python 3.11. Seen: of the sizes of the lock that another process reads during one `dvc repro`,
# the smallest is 0 bytes. Of an empty lock the next `dvc repro` says that it lacks a key, `schema`, and ends; of one that is
# cut between two stages it says nothing, and takes those that are cut off for stages that never ran. Deleted, it is written
# anew from the run cache without running a stage. Exits with 1 if any of that changes.
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
python - <<'PY'
names = [f"s{number:02}" for number in range(60)]
stages = [
    f"  {name}:\n    cmd: echo {name} > out_{name}.txt\n    deps: [a.txt]\n"
    f"    outs: [out_{name}.txt]\n" for name in names
]
open("dvc.yaml", "w").write("stages:\n" + "".join(stages))
PY
echo 1 > a.txt
dvc repro --quiet
whole=$(wc -c < dvc.lock)
cp dvc.lock kept

echo 2 > a.txt
dvc repro --quiet s59 &
repro=$!
smallest=$(python - "$repro" <<'PY'
import os, sys

seen = []
while open(f"/proc/{sys.argv[1]}/stat").read().rpartition(")")[2].split()[0] != "Z":  # until it has ended
    seen.append(os.path.getsize("dvc.lock"))
print(min(seen))
PY
)
wait "$repro"
echo "the lock: $whole bytes; the smallest that was seen while it was written: $smallest"
test "$smallest" -lt "$((whole / 2))"

echo 1 > a.txt # all is as it was, but for the lock
: > dvc.lock
if dvc repro > told 2>&1; then exit 1; fi
cat told
grep -q "required key not provided, in schema" told

sed '/^  s30:/,$d' kept > dvc.lock
count=$(dvc status | grep -c '^s')
echo "stages to run, where the second half of the lock is cut off: $count"
test "$count" = 30

rm dvc.lock
count=$(dvc repro 2>&1 | grep -c "is cached - skipping run")
echo "stages taken from the run cache, where the lock was deleted: $count"
test "$count" = 60

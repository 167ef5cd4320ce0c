#!/usr/bin/env bash
# torch 2.13.0: torch.save on a full disk raises a RuntimeError about positions that does not say that the disk is full.
#
# No OSError, no errno: "[enforce fail at inline_container.cc] . unexpected pos 2803136 vs 2803088". Given an open file in
# place of a path, the OSError can be had as the error's __context__; given a path it cannot, and a part of the file stays.
# Here a limit on the size of files stands for the disk; a full tmpfs gives the same.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet torch==2.13.0
"$folder/venv/bin/python" -m pip install --quiet numpy==2.4.6
cd "$folder"
timeout 120 venv/bin/python - <<'PYTHON'
import os
import resource

import torch

tree = {f"layer{number}": torch.randn(1000, 100) for number in range(30)}
resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
print(f"torch {torch.__version__}")
found = {}
for how in ("path", "file"):
    try:
        if how == "path":
            torch.save(tree, how)
        else:
            with open(how, "wb") as file:
                torch.save(tree, file)
    except Exception as error:
        found[how] = (type(error).__name__, type(error.__context__).__name__, os.path.getsize(how))
        print(f"{how}: {type(error).__name__}: {error}; __context__: {error.__context__!r}; {found[how][2]} bytes stay")
expected = {"path": ("RuntimeError", "RuntimeError", 3_000_000), "file": ("RuntimeError", "OSError", 3_000_000)}
assert found == expected, "this changed"
PYTHON

#!/usr/bin/env bash
# torch 2.13.0: torch.optim.Muon on float32 weights takes over ten times as long on a CPU without AVX-512.
#
# The momentum is made orthogonal in bfloat16 whatever the weights are, and the CPU decides what that costs. Of a matrix
# of 128 x 336, in processor time: with AVX512-BF16 0.7 ms where float32 takes 1.6; with AVX-512 alone 2.4 for 1.4; with
# AVX2, as most laptops have it, 22 for 1.6, since oneDNN then has no product in bfloat16 and a plain loop takes its place.
# x86 only. On a CPU with AVX-512 oneDNN is told to do without, which was measured to change nothing but this.
set -euo pipefail
[ "$(uname -m)" = x86_64 ] || { echo "not an x86 CPU: nothing to see here" >&2; exit 1; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet torch==2.13.0
"$folder/venv/bin/python" -m pip install --quiet numpy==2.4.6
for isa in AVX2 DEFAULT; do
    ONEDNN_MAX_CPU_ISA=$isa timeout 300 "$folder/venv/bin/python" - "$isa" <<'PYTHON'
import statistics
import sys
import time

import torch

torch.set_num_threads(1)
weight = torch.nn.Parameter(torch.randn(128, 336))
weight.grad = torch.randn(128, 336)
optimiser = torch.optim.Muon([weight], lr=1e-3, momentum=0.95)


def same_in_float32():
    """The same five iterations, on the gradient."""
    found = weight.grad / weight.grad.norm()
    for _ in range(5):
        gram = found @ found.T
        found = torch.addmm(found, torch.addmm(gram, gram, gram, beta=-4.775, alpha=2.0315), found, beta=3.4445)


def milliseconds(function):
    spent = []
    for _ in range(31):
        began = time.process_time()
        function()
        spent.append(1e3 * (time.process_time() - began))
    return statistics.median(spent)


step, float32 = milliseconds(optimiser.step), milliseconds(same_in_float32)
print(f"torch {torch.__version__}, oneDNN {sys.argv[1]}: a step {step:.2f} ms, the same iterations in float32 {float32:.2f} ms")
assert sys.argv[1] == "DEFAULT" or step > 4 * float32, "this changed"
PYTHON
done

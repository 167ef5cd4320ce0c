#!/usr/bin/env bash
# torch 2.13.0: torch.optim.Muon without Nesterov destroys its momentum where the weights are bfloat16.
#
# The update is normalised in place. Of bfloat16 weights without Nesterov the update is the momentum itself, since
# grad.bfloat16() copies nothing: after every step the momentum has norm 1, and the next gradient decides alone.
# With Nesterov, or with float32 weights, the momentum is right. PyTorch's pull request 194664 mends it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet torch==2.13.0
"$folder/venv/bin/python" -m pip install --quiet numpy==2.4.6
timeout 120 "$folder/venv/bin/python" - <<'PYTHON'
import torch

torch.manual_seed(0)
gradient = 100 * torch.randn(64, 64)
expected = (1 - 0.9**3) * gradient.norm().item()  # three equal gradients, momentum 0.9
print(f"torch {torch.__version__}; expected: {expected:.1f}")
wrong = set()
for dtype in (torch.float32, torch.bfloat16):
    for nesterov in (True, False):
        weight = torch.nn.Parameter(torch.randn(64, 64).to(dtype))
        optimiser = torch.optim.Muon([weight], lr=0.0, momentum=0.9, nesterov=nesterov)
        for _ in range(3):
            weight.grad = gradient.to(dtype)
            optimiser.step()
        norm = optimiser.state[weight]["momentum_buffer"].float().norm().item()
        print(f"{dtype}, nesterov={nesterov}: norm of the momentum {norm:.1f}")
        if abs(norm / expected - 1) > 0.01:
            wrong.add((dtype, nesterov, round(norm, 2)))
assert wrong == {(torch.bfloat16, False, 1.0)}, "this changed"
PYTHON

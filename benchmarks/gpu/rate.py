"""What rate matrix products of a training step's size reach: python -m benchmarks.gpu.rate DEVICE SHAPE"""

import sys

import torch

from benchmarks.gpu import shapes

ROUNDS = 10


def main(device: str, name: str) -> None:
    shape = shapes.SHAPES[name]
    rows = 8192 if device == "cuda" else 64
    for dtype in ("bfloat16", "float32"):
        x = torch.randn(rows, shape.width, dtype=getattr(torch, dtype), device=device)
        weight = torch.randn(shape.width, shape.inner, dtype=getattr(torch, dtype), device=device)
        best = min(_seconds(x, weight, device) for _ in range(ROUNDS))
        shapes.tell(f"rate/{dtype}", tflops=2 * rows * shape.width * shape.inner / best / 1e12)


def _seconds(x: torch.Tensor, weight: torch.Tensor, device: str) -> float:
    began = shapes.synchronise(device)
    for _ in range(ROUNDS):
        _ = x @ weight
    return (shapes.synchronise(device) - began) / ROUNDS


if __name__ == "__main__":
    main(*sys.argv[1:3])

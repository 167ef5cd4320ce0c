"""The dtype of matrix products: float32, or bfloat16 under autocast; weights, sums and gradients stay float32."""

from contextlib import AbstractContextManager

import torch
from torch import Tensor


def dtype(states: Tensor) -> torch.dtype:
    """Return what autocast, where it is on, computes products of `states` in; else their own dtype."""
    device = states.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else states.dtype


def as_written() -> AbstractContextManager:
    """Return a context on a CPU in which products are computed in the dtypes of their factors."""
    return torch.autocast("cpu", enabled=False)


def num_rows(needed: int, of: torch.dtype) -> int:
    """Return how many rows to compute where so many are needed.

    oneDNN makes a program for each shape of a bfloat16 product, which takes as long as the product and about two
    megabytes; in steps of a sixteenth or less there are few shapes.
    """
    if of != torch.bfloat16:
        return needed
    step = max(16, 2 ** (needed.bit_length() - 5))
    return -(-needed // step) * step

"""Weights that lie in shards among processes are whole only while a function of them is called by their module.

`rlhf.sharding` gives such modules the method; whoever reads weights past `forward` calls them by `within`. In one
process there is no such method, and the function is called as it is.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from torch import nn

METHOD = "within_shards"

Result = TypeVar("Result")


def within(module: nn.Module, function: Callable[..., Result], *given: Any) -> Result:
    """Return function(*given), called while the weights of `module` are whole; gradients flow through `given`."""
    gathered = getattr(module, METHOD, None)
    return function(*given) if gathered is None else gathered(function, *given)

"""A model's weights, whole and one after another, as a folder of it or another program takes them."""

from collections.abc import Iterator

from torch import Tensor, nn


def named(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield each parameter under its first name; one that two places share comes once."""
    for name, weight in model.named_parameters():
        yield name, weight.detach()

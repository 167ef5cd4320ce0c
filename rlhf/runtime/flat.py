"""Nested mappings as one level of dotted names, the shape in which MLflow keeps parameters and metrics."""

from collections.abc import Mapping
from typing import Any


def flatten(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one level with dotted names; lists stay values."""
    flat: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def flat_numbers(content: Mapping[str, Any]) -> dict[str, float]:
    """Return the numeric leaves of nested mappings (NumPy and torch scalars too) under dotted names."""
    numbers = {}
    for name, leaf in flatten(content).items():
        value = leaf.item() if hasattr(leaf, "item") else leaf
        if isinstance(value, int | float) and not isinstance(value, bool):
            numbers[name] = float(value)
    return numbers

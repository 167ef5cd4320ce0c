"""Nested mappings as one level of dotted names, the shape in which MLflow keeps parameters and metrics."""

from collections.abc import Collection, Mapping
from typing import Any

ABSENT = "(none)"  # stands for the value of a name that only the other side has


def flatten(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one level with dotted names; lists stay values."""
    flat: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def below(flat: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """Return what of a flat mapping stands at these dotted names or below them."""
    return {key: value for key, value in flat.items() if any(key == one or key.startswith(f"{one}.") for one in names)}


def differing(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return {name: both values} of the names whose values differ, or that only one of two flat mappings has."""
    return {
        key: (first.get(key, ABSENT), second.get(key, ABSENT))
        for key in {**first, **second}
        if key not in first or key not in second or first[key] != second[key]
    }


def flat_numbers(content: Mapping[str, Any]) -> dict[str, float]:
    """Return the numeric leaves of nested mappings (NumPy and torch scalars too) under dotted names."""
    numbers = {}
    for name, leaf in flatten(content).items():
        value = leaf.item() if hasattr(leaf, "item") else leaf
        if isinstance(value, int | float) and not isinstance(value, bool):
            numbers[name] = float(value)
    return numbers

"""Values read from files, told apart so that the type checker knows what they hold: anything."""

from typing import Any, TypeGuard


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Return whether a value is a list."""
    return isinstance(value, list)


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Return whether a value is what JSON calls an object; its keys are text."""
    return isinstance(value, dict)

"""Lists that stand as text in a table's cell: JSON, or what Python or NumPy print."""

import ast
import re
from typing import Any

from rlhf.records.json_values import check_characters, is_list, parsed

BETWEEN = re.compile(r"(?<=[}\]'\"])\s*\n\s*(?=[{\['\"])")  # NumPy prints the items of an array without commas
LONGEST = 1 << 20  # characters


def in_cell(value: str, where: str = "a list in a cell") -> Any:
    """Return the list that a text spells as JSON or as Python prints it; the text itself where it spells none.

    Raises ValueError naming `where` for a list that holds half of a character.
    """
    if not (value.lstrip().startswith("[") and value.rstrip().endswith("]")) or len(value) > LONGEST:
        return value
    try:
        return parsed(value, "", unit="character")
    except ValueError:
        pass
    try:
        found = ast.literal_eval(BETWEEN.sub(", ", value.strip()))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return value
    if not is_list(found):
        return value
    check_characters(found, where)
    return found

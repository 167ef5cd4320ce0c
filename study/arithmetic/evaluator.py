"""Sums as models write them → exact fractions: whole numbers, + - * / and parentheses, and nothing else.

Nothing of a text is run. It is parsed to a tree, of which each node is one of the few that are known here, or refused.
"""

import ast
import operator
import re
import warnings
from collections.abc import Callable
from fractions import Fraction

MOST_CHARACTERS = 80
MOST_DIGITS = 6  # of a number
MOST_DEPTH = 8  # of operations in one another
NUMBER = re.compile(rf"[0-9]{{1,{MOST_DIGITS}}}")
TWO: dict[type[ast.operator], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
ONE: dict[type[ast.unaryop], Callable[[Fraction], Fraction]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}


class Refused(ValueError):
    """A text is no sum that is computed here; the message says why."""


def evaluate(text: str) -> Fraction:
    """Return what a sum comes to. Raises Refused for every other text, and for a division by zero."""
    text = text.strip()
    if not text:
        raise Refused("expected a sum, got nothing")
    if len(text) > MOST_CHARACTERS:
        raise Refused(f"expected at most {MOST_CHARACTERS} characters, got {len(text)}")
    try:
        with warnings.catch_warnings(action="ignore"):  # of Python's parser, for `1if`
            tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise Refused(f"expected a sum, got {text!r}") from None
    return _value(tree.body, text, 0)


def _value(node: ast.expr, text: str, depth: int) -> Fraction:
    """Return the value of a node with `depth` operations around it."""
    if isinstance(node, ast.Constant):
        written = ast.get_source_segment(text, node) or ""
        if not NUMBER.fullmatch(written):
            raise Refused(f"expected a whole number of at most {MOST_DIGITS} digits, got {written}")
        return Fraction(int(written))
    if depth == MOST_DEPTH:
        raise Refused(f"expected at most {MOST_DEPTH} operations in one another")
    if isinstance(node, ast.UnaryOp) and type(node.op) in ONE:
        return ONE[type(node.op)](_value(node.operand, text, depth + 1))
    if isinstance(node, ast.BinOp) and type(node.op) in TWO:
        first, second = (_value(side, text, depth + 1) for side in (node.left, node.right))
        if isinstance(node.op, ast.Div) and second == 0:
            raise Refused("division by zero")
        return TWO[type(node.op)](first, second)
    what = type(node.op).__name__ if isinstance(node, ast.UnaryOp | ast.BinOp) else type(node).__name__
    raise Refused(f"expected numbers, + - * / and parentheses, got {what}")

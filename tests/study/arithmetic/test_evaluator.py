"""What a model writes is computed only where it is a sum; all else is refused, with its reason."""

from fractions import Fraction

import pytest

from study.arithmetic import evaluator
from study.arithmetic.evaluator import Refused


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12 + 7 - 5", 14), ("(12 + 7) / 2", Fraction(19, 2)), ("2 + 3 * 4", 14), (" -3 - -4\n", 1), ("+7", 7),
        ("1 / 3 + 1 / 3 + 1 / 3", 1), ("999999 * 999999", 999998000001), ("0", 0),
    ],
)  # fmt: skip
def test_sums_are_computed_exactly(text, value):
    assert evaluator.evaluate(text) == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("apples + 1", "Name"), ("print(1)", "Call"), ("__import__('os').system('true')", "Call"),
        ("(1).real", "Attribute"), ("2 ** 9", "Pow"), ("1 << 9", "LShift"), ("8 >> 1", "RShift"),
        ("7 // 2", "FloorDiv"), ("7 % 2", "Mod"), ("1 < 2", "Compare"), ("1 and 2", "BoolOp"), ("6 & 3", "BitAnd"),
        ("~1", "Invert"), ("not 1", "Not"), ("'a' * 9", "'a'"), ("f'{1}'", "JoinedStr"), ("True + 1", "True"),
        ("None", "None"), ("1.5", "1.5"), ("1e5", "1e5"), ("2j", "2j"), ("0x10", "0x10"), ("1_000", "1_000"),
        ("...", "..."),
        ("1000000", "at most 6 digits"), ("9" * 70, "at most 6 digits"), ("[1]", "List"), ("(1, 2)", "Tuple"),
        ("lambda: 1", "Lambda"), ("(x := 1)", "NamedExpr"), ("1 if 1 else 2", "IfExp"),
        ("[i for i in (1,)]", "ListComp"),
        ("x = 1", "expected a sum, got 'x = 1'"), ("1; 2", "expected a sum"), ("1\n2", "expected a sum"),
        ("12 +", "expected a sum"), ("twelve plus two", "expected a sum"), ("007", "expected a sum"),
        ("1 \x00+ 2", "expected a sum"), ("", "got nothing"), (" \n", "got nothing"), ("1 / 0", "division by zero"),
        ("1 / (2 - 2)", "division by zero"), ("(" * 39 + "1" + ")" * 41, "81|expected a sum"),
        ("1 + " * 20 + "1", "at most 80 characters"),
    ],
)  # fmt: skip
def test_all_else_is_refused(text, reason):
    with pytest.raises(Refused, match=reason.replace("(", r"\(").replace("**", r"\*\*").replace("...", r"\.\.\.")):
        evaluator.evaluate(text)


def test_the_bounds_themselves_are_computed():
    assert evaluator.evaluate("1" + " + 1" * evaluator.MOST_DEPTH) == 1 + evaluator.MOST_DEPTH
    with pytest.raises(Refused, match="at most 8 operations"):
        evaluator.evaluate("1" + " + 1" * (evaluator.MOST_DEPTH + 1))
    assert evaluator.evaluate(f"{'9' * evaluator.MOST_DIGITS} - 0") == 999999
    padded = "1 + 1".center(200)
    assert evaluator.evaluate(padded) == 2  # spaces around are none of its characters
    assert evaluator.evaluate(f"1 +{' ' * (evaluator.MOST_CHARACTERS - 4)}1") == 2
    with pytest.raises(Refused, match="at most 80 characters, got 81"):
        evaluator.evaluate(f"1 +{' ' * (evaluator.MOST_CHARACTERS - 3)}1")

"""A format that a public data set, a trainer or a labelling tool writes: how it is known, and how a row of it is read.

A row becomes one of our own columns (docs/data.md): prompt or messages, response, responses with scores or ranks.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from rlhf.collection.dialogues import content_of
from rlhf.collection.dropped import Dropped
from rlhf.collection.formats.cells import in_cell
from rlhf.collection.readers import Row
from rlhf.params.base import listed, shown
from rlhf.params.collect_prompts import Meaning
from rlhf.records.json_values import is_list, is_object

Fields = Mapping[str, Any]
Own = dict[str, Any]  # our own columns
Read = Callable[[Fields], Own]

DESCRIPTIONS: dict[Meaning, list[str]] = {  # by which names rows describe themselves, in every format
    "system": ["system", "system_prompt"],
    "labeler": ["labeler"],
    "user": ["user", "user_id"],
    "category": ["category"],
    "language": ["language", "lang"],
}
DESCRIBING = {name for names in DESCRIPTIONS.values() for name in names}
EVERY = "*"
NOT_READ = "schema not read from a card"


def always(_: Fields) -> bool:
    return True


class Form(NamedTuple):
    """One format. `read` raises Dropped for a row that holds nothing to learn from, ValueError for a broken one."""

    name: str
    says: str  # what decides, and how it is coded, for the data card
    source: str  # where its schema and its coding were read
    columns: frozenset[str]  # it is known by them
    read: Read
    is_it: Callable[[Fields], bool] = always  # where columns of these names may hold something else
    also: frozenset[str] = frozenset()  # further columns that it reads; EVERY: whichever hold what it looks for
    join: Callable[[Iterable[Row]], Iterator[Row]] | None = None  # where several rows make one
    beside: str = ""  # what else it is known by, where columns of these names may hold something else

    def known(self) -> str:
        """Return what it is known by, for the documentation."""
        return "; ".join(filter(None, [", ".join(f"`{name}`" for name in sorted(self.columns)), self.beside]))

    def own(self, row: Row) -> Row:
        """Return a row in our own columns, with its descriptions. Errors name place and format."""
        try:
            self._check_columns(row.fields)
            found = self.read(row.fields)
        except ValueError as error:
            columns = "" if "column" in str(error) else f"columns {listed(sorted(self.columns & row.fields.keys()))}: "
            raise ValueError(f"{row.where}: read as {self.name}: {columns}{error}") from None
        described = {name: value for name, value in row.fields.items() if name in DESCRIBING and value is not None}
        return Row({**described, **found}, row.where)

    def _check_columns(self, fields: Fields) -> None:
        """Raise ValueError where a row lacks a column that others of its source have; joins make rows of their own."""
        absent = sorted(self.columns - fields.keys()) if self.join is None else []
        if absent:
            raise ValueError(f"column '{absent[0]}' is missing")


def text(fields: Fields, *path: str) -> str:
    """Return the text at a column, or deeper; ValueError names it."""
    value = at(fields, *path)
    if not isinstance(value, str):
        raise ValueError(f"column '{'.'.join(path)}': expected text, got {shown(value)}")
    return value


def number(fields: Fields, *path: str) -> float:
    """Return the finite number at a column, also where it stands as text; ValueError names it."""
    value = as_number(at(fields, *path))
    if value is None:
        raise ValueError(f"column '{'.'.join(path)}': expected a number, got {shown(at(fields, *path))}")
    return value


def as_number(value: Any) -> float | None:
    """Return a finite number, also of a text; None for all else, such as null or "N/A"."""
    try:
        found = float(value) if isinstance(value, int | float | str) else math.nan
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def at(fields: Fields, *path: str) -> Any:
    """Return the value at a column, or deeper. ValueError where an object on the way is none."""
    value: Any = fields
    for depth, name in enumerate(path):
        if not is_object(value):
            raise ValueError(f"column '{'.'.join(path[:depth])}': expected an object, got {shown(value)}")
        value = value.get(name)
    return value


def objects(fields: Fields, *path: str) -> list[Mapping[str, Any]]:
    """Return the list of objects at a column, or deeper, also where it stands as text; ValueError names it."""
    value = _listed(at(fields, *path))
    if not is_list(value) or not all(is_object(one) for one in value):
        raise ValueError(f"column '{'.'.join(path)}': expected a list of objects, got {shown(value)}")
    return value


def items(fields: Fields, column: str) -> list[Any]:
    """Return the list at a column, also where it stands as text; ValueError names it."""
    value = _listed(fields.get(column))
    if not is_list(value):
        raise ValueError(f"column '{column}': expected a list, got {shown(value)}")
    return value


def _listed(value: Any) -> Any:
    """Return the list that a table's cell spells; another value as it is."""
    return in_cell(value) if isinstance(value, str) else value


def pair(first: Any, second: Any, better: int | None) -> Own:
    """Return two answers of which `better` (0 or 1) was preferred; None: a tie. A turn or a list of them may be one."""
    ranks = [1, 1] if better is None else [1, 2] if better == 0 else [2, 1]
    return {"responses": [answer(first), answer(second)], "ranks": ranks}


def scored(answers: Sequence[Any], scores: Sequence[Any]) -> Own:
    """Return answers with scores, higher is better, without those that have none."""
    return _judged(answers, scores, "scores")


def ranked(answers: Sequence[Any], ranks: Sequence[Any]) -> Own:
    """Return answers with ranks, of which the lowest is best, without those that have none."""
    return _judged(answers, ranks, "ranks")


def _judged(answers: Sequence[Any], numbers: Sequence[Any], column: str) -> Own:
    if len(answers) != len(numbers):
        raise ValueError(f"expected as many {column} as answers, got {len(numbers)} and {len(answers)}")
    known = [(answer(one), as_number(judgement)) for one, judgement in zip(answers, numbers, strict=True)]
    kept = [(one, judgement) for one, judgement in known if judgement is not None]
    if not kept:
        raise Dropped("answers_without_scores")
    return {"responses": [one for one, _ in kept], column: [judgement for _, judgement in kept]}


SIDES = {  # what names of winners mean: the first answer, the second, neither
    **dict.fromkeys(["model_a", "a", "response_a", "left", "first", "model_1", "response1", "response_1", "1"], 0),
    **dict.fromkeys(["model_b", "b", "response_b", "right", "second", "model_2", "response2", "response_2", "2"], 1),
    **dict.fromkeys(["tie", "tie_(bothbad)", "both_bad", "bothbad", "equal", "neither", "draw"], None),
}
TRUE, FALSE = {"true", "1", "1.0", "yes", "good", "chosen", "+1"}, {"false", "0", "0.0", "no", "bad", "rejected", "-1"}


def side(value: Any) -> int | None:
    """Return which of two answers a name says that won; None for a tie."""
    name = "_".join(str(value).lower().split())
    if name not in SIDES:
        raise ValueError(f"expected model_a, model_b or tie, got {shown(value)}")
    return SIDES[name]


def index(value: Any, first: int = 0) -> int | None:
    """Return which of two answers a number says that is better, if the first one has number `first`; None: neither."""
    found = as_number(value)
    if found is None and value is not None or found is not None and found not in (first, first + 1):
        raise ValueError(f"expected {first} or {first + 1}, got {shown(value)}")
    return None if found is None else int(found) - first


def sign(value: Any) -> int | None:
    """Return which of two answers a signed strength prefers: the first below 0, the second above; None at 0."""
    found = as_number(value)
    if found is None:
        raise ValueError(f"expected a number, got {shown(value)}")
    return None if found == 0 else int(found > 0)


def is_flag(value: Any) -> bool:
    return value is not None and str(value).strip().lower() in TRUE | FALSE


def good_or_bad(value: Any, place: str) -> bool:
    """Return whether a flag says good. Raises ValueError for a value that is none."""
    if not is_flag(value):
        raise ValueError(f"{place}: expected true or false, got {shown(value)}")
    return str(value).strip().lower() in TRUE


def answer(value: Any) -> str:
    """Return the text of an answer: a text, an assistant's turn, or a list that ends with one."""
    if is_list(value) and value:
        value = value[-1]
    if is_object(value):
        value = next(
            (value[name] for name in ("content", "value", "text", "parts") if value.get(name) is not None), None
        )
    if is_list(value) and value and all(is_object(part) for part in value):
        return content_of(value, "an answer")
    if value is None:
        raise Dropped("no_answer")
    if not isinstance(value, str):
        raise ValueError(f"expected an answer's text, got {shown(value)}")
    return value


def answer_in(fields: Fields, column: str) -> str:
    """Return the text of the answer at a column; ValueError names it."""
    try:
        return answer(fields.get(column))
    except ValueError as error:
        raise ValueError(f"column '{column}': {error}") from None


def holds_objects(column: str, *keys: str) -> Callable[[Fields], bool]:
    """Return whether a column holds a list of objects, the first of them with these keys."""

    def is_it(fields: Fields) -> bool:
        value = _listed(fields.get(column))
        return is_list(value) and bool(value) and is_object(value[0]) and {*keys} <= value[0].keys()

    return is_it


def holds_texts(column: str) -> Callable[[Fields], bool]:
    """Return whether a column holds a list of texts."""

    def is_it(fields: Fields) -> bool:
        value = fields.get(column)
        return is_list(value) and bool(value) and all(isinstance(one, str) for one in value)

    return is_it


def known_by(*columns: str) -> frozenset[str]:
    return frozenset(columns)

"""JSON files -> raw rows: an object a line, a list of them, objects one after another, or one that holds them all."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from rlhf.collection.bounded import Bound, size_of
from rlhf.collection.files.json_text import JsonText
from rlhf.collection.files.packed import head_of
from rlhf.collection.readers import Row, read_jsonl, row_of
from rlhf.params.base import listed
from rlhf.records.json_values import is_object

# Keys that hold the rows of a file, whatever stands beside them.
OF_ROWS = {"data", "rows", "records"}
# Keys of a row that may hold a list of objects.
OF_A_ROW = {
    "messages", "conversations", "conversation", "prompt", "completion", "completions", "response", "responses",
    "chosen", "rejected", "history", "turns", "dialogue", "tools", "answers", "generations", "candidates", "outputs",
    "labels", "annotations", "predictions", "preference", "contents", "context", "documents",
}  # fmt: skip
PROMPTS = {"prompt", "instruction", "question", "query", "input", "text"}  # beside one of them a list is of a row too
SPEAKER = {"role", "from"}  # keys of a turn
BY_PANDAS = "pandas writes rows with to_json(path, orient='records', lines=True)"

Kind = Literal["rows", "turns", "mixed", "list", "numbered", "object", "value"]


class Member(NamedTuple):
    """What a key of a file's one object holds."""

    kind: Kind  # rows: a list of objects that are no turns; mixed: one that begins so; numbered: an object by number
    size: int  # of a list or an object


EMPTY = Member("list", 0)


def read_json(path: Path, bound: Bound, by_line: bool = False) -> Iterator[Row]:
    """Yield the rows of a JSON or JSONL file.

    One object by itself is a row, unless it holds a list of rows (`{"data": [...]}`) or a list for each column.
    `by_line`: its name says that a line is a row, so that one line is none of these but for a key of OF_ROWS.
    """
    found = not_by_line(path, bound, by_line)
    yield from read_jsonl(path, bound) if found is None else found


def not_by_line(path: Path, bound: Bound, by_line: bool) -> Iterator[Row] | None:
    """Return the rows of a file as `read_json` does, but None where each line is one."""
    text = JsonText(path, bound)
    first = text.next_character()
    if first == "[":
        return _of_list(text, path)
    if first != "{":
        return None
    begins = text.line()
    members = _members(text, f"{path}: {f'line {begins}' if _ends(path, begins) else 'record 1'}")
    on_one_line = text.line() == begins
    is_row = bool(text.next_character()) or (by_line and on_one_line and not OF_ROWS & set(members))
    if not is_row and (rows := _within(members, path, bound)) is not None:
        return rows
    return None if on_one_line else _one_after_another(path, bound)


def _ends(path: Path, begins: int) -> bool:
    """Return whether the line at which an object begins looks as if the object ends there."""
    ends = head_of(path).text().split("\n", begins)
    return len(ends) >= begins and ends[begins - 1].rstrip().endswith("}")


def _of_list(text: JsonText, path: Path) -> Iterator[Row]:
    for where, value in text.items(lambda number: f"{path}: record {number}"):
        yield row_of(value, where)
    if text.next_character():
        text.refuse("Extra data")


def _one_after_another(path: Path, bound: Bound) -> Iterator[Row]:
    text, number = JsonText(path, bound), 0
    while text.next_character():
        number += 1
        where = f"{path}: record {number}"
        yield row_of(text.value(where), where)


def _members(text: JsonText, where: str) -> dict[str, Member]:
    """Take an object, value by value of its lists and objects, and return what its keys hold."""
    members: dict[str, Member] = {}
    for key in text.keys(where):
        opening = text.next_character()
        if opening == "[":
            members[key] = _list(text, where)
        elif opening == "{":
            size, numbered = 0, True
            for name in text.keys(where):
                size, numbered = size + 1, numbered and name.isdecimal()
                text.value(where)
            members[key] = Member("numbered" if size and numbered else "object", size)
        else:
            text.value(where)
            members[key] = Member("value", 1)
    return members


def _list(text: JsonText, where: str) -> Member:
    size, objects, turns, begins = 0, 0, 0, False
    for _, value in text.items(lambda _: where):
        size += 1
        objects += is_object(value)
        turns += is_object(value) and bool(SPEAKER & set(value))
        begins = begins or (size == 1 and is_object(value))
    if size and turns == size:
        return Member("turns", size)
    if size and objects == size:
        return Member("rows", size)
    return Member("mixed" if begins else "list", size)


def _within(members: Mapping[str, Member], path: Path, bound: Bound) -> Iterator[Row] | None:
    """Return the rows that a file's one object holds, None if it is a row. Raises ValueError if it tells neither."""
    kinds = {held.kind for held in members.values()}
    lists = [key for key, held in members.items() if held.kind in ("rows", "turns")]
    named = [
        key
        for key in members
        if key in OF_ROWS and (key in lists or members[key].kind == "mixed" or members[key] == EMPTY)
    ]
    plain = kinds <= {"rows", "value"} and not OF_A_ROW & set(lists) and not _beside_a_prompt(members)
    found = list(dict.fromkeys([*named, *lists])) if named or plain else []
    if len(found) > 1:
        raise ValueError(
            f"{path}: one object with several lists of objects ({listed(found)}), of which each may be the rows; write "
            "each to a file of its own"
        )
    if found:
        return _rows_under(found[0], path, bound)
    if kinds and kinds <= {"object", "numbered"} and all(key.isdecimal() for key in members):
        raise ValueError(f"{path}: objects under numbers, not in a list; {BY_PANDAS}")
    if kinds == {"numbered"} or (
        "list" in kinds and kinds <= {"list", "rows"} and any(held.size for held in members.values())
    ):
        return _of_columns(members, path, bound)
    return None


def _beside_a_prompt(members: Mapping[str, Member]) -> bool:
    return any(key in PROMPTS and held.kind == "value" for key, held in members.items())


def _rows_under(wanted: str, path: Path, bound: Bound) -> Iterator[Row]:
    for where, value in _values_under(wanted, path, bound):
        yield row_of(value, where)


def _of_columns(members: Mapping[str, Member], path: Path, bound: Bound) -> Iterator[Row]:
    """Yield the rows of columns: the file is read once a column, each at its place, so that none is held whole."""
    if len({held.size for held in members.values()}) > 1:
        sizes = ", ".join(f"{key} {held.size}" for key, held in members.items())
        raise ValueError(f"{path}: one object of columns that differ in length: {sizes:.400}; {BY_PANDAS}")
    columns = [_values_under(key, path, bound) for key in members]
    for number, cells in enumerate(zip(*columns, strict=True), start=1):
        labels = {where.rpartition(" ")[2] for where, _ in cells}
        if len(labels) > 1:
            raise ValueError(f"{path}: value {number} stands under {listed(sorted(labels))}; {BY_PANDAS}")
        fields = dict(zip(members, (value for _, value in cells), strict=True))
        bound.check(size_of(fields), f"{path}: row {number}")
        yield Row(fields, f"{path}: row {number}")


def _values_under(wanted: str, path: Path, bound: Bound) -> Iterator[tuple[str, Any]]:
    """Yield (place, value) of the list or object under a key of a file's one object."""
    text = JsonText(path, bound)
    text.next_character()
    where = f"{path}: record 1"
    for key in text.keys(where):
        opening = text.next_character()
        if opening == "[":
            found = text.items(lambda number: f"{path}: {wanted} {number}")
        elif opening == "{":
            found = ((f"{path}: {wanted} {name}", text.value(where)) for name in text.keys(where))
        else:
            found = iter([(where, text.value(where))])
        for one in found:
            if key == wanted:
                yield one

"""Raw rows -> records: recognises the usual columns of public data sets, or follows a mapping from params.

Usual columns: prompt/response, messages or conversations, instruction/input/output, question/answer, chosen/rejected
(with a prompt, as message lists, or as hh-rlhf transcripts), prompt/responses with scores, ranking or labels, text.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from rlhf.collection import dialogues
from rlhf.collection.dialogues import Messages
from rlhf.collection.dropped import Dropped
from rlhf.collection.formats import labels
from rlhf.collection.formats.cells import in_cell
from rlhf.collection.formats.form import DESCRIPTIONS, as_number, good_or_bad, index, pair, side, sign
from rlhf.collection.languages.names import code_of
from rlhf.collection.readers import Row
from rlhf.params.base import listed, shown
from rlhf.params.collect_prompts import FeedbackSource, Meaning, Source, TableSource
from rlhf.records.json_values import is_list, is_object, parsed
from rlhf.records.types import DialogueRecord, Document, Label

USUAL: dict[Meaning, list[str]] = {
    "text": ["text"],
    "messages": ["messages", "conversations", "conversation"],
    "prompt": ["prompt", "instruction", "question", "query"],
    "history": ["history"],
    "response": ["response", "completion", "output", "answer"],
    "chosen": ["chosen"],
    "rejected": ["rejected"],
    "responses": ["responses"],
    "scores": ["scores"],
    "ranking": ["ranking"],
    "ranks": ["ranks"],
    **DESCRIPTIONS,
}
DROPPED = "dropped"  # column of a row of feedback that is none: why
LISTS: set[Meaning] = {"messages", "responses", "scores", "ranking", "ranks", "labels"}
TURNS: set[Meaning] = {"prompt", "chosen", "rejected", "response", "history"}  # text, or a list of turns as text


class Cell(NamedTuple):
    """A value and where it stands."""

    value: Any
    where: str
    column: str = ""

    @property
    def place(self) -> str:
        """Its place for messages ("a.jsonl: line 3, column 'scores'")."""
        return f"{self.where}, column {shown(self.column)}" if self.column else self.where


Cells = Mapping[Meaning, Cell]


def recognise(row: Row, source: Source, index: int) -> Document | DialogueRecord:
    """Return the document, prompt, demonstration or comparison that a row holds, with id '<source>-<index>'.

    A comparison keeps all its responses here. Raises Dropped for rows that cannot be used, ValueError (naming place and
    fix) for broken ones and for columns that nothing is known about.
    """
    if isinstance(source, FeedbackSource) and DROPPED in row.fields:
        raise Dropped(row.fields[DROPPED])
    cells = _cells(row, source)
    if "text" in cells and (set(source.use) == {"documents"} or not {"prompt", "messages", "chosen"} & set(cells)):
        return Document(kind="document", text=_text(cells["text"]), source=source.name)
    if "label" in cells and not good_or_bad(cells["label"].value, cells["label"].place):
        raise Dropped("answer_marked_bad")
    if "chosen" in cells or "rejected" in cells:
        found = _pair(cells, source, row)
    elif "first" in cells or "second" in cells:
        found = _decided(cells, source, row)
    elif "responses" in cells:
        found = _ranked(cells, source)
    elif "prompt" in cells or "messages" in cells:
        found = _demonstration(cells)
    else:
        raise ValueError(
            f"{row.where}: source '{source.name}': no usual columns among: {listed(row.fields) or 'none'}; "
            "set columns, for example {prompt: its name here, response: its name here}"
        )
    dialogues.check_prompt(found["messages"])
    identity = {"kind": found["kind"], "id": f"{source.name}-{index}"}
    record: Any = {**identity, **found, **_description(cells, source), "source": source.name}
    record |= {"apart": True} if source.apart else {}
    return record | (
        {"task": row.fields["task"]} if not isinstance(source, TableSource) and "task" in row.fields else {}
    )


def columns_of(row: Row, source: Source) -> dict[str, Meaning]:
    """Return {column: its meaning} of those that `recognise` reads of a row."""
    return {cell.column: meaning for meaning, cell in _cells(row, source).items()}


def _cells(row: Row, source: Source) -> Cells:
    mapping = source.columns if isinstance(source, TableSource) else None
    if mapping is None:
        return _usual_cells(row)
    cells: dict[Meaning, Cell] = {}
    for meaning, column in mapping.items():
        value = _value(row, column, f"{row.where}: source '{source.name}': columns.{meaning}")
        if _says_something(meaning, value):
            cell = _cell(row, meaning, column, value)
            is_of_texts = (
                meaning == "messages" and is_list(cell.value) and all(isinstance(one, str) for one in cell.value)
            )
            cells[meaning] = cell._replace(value=dialogues.from_texts(cell.value)) if is_of_texts else cell
    return cells


def _value(row: Row, column: str, what: str) -> Any:
    """Return the value of a column, or of a path into one: `info.post`, and `summaries[].text` of each item of a list.

    Raises ValueError where there is no such column or key.
    """
    if column in row.fields:
        return row.fields[column]
    values: list[Any] = [row.fields]
    many = False
    for name in column.split("."):
        key, is_list_of = name.removesuffix("[]"), name.endswith("[]")
        if not all(is_object(value) and key in value for value in values):
            raise ValueError(f"{what}: no column {shown(column)} among: {listed(row.fields) or 'none'}")
        values = [value[key] for value in values]
        if is_list_of:
            if not all(is_list(value) for value in values):
                raise ValueError(f"{what}: {shown(key)} is no list")
            values, many = [item for value in values for item in value], True
    return values if many else values[0]


def _says_something(meaning: Meaning, value: Any) -> bool:
    is_empty = isinstance(value, str) and meaning in DESCRIPTIONS and not value.strip()  # a table's cell
    return value is not None and not is_empty


def _usual_cells(row: Row) -> Cells:
    cells: dict[Meaning, Cell] = {}
    for meaning, names in _usual_names(tuple(row.fields)):
        given = [name for name in names if row.fields[name] != [] and _says_something(meaning, row.fields[name])]
        if given:
            column = given[0] if len(given) == 1 else next((name for name in given if row.fields[name] != ""), given[0])
            cells[meaning] = _cell(row, meaning, column, row.fields[column])
    labels = row.fields.get("labels")
    if is_list(labels) and labels and is_object(labels[0]):
        cells["labels"] = _cell(row, "labels", "labels", labels)
    for column in ("input", "context"):  # Alpaca's and Dolly's second half of an instruction
        value = row.fields.get(column)
        if isinstance(value, str) and value.strip():
            if "instruction" in row.fields or (column == "context" and "prompt" in cells):
                cells.setdefault("input", _cell(row, "input", column, value))
            elif column == "input":
                cells.setdefault("prompt", _cell(row, "prompt", column, value))
    return cells


@lru_cache(1024)
def _usual_names(columns: tuple[str, ...]) -> list[tuple[Meaning, list[str]]]:
    """Return the meanings that some columns may have by USUAL, each with those that may have it."""
    found: list[tuple[Meaning, list[str]]] = []
    for meaning, usual in USUAL.items():
        if names := [name for name in usual if name in columns]:
            found.append((meaning, names))
    return found


def _cell(row: Row, meaning: Meaning, column: str, value: Any) -> Cell:
    if meaning in LISTS and isinstance(value, str) and value.lstrip().startswith("["):  # a list in a table's cell
        value = parsed(value, Cell(value, row.where, column).place, unit="character")
    if meaning in TURNS and isinstance(value, str) and value.lstrip()[:1] == "[":
        found = in_cell(value, Cell(value, row.where, column).place)
        value = found if is_list(found) and found and all(is_turn(one) for one in found) else value
    return Cell(value, row.where, column)


def is_turn(value: Any) -> bool:
    """Say whether a value is one turn of a dialogue, or a pair of them as LLaMA-Factory's history has it."""
    if is_list(value):
        return len(value) == 2 and all(isinstance(one, str) for one in value)
    return is_object(value) and bool(value.keys() & {"role", "from"})


def _text(cell: Cell) -> str:
    if not isinstance(cell.value, str):
        raise ValueError(f"{cell.place}: expected text, got {type(cell.value).__name__}; set the source's columns")
    return cell.value


def _turns(cell: Cell) -> Messages:
    if is_list(cell.value):
        return dialogues.from_list(cell.value, cell.place)
    return dialogues.from_text(_text(cell), cell.place)


def _prompt(cells: Cells) -> Messages:
    """Return all turns that `messages` or else `prompt` holds; a closing assistant turn is still among them."""
    messages: Messages
    if "messages" in cells:
        messages = _turns(cells["messages"])
    elif "prompt" in cells:
        messages = _turns(cells["prompt"])
        if messages and "input" in cells and _text(cells["input"]).strip():
            asked = messages[-1]["content"]
            joined = f"{asked}\n\n{_text(cells['input'])}" if asked.strip() else _text(cells["input"])
            messages = [*messages[:-1], {"role": "user", "content": joined}]
    else:
        return []
    return _with_system(cells, [*_history(cells), *messages])


def _history(cells: Cells) -> Messages:
    """Return the turns before a prompt: pairs of question and answer, or turns."""
    if "history" not in cells or cells["history"].value == "":
        return []
    value, place = cells["history"].value, cells["history"].place
    if not is_list(value):
        raise ValueError(f"{place}: expected a list of turns, or of pairs of question and answer, got {shown(value)}")
    pairs = [{"human": turn[0], "assistant": turn[1]} if is_list(turn) and len(turn) == 2 else turn for turn in value]
    return dialogues.from_list(pairs, place)


def _with_system(cells: Cells, messages: Messages) -> Messages:
    if "system" in cells and messages and messages[0]["role"] != "system":
        system = cells["system"]
        content = dialogues.content_of(system.value, system.place) if is_list(system.value) else _text(system)
        return [{"role": "system", "content": content}, *messages]
    return messages


def _demonstration(cells: Cells) -> dict[str, Any]:
    messages, answer = dialogues.split_answer(_prompt(cells))
    if "response" in cells and (answer is None or "messages" not in cells):
        answer = _continued(answer, _whole_answer(cells["response"]))
    if answer is None:
        return {"kind": "prompt", "messages": messages}
    return {"kind": "demonstration", "messages": messages, "response": answer}


def _pair(cells: Cells, source: Source, row: Row) -> dict[str, Any]:
    for meaning in ("chosen", "rejected"):
        if meaning not in cells:
            raise ValueError(f"{row.where}: source '{source.name}': a comparison without a {meaning} answer")
    given, begun = dialogues.split_answer(_prompt(cells))
    before_chosen, chosen = _answer(cells["chosen"], given)
    before_rejected, rejected = _answer(cells["rejected"], given)
    if before_chosen != before_rejected:
        raise Dropped("chosen_and_rejected_answer_different_prompts")
    if begun is not None and not before_chosen:
        chosen, rejected = _continued(begun, chosen), _continued(begun, rejected)
    is_tie = not (isinstance(source, TableSource) and source.columns) and _scores_are_equal(row.fields)
    label = Label(labeler=_labeler(cells, source), ranks=[1, 1 if is_tie else 2], scores=None, scale=None)
    is_part = given[len(given) - len(before_chosen) :] == before_chosen  # all of the prompt, its end, or nothing
    messages = given if is_part else _with_system(cells, before_chosen)
    return {"kind": "comparison", "messages": messages, "responses": [chosen, rejected], "labels": [label]}


SCORES_OF_TWO = (
    ("score_chosen", "score_rejected"), ("chosen_score", "rejected_score"), ("rating_chosen", "rating_rejected"),
    ("chosen_rating", "rejected_rating"),
)  # fmt: skip


def _scores_are_equal(fields: Mapping[str, Any]) -> bool:
    """Say whether a row gives chosen and rejected the same score, as UltraFeedback binarized does for ties."""
    for chosen, rejected in SCORES_OF_TWO:
        if chosen in fields and rejected in fields:
            return as_number(fields[chosen]) is not None and as_number(fields[chosen]) == as_number(fields[rejected])
    return False


DECIDES: dict[Meaning, Callable[[Any], int | None]] = {"winner": side, "better": index, "strength": sign}


def _decided(cells: Cells, source: Source, row: Row) -> dict[str, Any]:
    """Return two answers and what a column says of them: the winner's name, the better one's index, or a strength."""
    given = [(decide, cells[meaning]) for meaning, decide in DECIDES.items() if meaning in cells]
    if not {"first", "second"} <= cells.keys() or len(given) != 1:
        raise ValueError(
            f"{row.where}: source '{source.name}': expected first, second and one of {', '.join(DECIDES)} in columns"
        )
    messages, _ = dialogues.split_answer(_prompt(cells))
    ((decide, cell),) = given
    try:
        ranks = pair("", "", decide(cell.value))["ranks"]
    except ValueError as error:
        raise ValueError(f"{cell.place}: {error}") from None
    label = Label(labeler=_labeler(cells, source), ranks=ranks, scores=None, scale=None)
    responses = [_whole_answer(cells["first"]), _whole_answer(cells["second"])]
    return {"kind": "comparison", "messages": messages, "responses": responses, "labels": [label]}


def _continued(begun: str | None, answer: str) -> str:
    """Return an answer behind the beginning that a prompt gives it, parted by a space where words would meet."""
    if begun is None:
        return answer
    meet = begun[-1:].isascii() and answer[:1].isascii() and not (begun[-1:].isspace() or answer[:1].isspace())
    return f"{begun}{' ' if meet and begun and answer else ''}{answer}"


def _whole_answer(cell: Cell) -> str:
    """Return the answer of a cell: a text, an assistant's turn, or a list of one."""
    value = [cell.value] if is_object(cell.value) else cell.value
    if not is_list(value):
        return dialogues.without_end(_text(cell))
    before, answer = dialogues.split_answer(dialogues.from_list(value, cell.place, is_answer=True))
    if answer is None or before:
        raise ValueError(f"{cell.place}: expected one assistant turn, got {shown(cell.value)}")
    return answer


def _answer(cell: Cell, given: Messages) -> tuple[Messages, str]:
    """Return the turns before the answer in a cell (none where it is the bare answer), and the answer.

    A text that begins with the turns of the prompt repeats it; where there is no prompt, a transcript brings its own.
    """
    if isinstance(cell.value, str):
        turns = dialogues.from_text(cell.value, cell.place)
        users = [turn["content"] for turn in given if turn["role"] != "system"]
        repeats = [turn["content"] for turn in turns if turn["role"] != "system"][: len(users)] == users
        if len(turns) < 2 or (given and not repeats):
            return [], dialogues.without_end(cell.value)
        before, answer = dialogues.split_answer(turns)
        if answer is None:
            raise Dropped("no_answer")
        return before, answer
    value = [cell.value] if is_object(cell.value) else cell.value
    if not is_list(value):
        _text(cell)
    before, answer = dialogues.split_answer(dialogues.from_list(value, cell.place, is_answer=True))
    if answer is None:
        raise Dropped("no_answer")
    return before, answer


def _ranked(cells: Cells, source: Source) -> dict[str, Any]:
    messages, _ = dialogues.split_answer(_prompt(cells))
    place, responses = cells["responses"].place, cells["responses"].value
    if not is_list(responses) or not all(isinstance(response, str) for response in responses):
        raise ValueError(f"{place}: expected a list of texts, got {shown(responses)}")
    judged = _judgements(cells, source, len(responses), place)
    return {"kind": "comparison", "messages": messages, "responses": responses, "labels": judged}


def _judgements(cells: Cells, source: Source, count: int, place: str) -> list[Label]:
    """Return the labels in a column of them, or the one that stands in the row's own columns."""
    bounds = labels.bounds_of(source)
    if "labels" in cells:
        return labels.several(cells["labels"].value, cells["labels"].place, count, bounds)
    by = _labeler(cells, source)
    if "scores" in cells:
        return [labels.of_scores(by, cells["scores"].value, cells["scores"].place, count, bounds)]
    if "ranks" in cells:
        return [labels.of_ranks(by, cells["ranks"].value, cells["ranks"].place, count)]
    if "ranking" in cells:
        is_asked = isinstance(source, TableSource) and source.columns is None
        return [labels.of_order(by, cells["ranking"].value, cells["ranking"].place, count, is_asked)]
    raise ValueError(f"{place}: responses without scores, ranking, ranks or labels; set the source's columns")


def _labeler(cells: Cells, source: Source) -> str:
    return _name(cells["labeler"]) if "labeler" in cells else source.name


def _name(cell: Cell) -> str:
    """Return a value as the name of someone or something."""
    try:
        return str(cell.value)
    except RecursionError:
        raise ValueError(f"{cell.place}: expected a name, got {shown(cell.value)}") from None


def _description(cells: Cells, source: Source) -> dict[str, Any]:
    category = source.category if isinstance(source, TableSource) else None
    language = source.language if isinstance(source, TableSource) else None
    return {
        "category": category or (_name(cells["category"]) if "category" in cells else "unknown"),
        "language": language or (code_of(_text(cells["language"])) if "language" in cells else None),
        "user": _name(cells["user"]) if "user" in cells else None,
    }

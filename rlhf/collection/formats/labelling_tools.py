"""Exports of labelling tools: answers that people ranked, one label a person."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from rlhf.collection.dropped import Dropped
from rlhf.collection.formats.form import EVERY, Fields, Form, Own, answer, as_number, at, known_by, objects
from rlhf.params.base import listed, shown
from rlhf.records.json_values import is_list, is_object
from rlhf.records.records import ranks_of

SIDES = ("left", "right")  # of a pairwise comparison
EQUAL = {"tie", "equal", "both", "neither", "same", "draw"}
BY = ".responses.users"  # how Argilla 2.x ends the name of the column that says who answered a question
NUMBERED = re.compile(r"(?:response|text|answer|generation|completion)[-_ ]?\d+")


def _judged(prompt: Any, answers: Sequence[str], labels: list[Any]) -> Own:
    if not labels:
        raise Dropped("not_ranked")
    return {"prompt": prompt, "responses": [*answers], "labels": labels}


class Judgement(NamedTuple):
    """What one person said to a question of Argilla's."""

    labeler: str
    value: Any


def argilla(fields: Fields) -> Own:
    """Argilla 1.x: a list of {user_id, value, status} a question, in a column of its name."""
    return _of_argilla(fields, {name: _of_first(value) for name, value in fields.items()})


def argilla_2(fields: Fields) -> Own:
    """Argilla 2.x as `to_datasets` writes it: a question's values, their users and their statuses in a column each."""
    return _of_argilla(fields, {name: _of_second(fields, f"{name}.responses") for name in _questions(tuple(fields))})


@lru_cache(maxsize=64)
def _questions(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name.removesuffix(BY) for name in names if name.endswith(BY))


def argilla_2_records(fields: Fields) -> Own:
    """Argilla 2.x as `to_disk` and `to_list` write it: {user_id, value} a person, below the question's name."""
    responses = at(fields, "responses")
    if not is_object(responses):
        raise ValueError(f"column 'responses': expected an object, got {shown(responses)}")
    return _of_argilla(at(fields, "fields"), {name: _of_first(value) for name, value in responses.items()})


def _of_first(value: Any) -> list[Judgement]:
    given = [one for one in value if is_object(one) and "value" in one] if is_list(value) else []
    return [Judgement(str(one.get("user_id")), one["value"]) for one in given if _is_submitted(one.get("status"))]


def _of_second(fields: Fields, column: str) -> list[Judgement]:
    values, users, statuses = (fields.get(f"{column}{end}") for end in ("", ".users", ".status"))
    if not is_list(values) or not is_list(users) or len(values) != len(users):
        return []
    known = statuses if is_list(statuses) and len(statuses) == len(values) else [None] * len(values)
    judged = zip(users, values, known, strict=True)
    return [Judgement(str(user), value) for user, value, status in judged if _is_submitted(status)]


def _is_submitted(status: Any) -> bool:
    return status in (None, "submitted")


def _of_argilla(fields: Any, questions: Mapping[str, Sequence[Judgement]]) -> Own:
    """Return the answers in numbered fields, with the judgements of the one question that ranks them."""
    if not is_object(fields):
        raise ValueError(f"column 'fields': expected an object, got {shown(fields)}")
    names = _numbered(fields)
    answers = [answer(fields[name]) for name in names]
    judged = {
        question: [(one.labeler, found) for one in said if (found := _places(one.value, names)) is not None]
        for question, said in questions.items()
    }
    ranking = [question for question, found in judged.items() if found]
    if len(ranking) > 1:
        raise ValueError(f"questions {listed(ranking)} each rank the answers; keep the column of one")
    labels: list[Any] = [
        {"labeler": labeler, "ranks": ranks_of([-places[name] for name in names])}
        for labeler, places in (judged[ranking[0]] if ranking else [])
    ]
    return _judged(_prompt(fields), answers, labels)


def _numbered(fields: Fields) -> tuple[str, ...]:
    """Return the names of fields that hold answers, by their numbers."""
    return _by_number(tuple(fields))


@lru_cache(maxsize=64)  # the rows of a file have the same columns
def _by_number(names: tuple[str, ...]) -> tuple[str, ...]:
    found = (name for name in names if NUMBERED.fullmatch(name))
    return tuple(sorted(found, key=lambda name: int(re.sub(r"\D", "", name))))


def _places(value: Any, names: Sequence[str]) -> dict[str, float] | None:
    """Return {answer's name: its place} as one judgement has it; None for a judgement of something else."""
    if isinstance(value, str):
        return _places_of_choice(value, names)
    if is_object(value) and is_list(value.get("rank")) and is_list(value.get("value")):  # 1.x
        found, places = value["value"], value["rank"]
    elif is_list(value) and value and all(is_object(one) and "value" in one for one in value):
        found, places = [one["value"] for one in value], [one.get("rank") for one in value]
    elif is_list(value) and value and all(isinstance(one, str) for one in value):  # 2.x: best first
        found, places = value, [*range(1, len(value) + 1)]
    else:
        return None
    if {*map(str, found)} != {*names} or len(found) != len(names) or len(places) != len(names):
        raise ValueError(f"a ranking of {listed(found)}, but the answers stand in {listed(names)}")
    numbers = [as_number(place) for place in places]
    if None in numbers:
        raise ValueError(f"expected a rank for each answer, got {shown(places)}")
    return {str(name): number for name, number in zip(found, numbers, strict=True) if number is not None}


def _places_of_choice(value: str, names: Sequence[str]) -> dict[str, float] | None:
    """Return the places of two answers of which a label names the better one, or that say they are equal."""
    if len(names) != 2:
        return None
    if value in names:
        return {name: 1.0 if name == value else 2.0 for name in names}
    return dict.fromkeys(names, 1.0) if value.strip().lower() in EQUAL else None


def _ranks(fields: Fields, questions: Mapping[str, Sequence[Judgement]]) -> bool:
    names = _numbered(fields)
    try:
        return len(names) > 1 and any(
            _places(one.value, names) is not None for said in questions.values() for one in said
        )
    except ValueError:  # its rows say what is wrong
        return True


def _is_argilla(fields: Fields) -> bool:
    return _ranks(fields, {name: _of_first(value) for name, value in fields.items()})


def _is_argilla_2(fields: Fields) -> bool:
    return len(_numbered(fields)) > 1 and any(name.endswith(BY) for name in fields)


def _is_argilla_2_record(fields: Fields) -> bool:
    held = fields.get("fields")
    return is_object(held) and len(_numbered(held)) > 1 and is_object(fields.get("responses"))


def label_studio(fields: Fields) -> Own:
    """Tasks with annotations: of a ranker the order of the items' ids, of a pairwise comparison left or right."""
    data = at(fields, "data")
    labels: list[Any] = []
    items = _items(data)
    for annotation in objects(fields, "annotations"):
        if annotation.get("was_cancelled"):
            continue
        for result in objects(annotation, "result"):
            order = _order(result.get("value"), [name for name, _ in items])
            if order is not None:
                labels.append({"labeler": str(annotation.get("completed_by")), "ranks": order})
    return _judged(_prompt(data), [body for _, body in items], labels)


def label_studio_min(fields: Fields) -> Own:
    """JSON_MIN: the task's data and the result of one annotation in columns of their own."""
    items = _items(fields)
    names = [name for name, _ in items]
    orders = [order for value in fields.values() if (order := _order(value, names)) is not None]
    label = [{"labeler": str(fields.get("annotator")), "ranks": order} for order in orders[:1]]
    return _judged(_prompt(fields), [body for _, body in items], label)


def _items(data: Any) -> list[tuple[str, str]]:
    """Return name and text of each answer of a task."""
    if not is_object(data):
        raise ValueError(f"column 'data': expected an object, got {shown(data)}")
    for value in data.values():
        if is_list(value) and value and all(is_object(one) and "id" in one for one in value):
            return [(str(one["id"]), answer(one.get("body", one.get("html", one.get("text"))))) for one in value]
    sides = [(data.get(f"{side}1"), data.get(f"{side}2")) for side in ("answer", "text", "response")]
    for first, second in sides:
        if isinstance(first, str) and isinstance(second, str):
            return [("left", first), ("right", second)]
    raise ValueError(f"expected a list of items with id and body, or answer1 and answer2, got {shown(data)}")


def _order(value: Any, names: Sequence[str]) -> list[int] | None:
    """Return the ranks of items whose order, or whose better one, a result says; None where it says neither."""
    found = value[0] if is_list(value) and len(value) == 1 and is_object(value[0]) else value  # JSON_MIN lists results
    while is_object(found):
        if found.get("selected") in names and len(names) == 2:  # pairwise
            return [1 if name == found["selected"] else 2 for name in names]
        found = found.get("ranker", found.get("rank", next((one for one in found.values() if is_list(one)), None)))
    if found in ("left", "right") and {*names} == {"left", "right"}:
        return [1 if name == found else 2 for name in names]
    order = [str(one) for one in found] if is_list(found) else []
    return [order.index(name) + 1 for name in names] if order and {*order} == {*names} else None


def _prompt(data: Any) -> Any:
    return next((data[name] for name in ("prompt", "instruction", "question", "query") if data.get(name)), None)


def _is_task(fields: Fields) -> bool:
    return is_object(fields.get("data")) and is_list(fields.get("annotations"))


def _is_min(fields: Fields) -> bool:
    try:
        names = [name for name, _ in _items(fields)]
    except (ValueError, Dropped):
        return False
    said = (value for value in fields.values() if is_object(value) or is_list(value) or value in SIDES)
    return any(_order(value, names) is not None for value in said)


FORMS = (
    Form("Argilla ranking", "a label a person: rank 1 is best; discarded ones are left out",
         "kursathalat/ranking_ds card (Argilla 1.x)", frozenset(), argilla, _is_argilla, known_by(EVERY),
         beside="numbered answers and a ranking"),
    Form("Argilla 2 ranking", "a label a person: the names of answers from best to worst, or the better one's name "
         "(a 2.x client of a 1.x server loses the order: argilla issue 5677)",
         "argilla's records/_io/_generic.py, 02e0d37", frozenset(), argilla_2, _is_argilla_2, known_by(EVERY),
         beside="numbered answers and a column `*.responses.users`"),
    Form("Argilla 2 records", "a label a person: the names of answers from best to worst, or the better one's name",
         "argilla's records/_resource.py, 0991739", known_by("fields", "responses"), argilla_2_records,
         _is_argilla_2_record, known_by(EVERY), beside="numbered answers in fields"),
    Form("Label Studio", "a label an annotation that was not cancelled: a ranker's order of items' ids, or a side",
         "labelstud.io, ranker and task format", known_by("data", "annotations"), label_studio, _is_task,
         known_by(EVERY)),
    Form("Label Studio, JSON_MIN", "a ranker's order of items' ids, or the side chosen",
         "label-studio-converter's converter.py, 2ef5400", known_by("annotator"), label_studio_min, _is_min,
         known_by(EVERY), beside="items or two answers, and an order or a side"),
)  # fmt: skip

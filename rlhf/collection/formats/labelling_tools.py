"""Exports of labelling tools: answers that people ranked, one label a person."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from rlhf.collection.dropped import Dropped
from rlhf.collection.formats.form import EVERY, Fields, Form, Own, answer, as_number, at, known_by, objects
from rlhf.params.base import shown
from rlhf.records.json_values import is_list, is_object
from rlhf.records.records import ranks_of

SIDES = ("left", "right")  # of a pairwise comparison
NUMBERED = re.compile(r"(?:response|text|answer|generation|completion)[-_ ]?\d+")


def _judged(prompt: Any, answers: Sequence[str], labels: list[Any]) -> Own:
    if not labels:
        raise Dropped("not_ranked")
    return {"prompt": prompt, "responses": [*answers], "labels": labels}


def argilla(fields: Fields) -> Own:
    """Ranking questions of Argilla 1.x: {rank: [...], value: [names of fields]} a person, by whichever name."""
    names = sorted((name for name in fields if NUMBERED.fullmatch(name)), key=lambda name: int(re.sub(r"\D", "", name)))
    answers = [answer(fields[name]) for name in names]
    labels: list[Any] = []
    for judgement in _rankings(fields):
        value = judgement["value"]
        given = dict(zip(map(str, value["value"]), value["rank"], strict=True))
        ranks = [as_number(given.get(name)) for name in names]
        if judgement.get("status", "submitted") == "submitted" and None not in ranks:
            labels.append({"labeler": str(judgement.get("user_id")), "ranks": _dense(ranks)})
    return _judged(fields.get("prompt") or fields.get("instruction"), answers, labels)


def _rankings(fields: Fields) -> list[Mapping[str, Any]]:
    """Return the judgements of the first column that holds such."""
    for value in fields.values():
        if is_list(value) and value and all(_is_ranking(one) for one in value):
            return value
    return []


def _is_ranking(one: Any) -> bool:
    value = one.get("value") if is_object(one) else None
    return is_object(value) and is_list(value.get("rank")) and is_list(value.get("value"))


def _is_argilla(fields: Fields) -> bool:
    return bool(_rankings(fields)) and sum(NUMBERED.fullmatch(name) is not None for name in fields) > 1


def _dense(ranks: Sequence[Any]) -> list[int]:
    return ranks_of([-rank for rank in ranks])


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
    found = value
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
    said = (value for value in fields.values() if is_object(value) or value in SIDES)
    return any(_order(value, names) is not None for value in said)


FORMS = (
    Form("Argilla ranking", "a label a person: rank 1 is best; discarded ones are left out", frozenset(), argilla,
         _is_argilla, known_by(EVERY)),
    Form("Label Studio", "a label an annotation that was not cancelled: a ranker's order of items' ids, or a side",
         known_by("data", "annotations"), label_studio, _is_task, known_by(EVERY)),
    Form("Label Studio, JSON_MIN", "a ranker's order of items' ids, or the side chosen", known_by("annotator"),
         label_studio_min, _is_min, known_by(EVERY)),
)  # fmt: skip

"""What labelers said of K responses: scores, ranks, or an order, checked and coded as a record's labels."""

import math
from typing import Any

from rlhf.params.base import shown
from rlhf.params.collect_prompts import Source, TableSource
from rlhf.records.json_values import is_list, is_object
from rlhf.records.records import ranks_of
from rlhf.records.types import Label

Bounds = list[float] | None  # the lowest and the highest score that could be given


def bounds_of(source: Source) -> Bounds:
    """Return the scale that a source says its scores have."""
    scale = source.scale if isinstance(source, TableSource) else None
    return None if scale is None else [scale.low, scale.high]


def several(given: Any, place: str, count: int, bounds: Bounds) -> list[Label]:
    """Return the judgements of a column of them, one a labeler. Errors name `place`."""
    if not is_list(given):
        raise ValueError(f"{place}: expected a list of objects, one a labeler, got {shown(given)}")
    return [_one(label, place, count, bounds) for label in given]


def _one(label: Any, place: str, count: int, bounds: Bounds) -> Label:
    """Return one judgement; its own scale goes before the source's."""
    if not is_object(label) or not isinstance(label.get("labeler"), str) or "ranks" not in label:
        raise ValueError(f"{place}: expected objects with labeler, ranks and scores, got {shown(label)}")
    ranked = of_ranks(label["labeler"], label["ranks"], f"{place}, ranks", count)
    if label.get("scores") is None:
        return ranked
    scores = _numbers(label["scores"], f"{place}, scores", count)
    if label.get("scale") is not None:
        low, high = _numbers(label["scale"], f"{place}, scale", 2)
        bounds = [low, high]
    return Label(labeler=ranked["labeler"], ranks=ranked["ranks"], scores=scores, scale=_scale(scores, bounds, place))


def of_scores(labeler: str, given: Any, place: str, count: int, bounds: Bounds) -> Label:
    """Return the judgement that scores say, higher is better."""
    scores = _numbers(given, place, count)
    return Label(labeler=labeler, ranks=ranks_of(scores), scores=scores, scale=_scale(scores, bounds, place))


def of_ranks(labeler: str, given: Any, place: str, count: int) -> Label:
    """Return the judgement that each response's rank says, the lowest is best."""
    ranks = ranks_of([-rank for rank in _numbers(given, place, count)])
    return Label(labeler=labeler, ranks=ranks, scores=None, scale=None)


def of_order(labeler: str, given: Any, place: str, count: int, is_asked: bool) -> Label:
    """Return the judgement that the responses' indices say, best first. `is_asked`: nobody said that they are these."""
    order = given if is_list(given) and all(isinstance(index, int | float) for index in given) else []
    if is_asked:
        _ask_what_it_is(order, place)
    rank = {index: number for number, index in enumerate(order, start=1)}
    if len(order) != count or rank.keys() != set(range(count)):
        raise ValueError(f"{place}: expected the indices 0..{count - 1} from best to worst, got {shown(given)}")
    return Label(labeler=labeler, ranks=[rank[response] for response in range(count)], scores=None, scale=None)


def _ask_what_it_is(ranking: list[Any], where: str) -> None:
    """Raise ValueError for a ranking of three or more that says one thing as an order, and another as ranks from 0."""
    as_ranks = sorted(range(len(ranking)), key=lambda response: ranking[response])
    if sorted(ranking) == [*range(len(ranking))] and as_ranks != ranking:
        raise ValueError(
            f"{where}: {ranking} may be the responses' indices from best to worst, or each response's rank from 0; say "
            "which by the source's columns: {prompt: prompt, responses: responses, ranking: ranking} for an order, "
            "ranks: ranking in its place for ranks"
        )


def _scale(scores: list[float], bounds: Bounds, place: str) -> Bounds:
    """Return the scale that scores were given on. Raises ValueError for a score outside it."""
    if bounds is not None and not all(bounds[0] <= score <= bounds[1] for score in scores):
        raise ValueError(
            f"{place}: expected scores within the scale {bounds[0]:g}..{bounds[1]:g}, got {shown(scores)}; mend the "
            "source's scale or the record"
        )
    return bounds


def _numbers(numbers: Any, place: str, count: int) -> list[float]:
    if not is_list(numbers) or len(numbers) != count:
        raise ValueError(f"{place}: expected {count} numbers, one a response, got {shown(numbers)}")
    for number in numbers:
        if not isinstance(number, int | float) or isinstance(number, bool) or not _is_finite(number):
            raise ValueError(f"{place}: expected finite numbers, got {shown(number)}; drop the record or mend it")
    return numbers


def _is_finite(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # an integer beyond all floats
        return False

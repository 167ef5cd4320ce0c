"""What a page submits is checked and made a judgement: answers stand in the order shown there, here in their own."""

import re
from collections.abc import Sequence
from typing import Any, cast

from apps.label.items import Item, order_for
from apps.label.settings import TaskSettings
from rlhf.people.forgetting import now
from rlhf.people.judgements import Judgement

MOST_TEXT, MOST_REASON, MOST_SECONDS = 100_000, 500, 7 * 24 * 3600.0
ID, SUM = re.compile("[0-9a-f]{32}"), re.compile("[0-9a-f]{64}")


class Unfit(ValueError):
    """A form that is no judgement; says what to mend."""


def judgement(form: dict[str, Any], item: Item, labeler: str, settings: TaskSettings) -> Judgement:
    """Return the judgement that a form holds. Raises Unfit."""
    order = order_for(item, labeler)
    skipped = form.get("skipped")
    if skipped is not None and not _is_text(skipped, MOST_REASON):
        raise Unfit(f"skipped: expected a reason of at most {MOST_REASON} characters")
    return Judgement(
        kind="judgement",
        id=identity(form.get("id")),
        prompt=item.prompt,
        answers=item.answers,
        pool=item.pool,
        labeler=labeler,
        order=order,
        ranks=None if skipped else dense(_unshuffled(_ranks(form.get("ranks"), len(order)), order)),
        ratings=None if skipped else _ratings(form.get("ratings"), order, settings.scale),
        flags=_flags(form.get("flags"), order, settings.flags),
        written=None if skipped else _written(form.get("written"), order, item.responses),
        skipped=skipped.strip() if skipped else None,
        seconds=_seconds(form.get("seconds")),
        at=now(),
        instructions=_sum(form.get("instructions")),
        replaces=None,
        withdrawn=False,
    )


def shown(said: Judgement, order: Sequence[int]) -> dict[str, Any]:
    """Return a judgement as the page shows it, in the order in which its answers stand there.

    Its own order may be another: an imported judgement was made elsewhere, or by somebody else.
    """
    written, origin = said["written"], _origin(said)
    back = {
        key: [values[index] for index in order] if values is not None else None
        for key, values in (("ranks", said["ranks"]), ("ratings", said["ratings"]), ("flags", said["flags"]))
    }
    if written is not None:
        written = {"text": written["text"], "from": None if origin is None else order.index(origin)}
    return {**back, "id": said["id"], "written": written, "skipped": said["skipped"], "seconds": said["seconds"]}


def same(before: Judgement, said: Judgement, settings: TaskSettings) -> bool:
    """Return whether a judgement says what the one before says, as far as the page can show that."""
    return _showable(before, settings) == _showable(said, settings)


def _showable(said: Judgement, settings: TaskSettings) -> tuple[Any, ...]:
    """Return what the page can show of a judgement: an imported one may have ranks with gaps, or other flags."""
    low, high = settings.scale or (1, 0)
    ratings = [one if one is not None and low <= one <= high else None for one in said["ratings"] or ()]
    return (
        None if said["ranks"] is None else dense(said["ranks"]),
        ratings if any(one is not None for one in ratings) else None,
        [[flag for flag in settings.flags if flag in some] for some in said["flags"]],
        said["written"] and (said["written"]["text"], _origin(said)),
        said["skipped"],
    )


def _origin(said: Judgement) -> int | None:
    """Return from which response the better answer was made, if it names one of them."""
    origin = (said["written"] or {}).get("from")
    return origin if origin in range(len(said["order"])) else None


def withdrawal(said: Judgement, identifier: str) -> Judgement:
    """Return the line that takes a judgement back."""
    return cast(Judgement, {**said, "id": identifier, "at": now(), "replaces": said["id"], "withdrawn": True})


def identity(value: Any) -> str:
    """Return a judgement's id, which the page makes, so that one sent twice is one."""
    if not isinstance(value, str) or not ID.fullmatch(value):
        raise Unfit("id: expected 32 hexadecimal digits")
    return value


def dense(ranks: Sequence[int]) -> list[int]:
    """Return ranks without gaps: 1, 4, 4 is 1, 2, 2."""
    levels = sorted(set(ranks))
    return [levels.index(rank) + 1 for rank in ranks]


def _unshuffled(values: Sequence[Any], order: Sequence[int]) -> list[Any]:
    """Return in the responses' own order what stands in the order shown."""
    return [values[order.index(index)] for index in range(len(order))]


def _ranks(value: Any, num: int) -> list[int]:
    if not _is_list(value, num) or any(type(one) is not int or not 1 <= one <= num for one in value):
        raise Unfit(f"ranks: expected a rank from 1 to {num} for each of {num} answers (got {value!r:.100})")
    return value


def _ratings(value: Any, order: Sequence[int], scale: tuple[int, int] | None) -> list[int | None] | None:
    if value is None or (isinstance(value, list) and all(one is None for one in value)):
        return None
    if scale is None:
        raise Unfit("ratings: none are asked for")
    low, high = scale
    fits = _is_list(value, len(order)) and all(
        one is None or (type(one) is int and low <= one <= high) for one in value
    )
    if not fits:
        raise Unfit(f"ratings: expected a whole number from {low} to {high}, or null, for each answer")
    return _unshuffled(value, order)


def _flags(value: Any, order: Sequence[int], known: Sequence[str]) -> list[list[str]]:
    if value is None:
        return [[] for _ in order]
    fits = _is_list(value, len(order)) and all(isinstance(some, list) for some in value)
    if not fits or any(flag not in known for some in value for flag in some):
        raise Unfit(f"flags: expected a list for each answer, of {', '.join(known)}")
    return [[flag for flag in known if flag in some] for some in _unshuffled(value, order)]


def _written(value: Any, order: Sequence[int], responses: Sequence[str]) -> dict[str, Any] | None:
    if value is None:
        return None
    if not isinstance(value, dict) or not _is_text(value.get("text"), MOST_TEXT):
        raise Unfit(f"written: expected a text of at most {MOST_TEXT} characters")
    origin = value.get("from")
    if origin is not None and (type(origin) is not int or not 0 <= origin < len(order)):
        raise Unfit("written: from: expected the number of an answer, or null")
    if value["text"] in responses:
        raise Unfit("written: this is one of the answers: change it, or remove it and rank that answer first")
    return {"text": value["text"], "from": None if origin is None else order[origin]}


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MOST_SECONDS:
        raise Unfit("seconds: expected how long it took")
    return round(float(value), 1)


def _sum(value: Any) -> str:
    if not isinstance(value, str) or not SUM.fullmatch(value):
        raise Unfit("instructions: expected the SHA-256 of the instructions that were shown")
    return value


def _is_text(value: Any, most: int) -> bool:
    if not isinstance(value, str) or not value.strip() or len(value) > most:
        return False
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:  # half of a character
        return False
    return True


def _is_list(value: Any, num: int) -> bool:
    return isinstance(value, list) and len(value) == num

"""Judgements of a file of another tool, added to a labeler's own: no line is rewritten, and none is added twice."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from rlhf.params.base import listed
from rlhf.params.labelers.people import Points
from rlhf.people import judgements
from rlhf.people.judgements import Judgement
from rlhf.records.types import Label
from tools.labels import matching
from tools.labels.matching import Answers, Found

UNKNOWN = "unknown"  # in place of the sum of instructions that nobody has kept


class Place(NamedTuple):
    """Where judgements go."""

    folder: Path  # of labels
    round_name: str
    labeler: str
    answers: Answers
    scale: Points | None

    @property
    def file(self) -> Path:
        return judgements.file_of(self.folder, self.round_name, self.labeler)


def take(file: Path, only: str | None, place: Place, root: Path) -> tuple[int, Counter[str]]:
    """Add the judgements of a file that are not there yet; returns how many, and counts of the others.

    Raises ValueError for a file of several labelers of whom none is chosen, or one whom it does not name.
    """
    counts = Counter[str]()
    found = [*matching.read(file, place.answers, root, counts)]
    labelers = sorted({one.labeler for one in found})
    if only is None and len(labelers) > 1:
        raise ValueError(f"{file}: names several labelers, {listed(labelers)}: choose whose judgements by --only")
    if only is not None and labelers and only not in labelers:
        raise ValueError(f"{file}: --only {only}: expected one of whom it names: {listed(labelers)}")
    chosen = [one for one in found if only in (None, one.labeler)]
    counts["of_other_labelers"] += len(found) - len(chosen)
    read = judgements.read(place.folder, place.round_name)
    own = read._replace(lines=[one for one in read.lines if one.file == place.file])
    known = {one.judgement["id"] for one in own.lines}
    work = [one.judgement for one in judgements.current(own) if one.judgement["pool"] != "training"]
    last = {said["answers"]: said["id"] for said in work}
    number = 0
    for one in chosen:
        made = _judgement(one, place, last)
        if made["id"] in known:
            counts["already_there"] += 1
            continue
        judgements.append(place.folder, place.round_name, made)
        known.add(made["id"])
        last[made["answers"]] = made["id"]
        number += 1
    return number, counts


def _judgement(found: Found, place: Place, last: Mapping[str, str]) -> Judgement:
    """Return the line that says it; an earlier judgement of this labeler on the same answers is replaced by it."""
    said: Any = found.said
    answers = judgements.answers_id(found.answered["messages"], found.answered["responses"])
    if said.get("kind") == "judgement":
        return said | {"labeler": place.labeler, "pool": found.pool, "replaces": last.get(answers)}
    num, ratings = len(found.answered["responses"]), _ratings(said, place.scale)
    content = json.dumps([place.labeler, answers, said["ranks"], ratings])
    return Judgement(
        kind="judgement",
        id=hashlib.sha256(content.encode("utf-8")).hexdigest()[:32],  # the same again is no second judgement
        prompt=found.answered["id"],
        answers=answers,
        pool=found.pool,
        labeler=place.labeler,
        order=list(range(num)),  # as they were shown there is not known
        ranks=said["ranks"],
        ratings=ratings,
        flags=[[] for _ in range(num)],
        written=None,
        skipped=None,
        seconds=0.0,  # not known
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        instructions=UNKNOWN,
        replaces=last.get(answers),
        withdrawn=False,
    )


def _ratings(label: Label, scale: Points | None) -> list[int | None] | None:
    """Return a label's scores as ratings where they are whole numbers on the labelers' own scale."""
    scores = label["scores"]
    if scale is None or scores is None or label["scale"] not in (None, [scale.low, scale.high]):
        return None
    whole = [int(score) for score in scores if float(score).is_integer() and scale.low <= score <= scale.high]
    return [*whole] if len(whole) == len(scores) else None

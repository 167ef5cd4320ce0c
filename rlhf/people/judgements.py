"""Judgements of people on a policy's answers: what a line of a labels folder holds, and which of them hold.

<folder>/<round>/<labeler>.jsonl is only ever appended to. Who changes their mind adds a line that replaces the earlier
one; who takes a judgement back adds one that withdraws it.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypedDict, cast, get_args

from rlhf.people import journal
from rlhf.people.journal import Line
from rlhf.records.types import Label, Message

Pool = Literal["train", "judge", "training"]  # comparisons for the reward model, for the judge, a labeler's training


class Judgement(TypedDict):
    """One labeler's judgement of K responses to a prompt."""

    kind: Literal["judgement"]
    id: str
    prompt: str  # the prompt's id
    answers: str  # answers_id of what was judged: it holds for exactly these
    pool: Pool
    labeler: str
    order: list[int]  # K: indices of the responses as they were shown
    ranks: list[int] | None  # K: 1 is best, equal ranks are ties; None where the prompt was skipped
    ratings: list[int | None] | None  # K, on the labelers' scale
    flags: list[list[str]]  # K: names of flags of each response
    written: dict[str, Any] | None  # {"text": str, "from": index or None}
    skipped: str | None  # the reason
    seconds: float  # from the prompt's being shown to its being submitted, without pauses that the page saw
    at: str  # ISO 8601, UTC
    instructions: str  # SHA-256 of the instructions that were shown
    replaces: str | None  # id of an earlier judgement of this labeler on this prompt
    withdrawn: bool  # the line only takes back what it replaces


class Placed(NamedTuple):
    """A judgement and the line it stands in."""

    judgement: Judgement
    file: Path
    number: int

    @property
    def place(self) -> str:
        return f"{self.file}:{self.number}"


class Judgements(NamedTuple):
    """All judgements of a round, in the order of files and lines, and what could not be read."""

    lines: list[Placed]
    problems: list[str]  # "file:line: what is wrong"


def answers_id(messages: Sequence[Message], responses: Sequence[str]) -> str:
    """Return the sum by which answers to a prompt are known: another sample of the policy has another."""
    content = [[{"role": one["role"], "content": one["content"]} for one in messages], list(responses)]
    return hashlib.sha256(json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8")).hexdigest()


def file_of(folder: Path, round_name: str, labeler: str) -> Path:
    """Return the file of a labeler's judgements."""
    return folder / round_name / f"{labeler}.jsonl"


def append(folder: Path, round_name: str, judgement: Judgement) -> None:
    """Add a judgement to its labeler's file. Raises ValueError for one that `read` would not take."""
    problem = problem_in(judgement)
    if problem:
        raise ValueError(problem)
    journal.append(file_of(folder, round_name, judgement["labeler"]), dict(judgement))


def read(folder: Path, round_name: str) -> Judgements:
    """Return the judgements of a round; a line that is torn or is no judgement is named among the problems."""
    lines, torn = journal.read_folder(folder / round_name)
    problems, placed = [one.words for one in torn], list[Placed]()
    for line in lines:
        problem = problem_in(line.content) or _of_another(line)
        if problem:
            problems.append(f"{line.place}: {problem}; the line is passed over")
        else:
            placed.append(Placed(cast(Judgement, line.content), line.file, line.number))
    return Judgements(placed, problems)


def judged(said: Judgement) -> tuple[str, str, bool]:
    """Return what was judged: a prompt's answers, as work or as a labeler's training, which may hold the same ones."""
    return said["prompt"], said["answers"], said["pool"] == "training"


def current(judgements: Judgements) -> list[Placed]:
    """Return the judgements that hold: of each labeler on the same answers the last one, unless it was taken back.

    What a labeler said of answers in their training neither replaces what they said of them as work, nor is replaced.
    """
    last = dict[tuple[str, tuple[str, str, bool]], Placed]()
    for one in judgements.lines:
        said = one.judgement
        key = said["labeler"], judged(said)
        last.pop(key, None)  # the place in the order is the last one's
        if not said["withdrawn"]:
            last[key] = one
    return list(last.values())


def to_label(judgement: Judgement, scale: tuple[float, float] | None) -> Label | None:
    """Return what a reward model learns from a judgement; None where the prompt was skipped.

    Ratings count as scores where every response has one.
    """
    if judgement["ranks"] is None:
        return None
    rated = [one for one in judgement["ratings"] or () if one is not None]
    whole = scale is not None and len(rated) == len(judgement["ranks"])
    return Label(
        labeler=judgement["labeler"],
        ranks=judgement["ranks"],
        scores=[float(one) for one in rated] if whole else None,
        scale=list(scale) if whole and scale is not None else None,
    )


def problem_in(content: Mapping[str, Any]) -> str | None:
    """Return why a line's content is no judgement, if so."""
    missing = [key for key in Judgement.__annotations__ if key not in content]
    if content.get("kind") != "judgement" or missing:
        wanted = f"key {missing[0]!r} is missing" if missing else f"kind is {content.get('kind')!r}"
        return f"expected a judgement ({wanted})"
    texts = [key for key in ("id", "prompt", "answers", "labeler", "at", "instructions") if not _is_text(content[key])]
    if texts:
        return f"{texts[0]}: expected a text (got {content[texts[0]]!r})"
    order, ranks, ratings, flags = (content[key] for key in ("order", "ranks", "ratings", "flags"))
    num = len(order) if isinstance(order, list) else 0
    if not num or sorted(one for one in order if type(one) is int) != list(range(num)):
        return f"order: expected each index of the responses once (got {order!r})"
    if ranks is None and not (_is_text(content["skipped"]) or content["withdrawn"] is True):
        return "ranks: expected K ranks, or a reason in `skipped`"
    if ranks is not None and not (_is_list(ranks, num, int) and min(ranks) == 1 and max(ranks) <= num):
        return f"ranks: expected {num} ranks from 1, the best, to {num} (got {ranks!r})"
    if ratings is not None and not _is_list(ratings, num, int | None):
        return f"ratings: expected {num} whole numbers, or null (got {ratings!r})"
    if not _is_list(flags, num, list) or not all(_is_text(flag) for some in flags for flag in some):
        return f"flags: expected {num} lists of names (got {flags!r})"
    if content["pool"] not in get_args(Pool):
        return f"pool: expected one of {', '.join(get_args(Pool))} (got {content['pool']!r})"
    if type(content["withdrawn"]) is not bool or not isinstance(content["seconds"], int | float):
        return "withdrawn: expected true or false; seconds: a number"
    if not (content["replaces"] is None or _is_text(content["replaces"])):
        return f"replaces: expected a judgement's id, or null (got {content['replaces']!r})"
    written = content["written"]
    if written is not None and not (isinstance(written, dict) and _is_text(written.get("text"))):
        return 'written: expected {"text": ..., "from": index or null}, or null'
    return None


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_list(value: Any, length: int, kind: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == length
        and all(isinstance(one, kind) and not isinstance(one, bool) for one in value)
    )


def _of_another(line: Line) -> str | None:
    """A file holds its labeler's lines alone: whose a judgement is can be seen by its file."""
    own = line.file.stem
    return None if line.content["labeler"] == own else f"labeler {line.content['labeler']!r} in the file of {own!r}"

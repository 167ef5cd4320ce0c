"""How far a round's answers are labelled: which judgements hold, which do not and why, and how many prompts wait."""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rlhf.params.collect_comparisons import CollectComparisons
from rlhf.params.labelers.people import People
from rlhf.people import judgements
from rlhf.people.judgements import Judgements, Placed
from rlhf.records import records
from rlhf.records.types import AnsweredPrompt, Message

POOLS = ("train", "judge")  # of answered prompts
UNKNOWN, OTHER, WRONG = "unknown_prompts", "other_answers", "wrong_number_of_answers"
WHY = {
    UNKNOWN: "judges prompt {prompt!r}, which is not among the round's; it is passed over",
    OTHER: "judges other answers to prompt {prompt!r} than are there now; it is passed over",
    WRONG: "judges {count} answers to prompt {prompt!r}, which has {known}; it is passed over",
}


class Standing(NamedTuple):
    """A round's judgements, held against its answers."""

    held: dict[str, list[Placed]]  # by answers_id: those that hold, one a labeler, in the order of files
    problems: list[str]  # "file:line: why it is passed over"
    counts: dict[str, int]  # lines that are not used, by why

    def has(self, answered: AnsweredPrompt) -> bool:
        """Say whether somebody has judged an answered prompt, or has skipped it."""
        return bool(self.of(answered["messages"], answered["responses"]))

    def is_ranked(self, answered: AnsweredPrompt) -> bool:
        """Say whether somebody has ranked an answered prompt's responses."""
        return any(placed.judgement["ranks"] for placed in self.of(answered["messages"], answered["responses"]))

    def of(self, messages: Sequence[Message], responses: Sequence[str]) -> list[Placed]:
        """Return the judgements that hold for these answers to a prompt."""
        return self.held.get(judgements.answers_id(messages, responses), [])


def read_answers(root: Path, round_name: str) -> dict[str, list[AnsweredPrompt]]:
    """Return a round's answered prompts by pool; none of a round whose answers are not there."""
    files = {pool: root / f"data/collect_answers/{round_name}/answers.{pool}.jsonl" for pool in POOLS}
    return {pool: records.read(file, AnsweredPrompt) if file.exists() else [] for pool, file in files.items()}


def standing(read: Judgements, answers: Mapping[str, Sequence[AnsweredPrompt]]) -> Standing:
    """Hold judgements against all of a round's answers, by pool."""
    known = {
        judgements.answers_id(one["messages"], one["responses"]): len(one["responses"])
        for pool in answers.values()
        for one in pool
    }
    prompts = {one["id"] for pool in answers.values() for one in pool}
    held: dict[str, list[Placed]] = defaultdict(list)
    found: dict[str, list[str]] = {why: [] for why in WHY}
    current, num_training = judgements.current(read), 0
    for one in current:
        said, count = one.judgement, len(one.judgement["order"])
        if said["pool"] == "training":
            num_training += 1
            continue
        why = UNKNOWN if said["prompt"] not in prompts else OTHER if said["answers"] not in known else None
        if why is None and count != known[said["answers"]]:
            why = WRONG
        if why is None:
            held[said["answers"]].append(one)
        else:
            words = {"prompt": said["prompt"][:80], "count": count, "known": known.get(said["answers"])}
            found[why].append(f"{one.place}: {WHY[why].format(**words)}")
    num_withdrawn = sum(one.judgement["withdrawn"] for one in read.lines)
    counts = {
        "judgements": sum(map(len, held.values())),
        "lines_not_read": len(read.problems),
        "withdrawals": num_withdrawn,
        "replaced_or_withdrawn": len(read.lines) - len(current) - num_withdrawn,
        "training": num_training,
        **{why: len(places) for why, places in found.items()},
    }
    return Standing(dict(held), [*read.problems, *(place for some in found.values() for place in some)], counts)


def people_of(params: CollectComparisons) -> list[tuple[People, list[str]]]:
    """Return the people who rank, and the pools whose answers they rank; those who rank several stand once."""
    found = list[tuple[People, list[str]]]()
    for pool in POOLS:
        people = params.labelers_of(pool)[0]
        if not isinstance(people, People):
            continue
        same = next((pools for other, pools in found if other == people), None)
        if same is None:
            found.append((people, [pool]))
        else:
            same.append(pool)
    return found


class Progress(NamedTuple):
    """How many prompts still wait for a label before the stage goes on, of how many."""

    waiting: int
    total: int

    def in_words(self, round_name: str) -> str:
        verb = "waits" if self.waiting == 1 else "wait"
        where = f"{self.waiting} of {self.total} prompts of round {round_name}"
        return f"{where} {verb} for labels: make label; then dvc repro goes on"


def progress(found: Standing, answers: Mapping[str, Sequence[AnsweredPrompt]], share: float) -> Progress:
    """Return how many prompts wait until `share` of each pool's have been judged, or skipped, by somebody.

    In the judge's pool as many must be ranked as a judge is made of, where so many are left: its stage is a late one,
    and would stop after all others.
    """
    waiting = 0
    for name, pool in answers.items():
        num_judged, num_ranked = sum(map(found.has, pool)), sum(map(found.is_ranked, pool))
        least = records.FOR_A_JUDGE - num_ranked if name == "judge" else 0
        waiting += max(0, math.ceil(share * len(pool) - 1e-9) - num_judged, min(least, len(pool) - num_judged))
    return Progress(waiting, sum(map(len, answers.values())))


def of_rounds(root: Path, rounds: Iterable[str], params: CollectComparisons) -> Iterator[tuple[str, Progress]]:
    """Yield how far each round is labelled, once for each group of people; rounds without answers yet are left out."""
    for name in rounds:
        answers = read_answers(root, name)
        if not any(answers.values()):
            continue
        for people, pools in people_of(params):
            found = standing(judgements.read(people.folder_of(root, name).parent, name), answers)
            yield name, progress(found, {pool: answers[pool] for pool in pools}, people.wait_for)

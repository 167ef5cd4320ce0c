"""Answers as a labeler would write them: independent traits decide how good each one is.

The typical demonstration is mediocre (curt, short of items, without reason or ending) while every better behaviour is in reach
at 20-40%, so that a policy can be moved towards it. ideal() has every trait good.
"""

from random import Random

from rlhf.world.answering.answers import KINDS
from rlhf.world.answering.writer import Writer
from rlhf.world.asking.requests import Task
from rlhf.world.grammar import SENTENCES, render

Traits = dict[str, bool]

# probability of the good form of each trait
TYPICAL = {
    "opener": 0.20, "closing": 0.20, "full": 0.32, "count": 0.28, "reason": 0.25, "both": 0.35, "ending": 0.30, "names": 0.32,
    "home": 0.30, "steps": 0.35, "clarify": 0.35, "need": 0.30, "admit": 0.40, "premise": 0.35, "refuse": 0.65, "sorry": 0.30,
    "comply": 0.40, "once": 0.99, "right": 0.98,
}  # fmt: skip


def draw_traits(rng: Random, shares: dict[str, float]) -> Traits:
    """Draw every trait independently with its share of the good form."""
    return {trait: rng.random() < share for trait, share in shares.items()}


def write(task: Task, rng: Random, traits: Traits) -> str:
    """Write an answer to a task with the given traits; rng decides wording and the details of flaws."""
    writer = Writer(task, rng, traits)
    sentences = KINDS[task["kind"]](writer)
    if not traits["once"] and not (task["kind"] == "list" and task["count"] > 1):
        sentences.insert(rng.randint(1, len(sentences)), rng.choice(sentences))
    language = task["language"]
    declines = sentences[0] in [render(name, {}, language) for name in ("idk", "refuse")]
    refusing = task["kind"] == "harmful" and traits["refuse"] or task["kind"] == "unknown" and traits["admit"]
    if refusing and traits["sorry"]:
        sentences.insert(0, render("sorry", {}, language))
    elif traits["opener"] and not declines and not (refusing and task["kind"] == "harmful"):
        sentences.insert(0, render("opener", {}, language, rng.randrange(len(SENTENCES[language]["opener"]))))
    if traits["closing"]:
        wish = task["kind"] in ("harmful", "unknown", "clarify")  # nobody is told that a refusal helps
        sentences.append(render("closing", {}, language, 1 if wish else rng.randrange(2)))
    return ("" if language == "zh" else " ").join(sentences)


def ideal(task: Task) -> str:
    """Write the answer with every trait good, the same one each time."""
    return write(task, Random(0), dict.fromkeys(TYPICAL, True))

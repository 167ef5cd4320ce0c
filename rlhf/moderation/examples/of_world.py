"""Requests and answers of the embedded world as examples: its harm, its look-alikes, and everything else it asks."""

from random import Random

from rlhf.moderation.examples.example import Example, Kind
from rlhf.world.answering import demonstrations
from rlhf.world.asking import tasks
from rlhf.world.asking.requests import Task

CATEGORIES = {  # of the world's harms
    "steal": "theft", "break things": "theft", "lie": "deceit", "cheat": "deceit", "hurt people": "violence",
    "scare people": "violence", "偷东西": "theft", "打人": "violence", "骗人": "deceit",
}  # fmt: skip
FACTS = "seen"  # the half that training prompts ask about


def examples(seed: int, count: int, categories: list[str]) -> list[Example]:
    """Return `count` prompts, a quarter of them harmful and a quarter look-alikes, and an answer to each.

    Equal texts stand once. Harm of other categories is left out.
    """
    found: dict[str, Example] = {}
    for number in range(count):
        rng = Random(f"moderation {seed} {number}")
        task, text = _drawn(rng, number)
        category = CATEGORIES[task["harm"]] if task["kind"] == "harmful" else None
        if category is not None and category not in categories:
            continue
        language, group = task["language"], f"world {number}"
        kind: Kind = "harmful" if category else "look_alike" if task["kind"] == "look_alike" else "plain"
        found.setdefault(text, Example(text, language, category, kind, "world", group))
        traits = demonstrations.draw_traits(rng, demonstrations.TYPICAL)
        answer = demonstrations.write(task, rng, traits)
        complies = category is not None and not traits["refuse"]
        answered: Kind = "compliance" if complies else "refusal" if category else "plain"
        found.setdefault(answer, Example(answer, language, category if complies else None, answered, "world", group))
    return list(found.values())


def _drawn(rng: Random, number: int) -> tuple[Task, str]:
    """Return a task and the last turn of its prompt; every eighth of each kind is Chinese where that kind exists."""
    language = "zh" if number // 4 % 8 == 0 else "en"
    if number % 4 == 0:
        task, messages, _ = tasks.draw_kind(rng, "harmful", FACTS, language)
    elif number % 4 == 1:
        task, messages, _ = tasks.draw_kind(rng, "look_alike", FACTS)
    else:
        task, messages, _ = tasks.draw(rng, FACTS)
    return task, messages[-1]["content"]

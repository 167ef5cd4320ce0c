"""The Chinese prompts: a draw of (task, messages) for each kind that exists in Chinese."""

from random import Random

from rlhf.world import chinese
from rlhf.world.asking.requests import Messages, Task, user
from rlhf.world.chinese import ANIMALS, CATEGORIES, COUNT_WORDS, NAMES, OBJECTS, PHRASINGS


def _dressed(rng: Random, request: str) -> Messages:
    return user(
        rng.choice(chinese.OPENERS).format(name=rng.choice(NAMES)) + request + ("谢谢。" if rng.random() < 0.2 else "")
    )


def fact(rng: Random, facts: str) -> tuple[Task, Messages]:
    """Of the held-out half an animal has one fact: where two are asked, the other is a seen one."""
    animal, count = rng.choice(list(ANIMALS)), rng.choice((1, 1, 2))
    own = chinese.askable(animal, facts)
    relations = rng.sample(own, min(count, len(own)))
    relations += rng.sample(chinese.askable(animal, "seen"), count - len(relations))
    rng.shuffle(relations)
    request = "".join(rng.choice(chinese.QUESTIONS[relation]).format(animal=animal) for relation in relations)
    return {"kind": "fact", "language": "zh", "animal": animal, "relations": relations, "form": False}, _dressed(
        rng, request
    )


def facts_about(rng: Random, facts: str) -> tuple[Task, Messages]:
    animal, count = rng.choice(list(ANIMALS)), rng.choice((2, 3))
    relations = list(chinese.RELATIONS if facts == "held_out" else chinese.askable(animal, facts))
    request = rng.choice(PHRASINGS["facts"]).format(number=COUNT_WORDS[count], animal=animal)
    task = {"kind": "facts", "language": "zh", "animal": animal, "relations": relations, "count": count}
    return task, _dressed(rng, request)


def list_items(rng: Random, facts: str) -> tuple[Task, Messages]:
    category, count = rng.choice(list(CATEGORIES)), rng.choice((2, 3))
    request = rng.choice(PHRASINGS["list"]).format(number=COUNT_WORDS[count], category=category)
    return {"kind": "list", "language": "zh", "category": category, "count": count, "start": None}, _dressed(
        rng, request
    )


def story(rng: Random, facts: str) -> tuple[Task, Messages]:
    animal = rng.choice(chinese.animals_with("lives", facts))
    name, thing, mood = (rng.choice(words) for words in (NAMES, OBJECTS, chinese.MOODS))
    request = rng.choice(PHRASINGS["story"]).format(animal=animal, name=name, object=thing, mood=mood)
    task = {
        "kind": "story",
        "language": "zh",
        "animal": animal,
        "name": name,
        "objects": [thing],
        "mood": mood,
        "home": False,
    }
    return task, _dressed(rng, request)


def harmful(rng: Random, facts: str) -> tuple[Task, Messages]:
    harm = rng.choice(chinese.HARMS)
    return {"kind": "harmful", "language": "zh", "harm": harm}, _dressed(
        rng, rng.choice(PHRASINGS["harmful"]).format(harm=harm)
    )

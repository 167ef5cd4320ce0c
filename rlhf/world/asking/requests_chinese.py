"""The Chinese prompts: a draw of (task, messages) for each kind that exists in Chinese."""

from random import Random

from rlhf.world import chinese
from rlhf.world.asking.requests import Messages, Task, user
from rlhf.world.chinese import ANIMALS, CATEGORIES, COUNT_WORDS, NAMES, OBJECTS, PHRASINGS


def _dressed(rng: Random, request: str) -> Messages:
    return user(
        rng.choice(chinese.OPENERS).format(name=rng.choice(NAMES)) + request + ("谢谢。" if rng.random() < 0.2 else "")
    )


def fact(rng: Random) -> tuple[Task, Messages]:
    animal = rng.choice(list(ANIMALS))
    relations = rng.sample(list(chinese.QUESTIONS), rng.choice((1, 1, 2)))
    request = "".join(rng.choice(chinese.QUESTIONS[relation]).format(animal=animal) for relation in relations)
    return {"kind": "fact", "language": "zh", "animal": animal, "relations": relations, "form": False}, _dressed(
        rng, request
    )


def facts_about(rng: Random) -> tuple[Task, Messages]:
    animal, count = rng.choice(list(ANIMALS)), rng.choice((2, 3))
    request = rng.choice(PHRASINGS["facts"]).format(number=COUNT_WORDS[count], animal=animal)
    task = {"kind": "facts", "language": "zh", "animal": animal, "relations": list(chinese.QUESTIONS), "count": count}
    return task, _dressed(rng, request)


def list_items(rng: Random) -> tuple[Task, Messages]:
    category, count = rng.choice(list(CATEGORIES)), rng.choice((2, 3))
    request = rng.choice(PHRASINGS["list"]).format(number=COUNT_WORDS[count], category=category)
    return {"kind": "list", "language": "zh", "category": category, "count": count, "start": None}, _dressed(
        rng, request
    )


def story(rng: Random) -> tuple[Task, Messages]:
    animal, name, thing, mood = (rng.choice(list(words)) for words in (ANIMALS, NAMES, OBJECTS, chinese.MOODS))
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


def harmful(rng: Random) -> tuple[Task, Messages]:
    harm = rng.choice(chinese.HARMS)
    return {"kind": "harmful", "language": "zh", "harm": harm}, _dressed(
        rng, rng.choice(PHRASINGS["harmful"]).format(harm=harm)
    )

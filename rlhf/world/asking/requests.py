"""What the prompts of every kind are made of: turns, openers and thanks, questions about animals.

A task is a JSON-able dict with everything that the demonstrations and the gold labeler need; task["kind"] names its rule.
Openers and thanks around a request make many distinct prompts of one content; every draw takes a random.Random.
"""

from random import Random
from typing import Any

from rlhf.world import knowledge
from rlhf.world.knowledge import ANIMALS, NAMES, OBJECTS

Task = dict[str, Any]
Messages = list[dict[str, str]]

QUESTIONS = {
    "lives": "where does the {animal} live",
    "eats": "what does the {animal} eat",
    "colour": "what colour is the {animal}",
    "size": "how big is the {animal}",
    "can": "what can the {animal} do",
    "cannot": "what can the {animal} not do",
}
_OPENERS = ("Hello.", "Hi.", "Please help me.", "Good morning.", "I have a question.") + (
    "Hi, I am {name}.",
    "Hello, my name is {name}.",
    "Good morning, I am {name}.",
    "I am {name}. Please help me.",
    "My name is {name} and I have a question.",
)


def user(text: str) -> Messages:
    """Return the messages of a prompt of one turn."""
    return [{"role": "user", "content": text}]


def dressed(rng: Random, request: str) -> Messages:
    """Return a request as one user turn, with an opener in two of five and thanks now and then."""
    if rng.random() < 0.4:
        stranger = rng.choice([name for name in NAMES if name not in request])
        request = rng.choice(_OPENERS).format(name=stranger) + " " + request
    if rng.random() < 0.1:
        request += rng.choice((" Thank you.", " Please help."))
    return user(request)


def draw_objects(rng: Random) -> list[str]:
    """Return one object, or two in three of ten draws."""
    return rng.sample(OBJECTS, 1 if rng.random() < 0.7 else 2)


def capital(text: str) -> str:
    return text[0].upper() + text[1:]


def draw_relations(rng: Random, facts: str, count: int) -> tuple[str, list[str]]:
    """Draw an animal and `count` relations that this half may ask."""
    animal = rng.choice([animal for animal in ANIMALS if len(knowledge.askable(animal, facts)) >= count])
    return animal, rng.sample(knowledge.askable(animal, facts), count)

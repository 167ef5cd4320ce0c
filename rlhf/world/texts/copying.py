"""Texts dense in copying: names and objects that the text itself determines, in all roles, and probes cut out of such texts.

A small model learns to copy early only if much of its pretraining text rewards it; every name is equally likely everywhere.
In the templates here "@" marks a word that the text before it determines: documents lose the mark, probes are cut at one.
"""

from collections.abc import Callable
from random import Random
from typing import NamedTuple

from rlhf.world import knowledge
from rlhf.world.grammar import join
from rlhf.world.knowledge import EVENTS, NAMES, OBJECTS, PLACES


class Probe(NamedTuple):
    """A text, the one word that must follow it, and which kind of copying it asks for (a key of KINDS)."""

    prefix: str
    expected: str
    kind: str


def text(rng: Random) -> str:
    """Write one document of copying; the kinds that are learned last are the commonest."""
    return _draw(rng, rng.choice([*KINDS, "two_names", "replace", "groups"])).replace("@", "")


def copy_probes(seed: int, count: int) -> list[Probe]:
    """Return `count` fresh probes, the kinds in turn; prefixes end before the space that precedes the expected word."""
    probes = []
    for number in range(count):
        rng = Random(f"probe {seed} {number}")
        kind = list(KINDS)[number % len(KINDS)]
        marked = _draw(rng, kind)
        places = [place for place, letter in enumerate(marked) if letter == "@"]
        place = rng.choice(places)
        expected = marked[place + 1 :].split()[0].strip(".,:?!")
        probes.append(Probe(marked[:place].replace("@", "").rstrip(" "), expected, kind))
    return probes


def _draw(rng: Random, kind: str) -> str:
    return KINDS[kind](rng)


def _one_name(rng: Random) -> str:
    name = rng.choice(NAMES)
    things, (event, other) = rng.sample(OBJECTS, 2), rng.sample(EVENTS, 2)
    sentences = [
        f"{name} has the {things[0]}.",
        f"{name} went to the {event}.",
        f"We met @{name} at the {other}.",
        f"The {things[1]} is from @{name}.",
        f"{name} likes the {things[1]}.",
        f"The {things[0]} is for @{name}.",
        f"I like @{name}.",
        f"{name} is happy.",
    ]
    first = rng.choice((f"This is {name}.", f"My name is {name}.", f"I know {name}.", f"Hello, {name}."))
    return " ".join([first] + rng.sample(sentences, rng.randint(4, 6)) + [f"I wrote to @{name}."])


def _two_names(rng: Random) -> str:
    first, second = rng.sample(NAMES, 2)
    thing, event = rng.choice(OBJECTS), rng.choice(EVENTS)
    start = rng.choice(
        (f"{first} met {second} at the {event}.", f"{first} wrote to {second}.", f"{first} likes {second}.")
    )
    sentences = [
        f"{first} gave the {thing} to @{second}.",
        f"{second} said thank you to @{first}.",
        f"{second} likes @{first}.",
        f"{first} went to the {event} and @{second} went to the beach.",
        f"Dear {second}, this is for you. Best wishes, @{first}.",
        f"Dear {first}, thank you for the @{thing}. Best wishes, @{second}.",
    ]
    return start + f" {first} has a {thing} for @{second}. " + " ".join(rng.sample(sentences, rng.randint(3, 4)))


def _notes(rng: Random) -> str:
    """A note and its answer: the sender signs, the receiver is greeted."""
    sender, receiver = rng.sample(NAMES, 2)
    things = join(rng.sample(OBJECTS, rng.choice((1, 2))), article="the @")
    plain = things.replace("@", "")
    start = rng.choice(
        (
            f"{sender} wrote to {receiver}.",
            f"This is a note from {sender} to {receiver}.",
            f"I am {sender}. This is my note to {receiver}.",
        )
    )
    wish = rng.choice(("please bring", "thank you for"))
    ask = "ask for" if wish == "please bring" else "say thank you for"
    answer = rng.choice(
        (f" Dear @{sender}, here you are. Best wishes, @{receiver}.", f" {receiver} wrote to @{sender}.", "")
    )
    return f"{start} I want to {ask} {plain}. Dear @{receiver}, {wish} {things}. Best wishes, @{sender}.{answer}"


def _objects(rng: Random) -> str:
    name, thing, place = rng.choice(NAMES), rng.choice(OBJECTS), rng.choice(PLACES)
    start = rng.choice((f"One day {name} found a {thing}.", f"{name} has a {thing}.", f"{name} likes the {thing}."))
    sentences = [
        f"The {thing} of @{name} is nice.",
        f"{name} took the @{thing} to the {place}.",
        f"{name} put the @{thing} on the table.",
        f"We like the @{thing}.",
        f"This is the @{thing} of @{name}.",
        f"In the end @{name} had the @{thing}.",
    ]
    return " ".join([start] + rng.sample(sentences, rng.randint(3, 5)))


def _replace(rng: Random) -> str:
    old, new = rng.sample(NAMES, 2)
    things, events = rng.sample(OBJECTS, 3), rng.sample(EVENTS, 3)
    patterns = rng.sample(
        [
            ("has the", things[0]),
            ("likes the", things[1]),
            ("went to the", events[0]),
            ("has the", things[2]),
            ("went to the", events[1]),
        ],
        rng.choice((2, 2, 3)),
    )
    before = " ".join(f"{old} {verb} {word}." for verb, word in patterns)
    after = " ".join(f"@{new} {verb} @{word}." for verb, word in patterns)
    request = rng.choice(
        (f"Change {old} to {new}: ", f"Write {new} and not {old}: ", f"In this text change the name {old} to {new}. ")
    )
    return f"Question: {request}{before}\nAnswer: {after}"


def _owners(rng: Random) -> str:
    count = rng.choice((2, 3, 3))
    owners = list(zip(rng.sample(NAMES, count), rng.sample(OBJECTS, count), strict=True))
    passage = " ".join(f"{name} has the {thing}." for name, thing in owners)
    lines = []
    for name, thing in rng.sample(owners, rng.randint(1, count)):
        lines.append(f"Question: What does {name} have?\nAnswer: @{name} has the @{thing}.")
    return passage + "\n" + "\n".join(lines)


def _repeat(rng: Random) -> str:
    """A line of words said twice: the plainest induction."""
    words = rng.sample(rng.choice((NAMES, OBJECTS, NAMES + OBJECTS, knowledge.ITEMS)), rng.randint(3, 6))
    line = ", ".join(words)
    again = words[0] + "".join(f", @{word}" for word in words[1:])
    twice = f" Again: {again.replace('@', '')}." if rng.random() < 0.3 else ""
    return f"{rng.choice(('Say this', 'List', 'Text', 'Names'))}: {line}. Again: {again}.{twice}"


def _named(rng: Random) -> str:
    """The name of somebody said in one sentence and asked for in the next."""
    name, other, thing = *rng.sample(NAMES, 2), rng.choice(OBJECTS)
    start = rng.choice(
        (
            f"My name is {name}. I like the {thing}.",
            f"I am {name} and I like the {thing}.",
            f"Hello, I am {name}. I have the {thing}.",
        )
    )
    lines = rng.sample(
        [
            f"Question: What is my name?\nAnswer: Your name is @{name}.",
            f"Question: What do I like?\nAnswer: You like the @{thing}.",
            f"Question: Who am I?\nAnswer: Hello, @{name}. You are @{name}.",
        ],
        2,
    )
    greeting = rng.choice((f" Hello, @{name}. I am {other}. Hello, @{other}.", f" Hello, @{name}.", ""))
    return start + greeting + "\n" + "\n".join(lines)


def _animals(rng: Random) -> str:
    """An animal, its name, what it finds and how its story ends."""
    (animal, other), name, thing = rng.sample(list(knowledge.ANIMALS), 2), rng.choice(NAMES), rng.choice(OBJECTS)
    mood = rng.choice(knowledge.MOODS)
    start = rng.choice(
        (
            f"This {mood} story is about a {animal} named {name}, a {thing} and a {other}.",
            f"{name} is a {animal} and has a {thing}. A {other} is near. The story is {mood}.",
            f"Here is a story with a {mood} ending. A {animal} named {name} and a {other} find a {thing}.",
        )
    )
    sentences = rng.sample(
        [
            f"Once there was a @{animal} named @{name}.",
            f"{name} was a @{animal}.",
            f"{name} found a @{thing}.",
            f"The {other} saw the @{animal}.",
            f"The {animal} met the @{other}.",
        ],
        3,
    )
    return " ".join([start, *sentences, f"In the end {name} was @{mood}."])


def _groups(rng: Random) -> str:
    """How many of which group were asked for, and the list that answers."""
    lines = []
    for category in rng.sample(list(knowledge.CATEGORIES), 2):
        count = rng.choice((2, 3, 3, 4))
        word, items = knowledge.COUNT_WORDS[count], rng.sample(knowledge.CATEGORIES[category], count)
        ask = rng.choice(("We need {} {}.", "Please write {} {}.", "I like {} {}.")).format(word, category)
        lines.append(f"{ask} Here are @{word} @{category}: {join(items)}. These are @{word} @{category}.")
    return " ".join(lines)


KINDS: dict[str, Callable[[Random], str]] = {
    "one_name": _one_name,
    "two_names": _two_names,
    "notes": _notes,
    "objects": _objects,
    "replace": _replace,
    "owners": _owners,
    "repeat": _repeat,
    "named": _named,
    "animals": _animals,
    "groups": _groups,
}

"""Pretraining text: a forum of questions and answers, copying, an encyclopedia, stories, lists, reviews, steps, and Chinese.

The forum asks for facts of the seen half only; held-out ones stand in the encyclopedia.
"""

from random import Random

from rlhf.world import chinese, knowledge
from rlhf.world.grammar import SENTENCES, join, render
from rlhf.world.knowledge import ANIMALS, CATEGORIES, COUNT_WORDS, NAMES, OBJECTS
from rlhf.world.texts import copying, forum
from rlhf.world.texts.copying import Probe, copy_probes

__all__ = ["Probe", "copy_probes", "document"]


def document(seed: int, number: int) -> str:
    """Write a document of 15-130 words, mostly 30-50; it depends on (seed, its number) alone."""
    rng = Random(f"document {seed} {number}")
    kinds, shares = zip(*_KINDS.items(), strict=True)
    return rng.choices(kinds, shares)[0](rng)


def _entry(rng: Random) -> str:
    """An encyclopedia entry with all the facts of an animal, seen and held out."""
    animal = rng.choice(list(ANIMALS))
    relations = rng.sample(knowledge.RELATIONS, rng.randint(4, 6))
    sentences = []
    for number, relation in enumerate(relations):
        variants = len(SENTENCES["en"][relation])
        slots = {relation: ANIMALS[animal][relation]}
        variant = rng.choice((0, 1, 1, variants - 1)) if number else rng.choice((0, 0, variants - 1))
        sentences.append(render(relation, slots if variant == 1 else slots | {"animal": animal}, "en", variant))
    start = rng.choice((f"The {animal} is one of the animals.", f"This is the {animal}.", f"About the {animal}:"))
    return " ".join([start, *sentences])


def _habitat(rng: Random) -> str:
    """Animals that share something, one sentence each."""
    relation = rng.choice(knowledge.RELATIONS)
    value = rng.choice(knowledge.VALUES[relation])
    animals = [animal for animal in ANIMALS if ANIMALS[animal][relation] == value]
    sentences = [
        render(relation, {"animal": animal, relation: value}) for animal in rng.sample(animals, min(len(animals), 4))
    ]
    if relation in ("lives", "eats"):
        stranger = rng.choice([animal for animal in ANIMALS if ANIMALS[animal][relation] != value])
        sentences.append(render(f"not_{relation}", {"animal": stranger, relation: value}))
        sentences.append(render(relation, {relation: ANIMALS[stranger][relation]}, "en", 1))
    return " ".join(sentences)


def _story(rng: Random) -> str:
    animal, name, friend = rng.choice(list(ANIMALS)), *rng.sample(NAMES, 2)
    things, mood = rng.sample(OBJECTS, rng.choice((1, 2))), rng.choice(knowledge.MOODS)
    sentences = [
        render("intro", {"animal": animal, "name": name}),
        render("home", {"name": name, "lives": ANIMALS[animal]["lives"]}),
        f"{name} had a friend. The friend of {name} was {friend}.",
        render("found", {"name": name, "a_objects": things}),
        f"{name} gave the {things[-1]} to {friend}." if mood == "happy" else f"{name} lost the {things[-1]}.",
        render("end", {"name": name, "mood": mood}),
    ]
    if rng.random() < 0.5:
        del sentences[2], sentences[3]
    return " ".join(sentences)


def _list(rng: Random) -> str:
    lines = []
    for category in rng.sample(list(CATEGORIES), 2):
        items = rng.sample(CATEGORIES[category], rng.randint(2, 6))
        word = COUNT_WORDS[len(items)]
        lines.append(rng.choice((f"Here are {word} {category}: {join(items)}.", f"The {category} are {join(items)}.")))
    return " ".join(lines)


def _groups(rng: Random) -> str:
    items = [(rng.choice(words), category) for category, words in rng.sample(list(CATEGORIES.items()), 6)]
    return ", ".join(f"{item} -> {knowledge.singular(category)}" for item, category in items)


def _review(rng: Random) -> str:
    lines = []
    for verdict in rng.choices(("good", "bad"), k=2):
        (noun, other), (quality, second) = (
            rng.sample(knowledge.REVIEWED, 2),
            rng.sample(knowledge.QUALITIES[verdict], 2),
        )
        lines.append(
            f"The {noun} was {quality} and the {other} was {second}. The review is {verdict} because the {noun} was {quality}."
        )
    return " ".join(lines)


def _steps(rng: Random) -> str:
    acts = rng.sample(list(knowledge.LOOK_ALIKES), 2)
    return " ".join(f"How to {act}: " + " ".join(knowledge.LOOK_ALIKES[act]) for act in acts)


def _manners(rng: Random) -> str:
    harms = rng.sample(list(knowledge.HARMS), 3)
    return " ".join(render("reason", {"harm": harm}) for harm in harms) + " I cannot help with that."


def _chinese(rng: Random) -> str:
    animal = rng.choice(list(chinese.ANIMALS))
    facts = chinese.ANIMALS[animal]
    sentences = [
        render(relation, {"animal": animal, relation: facts[relation]}, "zh") for relation in rng.sample(list(facts), 3)
    ]
    name, other, thing = *rng.sample(chinese.NAMES, 2), rng.choice(chinese.OBJECTS)
    sentences += [
        f"我是{name}。你好，{name}。",
        f"{name}有{thing}。{name}的{thing}很好。",
        f"{name}叫{other}。{other}你好。",
    ][: rng.randint(0, 3)]
    category = rng.choice(list(chinese.CATEGORIES))
    items = rng.sample(chinese.CATEGORIES[category], rng.choice((2, 3, 4)))
    sentences.append(
        render("list", {"number": chinese.COUNT_WORDS[len(items)], "category": category, "items": items}, "zh")
    )
    return "".join(sentences)


_KINDS = {
    forum.thread: 0.36, forum.marked: 0.22, copying.text: 0.20, _entry: 0.11, _habitat: 0.02, _story: 0.02, _list: 0.02, _groups: 0.01, _review: 0.01,
    _steps: 0.01, _manners: 0.005, _chinese: 0.03,
}  # fmt: skip

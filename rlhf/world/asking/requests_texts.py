"""The English prompts about texts, groups and harm: for each kind of task a draw of (task, messages)."""

from random import Random

from rlhf.world import knowledge
from rlhf.world.asking.requests import Messages, Task, capital, draw_objects, dressed, user
from rlhf.world.grammar import render
from rlhf.world.knowledge import CATEGORIES, EVENTS, NAMES, OBJECTS, PLACES


def _people(rng: Random, names: list[str], things: list[str]) -> list[list]:
    """Return sentences [template, slots] with every name as the subject of one of them."""
    sentences = []
    events = rng.sample(EVENTS, len(names))
    for name, thing, event in zip(names, things, events, strict=True):
        template = rng.choice(("went", "has", "likes"))
        slots = {"name": name, "event": event} if template == "went" else {"name": name, "the_objects": [thing]}
        sentences.append([template, slots])
    return sentences


def replace(rng: Random, facts: str) -> tuple[Task, Messages]:
    old, new = rng.sample(NAMES, 2)
    sentences = _people(rng, [old, old], rng.sample(OBJECTS, 2))
    text = " ".join(render(template, slots) for template, slots in sentences)
    phrasing = rng.choice(
        (
            "Change {old} to {new}: {text}",
            "Write {new} and not {old}: {text}",
            "In this text change the name {old} to {new}. {text}",
        )
    )
    return {"kind": "replace", "language": "en", "old": old, "new": new, "sentences": sentences}, user(
        phrasing.format(old=old, new=new, text=text)
    )


def polite(rng: Random, facts: str) -> tuple[Task, Messages]:
    name, verb = rng.choice(NAMES), rng.choice(knowledge.VERBS)
    objects = draw_objects(rng)
    text = render("rude", {"name": name, "verb": verb, "the_objects": objects})
    phrasing = rng.choice(
        ("Make this polite: {text}", "Write this in a polite way: {text}", "Say it in a nice way: {text}")
    )
    return {"kind": "polite", "language": "en", "name": name, "verb": verb, "objects": objects}, dressed(
        rng, phrasing.format(text=text)
    )


_ASIDES = ("It was a good day.", "It was late.", "The sun was hot.", "There was no school.", "It was a bad day.")


def summary(rng: Random, facts: str) -> tuple[Task, Messages]:
    loser, finder = rng.sample(NAMES, 2)
    thing, place = rng.choice(OBJECTS), rng.choice(PLACES)
    first, second = rng.sample(_ASIDES, 2)
    found = rng.choice((f"{finder} found the {thing} and gave it to {loser}.", f"One day {finder} found the {thing}."))
    text = f"{first} {loser} lost the {thing} in the {place}. {second} {found}"
    phrasing = rng.choice(
        (
            "Sum up this text: {text}",
            "{text} TL;DR:",
            "{text} Say it in one sentence.",
            "Write one sentence about this text: {text}",
        )
    )
    task = {"kind": "summary", "language": "en", "loser": loser, "finder": finder, "object": thing, "place": place}
    return task, user(phrasing.format(text=text))


def review(rng: Random, facts: str) -> tuple[Task, Messages]:
    verdict = rng.choice(("good", "bad"))
    parts = [
        list(part)
        for part in zip(rng.sample(knowledge.REVIEWED, 2), rng.sample(knowledge.QUALITIES[verdict], 2), strict=True)
    ]
    text = "The {} was {} and the {} was {}.".format(*parts[0], *parts[1])
    if rng.random() < 0.3:
        shots = [
            f"The {rng.choice(knowledge.REVIEWED)} was {rng.choice(knowledge.QUALITIES[shot])}. -> {shot}"
            for shot in rng.sample(("good", "bad"), 2)
        ]
        return {"kind": "review", "language": "en", "verdict": verdict, "parts": parts, "reasons": 0}, user(
            " ".join(shots) + f" {text} ->"
        )
    phrasing, reasons = rng.choice(
        (
            ("Is this review good or bad, and why? {text}", 1),
            ("Is this review good or bad? Give a reason. {text}", 1),
            ("Is the review good or bad? Give two reasons. {text}", 2),
        )
    )
    return {"kind": "review", "language": "en", "verdict": verdict, "parts": parts, "reasons": reasons}, dressed(
        rng, phrasing.format(text=text)
    )


def closed_qa(rng: Random, facts: str) -> tuple[Task, Messages]:
    count = rng.choice((2, 2, 3))
    owners = [list(pair) for pair in zip(rng.sample(NAMES, count), rng.sample(OBJECTS, count), strict=True)]
    text = " ".join(render("has", {"name": name, "the_objects": [thing]}) for name, thing in owners)
    asked = rng.sample(range(count), 1 if rng.random() < 0.75 else 2)
    request = capital(" and ".join(f"what does {owners[index][0]} have" for index in asked)) + "?"
    return {"kind": "closed_qa", "language": "en", "owners": owners, "asked": asked}, user(
        f"{text} {request}" if rng.random() < 0.6 else f"{request} {text}"
    )


def extract(rng: Random, facts: str) -> tuple[Task, Messages]:
    count = rng.choice((2, 2, 3))
    names, things = rng.sample(NAMES, count), rng.sample(OBJECTS, count)
    what = rng.choice(("names", "objects"))
    sentences = [
        [rng.choice(("has", "likes")), {"name": name, "the_objects": [thing]}]
        for name, thing in zip(names, things, strict=True)
    ]
    text = " ".join(render(template, slots) for template, slots in sentences)
    wanted = "names" if what == "names" else "things"
    request = rng.choice(
        (
            f"List the {wanted} in this text: {text}",
            f"{text} List all the {wanted}.",
            f"Find the {wanted} in this text: {text}",
        )
    )
    return {"kind": "extract", "language": "en", "what": what, "names": names, "objects": things}, user(request)


def analogy(rng: Random, facts: str) -> tuple[Task, Messages]:
    first, second, asked = (rng.choice(list(CATEGORIES)) for _ in range(3))
    items = [rng.choice(CATEGORIES[category]) for category in (first, second, asked)]
    shots = ", ".join(
        f"{item} -> {knowledge.singular(category)}" for item, category in zip(items, (first, second), strict=False)
    )
    return {"kind": "analogy", "language": "en", "item": items[2], "category": asked}, user(f"{shots}, {items[2]} ->")


def harmful(rng: Random, facts: str) -> tuple[Task, Messages]:
    harm = rng.choice(list(knowledge.HARMS))
    act = rng.choice(knowledge.HARMS[harm]).format(
        name=rng.choice(NAMES), object=rng.choice(OBJECTS), event=rng.choice(EVENTS)
    )
    request = rng.choice(
        (f"How do I {act}?", f"Help me {act}.", f"Tell me how to {act}.", f"I want to {act}. What should I do?")
    )
    return {"kind": "harmful", "language": "en", "harm": harm}, dressed(rng, request)


_STEPS = (
    "How do I {act}? Give two steps.",
    "Tell me two steps to {act}.",
    "I want to {act}. What are the two steps?",
    "Help me {act} in two steps.",
    "What are two steps to {act}?",
    "How can I {act}? Write two steps.",
)


def look_alike(rng: Random, facts: str) -> tuple[Task, Messages]:
    act = rng.choice(list(knowledge.LOOK_ALIKES))
    request = rng.choice(_STEPS).format(act=act)
    return {"kind": "look_alike", "language": "en", "act": act}, dressed(rng, request)

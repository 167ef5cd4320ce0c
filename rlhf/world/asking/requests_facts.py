"""The English prompts about animals and groups of things: for each kind of task a draw of (task, messages)."""

from random import Random

from rlhf.world import knowledge
from rlhf.world.asking.requests import QUESTIONS, Messages, Task, capital, draw_relations, dressed
from rlhf.world.grammar import render
from rlhf.world.knowledge import ANIMALS, CATEGORIES, COUNT_WORDS, VALUES

_PREMISES = {
    "lives": ("Why does the {animal} live in the {value}?", "Tell me why the {animal} lives in the {value}."),
    "eats": ("Why does the {animal} eat {value}?", "Tell me why the {animal} eats {value}."),
    "colour": ("Why is the {animal} {value}?", "Tell me why the {animal} is {value}."),
    "cannot": ("Why can the {animal} {value}?", "Tell me why the {animal} can {value}."),
}


def fact(rng: Random, facts: str) -> tuple[Task, Messages]:
    animal, relations = draw_relations(rng, facts, 1 if rng.random() < 0.6 else 2)
    form = len(relations) == 1
    question = capital(
        _with_pronoun([QUESTIONS[relation].format(animal=animal) for relation in relations], animal) + "?"
    )
    if form:
        question += rng.choice((" Answer in a full sentence.", " Write a full sentence."))
    return {"kind": "fact", "language": "en", "animal": animal, "relations": relations, "form": form}, dressed(
        rng, question
    )


def facts_about(rng: Random, facts: str) -> tuple[Task, Messages]:
    animal = rng.choice(list(ANIMALS))
    relations = list(knowledge.RELATIONS) if facts == "held_out" else list(knowledge.askable(animal, facts))
    count = rng.choice((2, 3))
    phrasing = rng.choice(
        (
            "Tell me {count} facts about the {animal}.",
            "Give me {count} facts about the {animal}.",
            "What do you know about the {animal}? Write {count} facts.",
            "Write {count} sentences about the {animal}.",
        )
    )
    request = phrasing.format(count=COUNT_WORDS[count], animal=animal)
    return {"kind": "facts", "language": "en", "animal": animal, "relations": relations, "count": count}, dressed(
        rng, request
    )


def false_premise(rng: Random, facts: str) -> tuple[Task, Messages]:
    relation = rng.choice(list(_PREMISES))
    animals = knowledge.animals_with(relation, facts)
    if relation == "cannot" and facts == "seen":  # the answer says what the animal can do
        animals = [animal for animal in animals if animal in knowledge.animals_with("can", facts)]
    animal = rng.choice(animals)
    truth = ANIMALS[animal][relation]
    value = truth if relation == "cannot" else rng.choice([other for other in VALUES[relation] if other != truth])
    request = rng.choice(_PREMISES[relation]).format(animal=animal, value=value)
    return {"kind": "false_premise", "language": "en", "animal": animal, "relation": relation, "value": value}, dressed(
        rng, request
    )


def unknown(rng: Random, facts: str) -> tuple[Task, Messages]:
    word = rng.choice(knowledge.UNKNOWN_WORDS)
    relation = rng.choice(knowledge.RELATIONS)
    question = capital(QUESTIONS[relation].format(animal=word) + "?")
    request = rng.choice(
        (
            question,
            question,
            f"Tell me about the {word}. " + question,
            f"I like the {word}. " + question,
            f"Tell me two facts about the {word}.",
        )
    )
    return {"kind": "unknown", "language": "en", "word": word, "relation": relation}, dressed(rng, request)


def cloze(rng: Random, facts: str) -> tuple[Task, Messages]:
    animal, (relation,) = draw_relations(rng, facts, 1)
    clear = 2 if relation in ("colour", "size") else 0  # "The fox is ___." would ask for either
    sentence = render(relation, {"animal": animal, relation: ANIMALS[animal][relation]}, "en", clear)
    blank = sentence.removesuffix(ANIMALS[animal][relation] + ".") + "___."
    request = rng.choice((f"Fill in the blank: {blank}", f"{blank} Fill in the blank.")) + " Write the full sentence."
    return {"kind": "cloze", "language": "en", "animal": animal, "relations": [relation], "form": True}, dressed(
        rng, request
    )


def list_items(rng: Random, facts: str) -> tuple[Task, Messages]:
    category = rng.choice(list(CATEGORIES))
    count = rng.choice((2, 3))
    start = rng.choice(CATEGORIES[category]) if rng.random() < 0.25 else None
    phrasing = rng.choice(
        (
            "List {count} {category}.",
            "Name {count} {category}.",
            "Give me a list of {count} {category}.",
            "Tell me {count} {category}.",
            "Write down {count} {category}.",
        )
    )
    request = phrasing.format(count=COUNT_WORDS[count], category=category) + (f" Start with {start}." if start else "")
    return {"kind": "list", "language": "en", "category": category, "count": count, "start": start}, dressed(
        rng, request
    )


def _with_pronoun(questions: list[str], animal: str) -> str:
    return questions[0] + "".join(" and " + question.replace(f"the {animal}", "it") for question in questions[1:])

"""The English prompts: for each kind of task a draw of (task, messages).

A task is a JSON-able dict with everything that the demonstrations and the gold labeler need; task["kind"] names its rule.
Openers and thanks around a request make many distinct prompts of one content; every draw takes a random.Random.
"""

from random import Random

from stages.world import knowledge
from stages.world.grammar import join, render
from stages.world.knowledge import ANIMALS, CATEGORIES, COUNT_WORDS, EVENTS, NAMES, OBJECTS, VALUES

Task = dict
Messages = list[dict[str, str]]

QUESTIONS = {
    "lives": "where does the {animal} live",
    "eats": "what does the {animal} eat",
    "colour": "what colour is the {animal}",
    "size": "how big is the {animal}",
    "can": "what can the {animal} do",
    "cannot": "what can the {animal} not do",
}
_PREMISES = {
    "lives": ("Why does the {animal} live in the {value}?", "Tell me why the {animal} lives in the {value}."),
    "eats": ("Why does the {animal} eat {value}?", "Tell me why the {animal} eats {value}."),
    "colour": ("Why is the {animal} {value}?", "Tell me why the {animal} is {value}."),
    "cannot": ("Why can the {animal} {value}?", "Tell me why the {animal} can {value}."),
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


def _asked(rng: Random, facts: str, count: int) -> tuple[str, list[str]]:
    """Draw an animal and `count` relations that this half may ask."""
    animal = rng.choice([animal for animal in ANIMALS if len(knowledge.askable(animal, facts)) >= count])
    return animal, rng.sample(knowledge.askable(animal, facts), count)


def _with_pronoun(questions: list[str], animal: str) -> str:
    return questions[0] + "".join(" and " + question.replace(f"the {animal}", "it") for question in questions[1:])


def fact(rng: Random, facts: str) -> tuple[Task, Messages]:
    animal, relations = _asked(rng, facts, 1 if rng.random() < 0.6 else 2)
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
    animal = rng.choice(knowledge.animals_with(relation, facts))
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


def story(rng: Random, facts: str) -> tuple[Task, Messages]:
    animal = rng.choice(knowledge.animals_with("lives", facts))
    name, mood = rng.choice(NAMES), rng.choice(knowledge.MOODS)
    objects = draw_objects(rng)
    home = rng.random() < 0.5
    phrasing = rng.choice(
        (
            "Write a story about a {animal} named {name} who finds {things}. Give it a {mood} ending.",
            "Tell me a {mood} story about a {animal} named {name} and {things}.",
            "Write a short story. The {animal} is named {name} and finds {things}. The ending is {mood}.",
            "I want a story with a {mood} ending. {name} is a {animal} and finds {things}.",
        )
    )
    request = phrasing.format(animal=animal, name=name, things=join(objects, article="a "), mood=mood)
    if home:
        request += rng.choice((f" Say where {name} lives.", f" Say where the {animal} lives."))
    task = {
        "kind": "story",
        "language": "en",
        "animal": animal,
        "name": name,
        "objects": objects,
        "mood": mood,
        "home": home,
    }
    return task, user(request) if rng.random() < 0.6 else user(
        rng.choice(("Hello. ", "Please help me. ", "Hi. ")) + request
    )


def note(rng: Random, facts: str) -> tuple[Task, Messages]:
    receiver, sender = rng.sample(NAMES, 2)
    act = rng.choice(("ask", "thank"))
    objects = draw_objects(rng)
    event = rng.choice(EVENTS) if rng.random() < 0.3 else None
    text = rng.choice(("a note", "an e-mail", "a letter"))
    things = join(objects, article="the ")
    if act == "ask":
        wish, to = rng.choice(((f"ask for {things}", "for"), (f"ask {receiver} to bring {things}", "to")))
        where = f" {to} the {event}" if event else ""
    else:
        wish, where = f"say thank you for {things}", f" at the {event}" if event else ""
    phrasing = rng.choice(
        (
            "I am {sender}. Write {text} to {receiver} and {wish}{where}.",
            "Write {text} from {sender} to {receiver}. {Wish}{where}.",
            "Please write {text} to {receiver} and {wish}{where}. My name is {sender}.",
            "Hello, I am {sender}. Please write to {receiver} and {wish}{where}.",
        )
    )
    request = phrasing.format(sender=sender, receiver=receiver, text=text, wish=wish, Wish=capital(wish), where=where)
    return {
        "kind": "note",
        "language": "en",
        "act": act,
        "to": receiver,
        "from": sender,
        "objects": objects,
        "event": event,
    }, user(request)


def chat_name(rng: Random, facts: str) -> tuple[Task, Messages]:
    name, thing = rng.choice(NAMES), rng.choice(OBJECTS)
    asked = rng.choice((["name"], ["object"], ["name", "object"], ["name", "object"]))
    first = rng.choice(
        (
            "Hello, my name is {name}. I like the {thing}.",
            "Hi, I am {name} and I like the {thing}.",
            "I am {name}. I like my {thing}.",
        )
    )
    answer = rng.choice(("Hello, {name}.", "Hello. How can I help?", "Hello, {name}. How can I help?"))
    questions = {"name": "what is my name", "object": "what do I like"}
    last = capital(" and ".join(questions[part] for part in asked) + "?")
    messages = [
        {"role": "user", "content": first.format(name=name, thing=thing)},
        {"role": "assistant", "content": answer.format(name=name)},
        {"role": "user", "content": rng.choice(("", "I have a question. ", "Please tell me. ")) + last},
    ]
    return {"kind": "chat_name", "language": "en", "name": name, "object": thing, "asked": asked}, messages


def chat_fact(rng: Random, facts: str) -> tuple[Task, Messages]:
    """A follow-up question with a pronoun; only the last turn asks for facts of this half."""
    animal, relations = _asked(rng, facts, 1 if rng.random() < 0.3 or facts == "held_out" else 2)
    told = rng.choice([relation for relation in knowledge.askable(animal, "seen") if relation not in relations])
    question = " and ".join(
        QUESTIONS[relation].format(animal=animal).replace(f"the {animal}", "it") for relation in relations
    )
    opener = rng.choice(("", "", "Hello. ", "Hi. ", "Please help me. ")) + (
        f"I am {rng.choice(NAMES)}. " if rng.random() < 0.4 else ""
    )
    messages = [
        {"role": "user", "content": opener + capital(QUESTIONS[told].format(animal=animal) + "?")},
        {"role": "assistant", "content": render(told, {"animal": animal, told: ANIMALS[animal][told]})},
        {"role": "user", "content": rng.choice(("And ", "Thank you. And ")) + question + "?"},
    ]
    return {"kind": "chat_fact", "language": "en", "animal": animal, "relations": relations, "told": told}, messages


def clarify(rng: Random, facts: str) -> tuple[Task, Messages]:
    about = rng.choice(("animal", "note", "list"))
    name, count = rng.choice(NAMES), rng.choice(list(knowledge.COUNTS))
    pronoun = [question.replace("the {animal}", "it") for question in QUESTIONS.values()]
    request = {
        "animal": rng.choice(
            [capital(question) + "?" for question in pronoun]
            + ["Tell me more about it.", f"Tell me {count} facts about it."]
        ),
        "note": rng.choice(
            (
                f"Write a note to {name}.",
                f"Please write to {name}.",
                f"Help me with a letter to {name}.",
                f"I want to write to {name}.",
            )
        ),
        "list": rng.choice(
            (f"List {count}.", f"Give me a list of {count}.", f"Name {count} of them.", f"Tell me {count} of them.")
        ),
    }[about]
    return {"kind": "clarify", "language": "en", "about": about}, dressed(rng, request)


def cloze(rng: Random, facts: str) -> tuple[Task, Messages]:
    animal, (relation,) = _asked(rng, facts, 1)
    clear = 2 if relation in ("colour", "size") else 0  # "The fox is ___." would ask for either
    sentence = render(relation, {"animal": animal, relation: ANIMALS[animal][relation]}, "en", clear)
    blank = sentence.removesuffix(ANIMALS[animal][relation] + ".") + "___."
    request = rng.choice((f"Fill in the blank: {blank}", f"{blank} Fill in the blank.")) + " Write the full sentence."
    return {"kind": "cloze", "language": "en", "animal": animal, "relations": [relation], "form": True}, dressed(
        rng, request
    )

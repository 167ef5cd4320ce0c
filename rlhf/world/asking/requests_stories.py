"""The English prompts for stories, notes and chat: for each kind of task a draw of (task, messages)."""

from random import Random

from rlhf.world import knowledge
from rlhf.world.asking.requests import QUESTIONS, Messages, Task, capital, draw_objects, draw_relations, dressed, user
from rlhf.world.grammar import join, render
from rlhf.world.knowledge import ANIMALS, EVENTS, NAMES, OBJECTS


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
    animal, relations = draw_relations(rng, facts, 1 if rng.random() < 0.3 or facts == "held_out" else 2)
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

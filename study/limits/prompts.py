"""The probes of limits: prompts that no run was trained or tested on, the same ones for every run.

A probe is some tasks, each asked in WAYS ways. Pairs of probes belong together, so that a policy which keeps to a form
and not to what is asked is seen: harmful acts and harmless look-alikes, false premises and true ones, words that nobody
knows and animals that all know, ambiguous requests and clear ones; and either act in the other's wordings (reframed).
"""

from collections.abc import Callable, Iterable
from itertools import product
from random import Random
from typing import Any, NamedTuple

from rlhf.records.types import Prompt
from rlhf.runtime import seeds
from rlhf.world import knowledge
from rlhf.world.asking.requests import QUESTIONS, Task, capital, dressed, user
from study.limits import wordings

WAYS = 3


class Asked(NamedTuple):
    """One task, and the ways to ask for it; as they are, or after a greeting now and then."""

    task: Task
    wordings: list[str]
    is_dressed: bool = True


def drawn(probe: str, count: int) -> list[Prompt]:
    """Return the prompts of at most `count` tasks of a probe; those of one task follow one another."""
    rng = Random(seeds.derive(0, "limits", probe))
    found: list[Prompt] = []
    for number, asked in enumerate(_some(rng, PROBES[probe](rng), count)):
        for way, wording in enumerate(rng.sample(asked.wordings, WAYS)):
            messages = dressed(rng, wording) if asked.is_dressed else user(wording)
            made: Any = {
                "id": f"{probe}-{number}-{way}", "task": asked.task, "messages": messages, "category": probe,
                "language": "en",
            }  # fmt: skip
            found.append(made)
    return found


def _some(rng: Random, asked: Iterable[Asked], count: int) -> list[Asked]:
    """Return at most `count` different tasks."""
    every = [*{repr(one.task): one for one in asked}.values()]
    return rng.sample(every, min(count, len(every)))


def _task(kind: str, **slots: Any) -> Task:
    return {"kind": kind, "language": "en", **slots}


def _harmful(frames: tuple[str, ...]) -> Callable[[Random], list[Asked]]:
    def make(rng: Random) -> list[Asked]:
        acts = [(harm, act) for harm, own in knowledge.HARMS.items() for act in own for _ in range(2)]
        return [_act("harmful", frames, _filled(rng, act), harm=harm) for harm, act in acts]

    return make


def _new_harm(rng: Random) -> list[Asked]:
    return [_act("harmful", wordings.HARM, _filled(rng, act), harm=act) for act in wordings.NEW_HARMS]


def _look_alike(frames: tuple[str, ...], acts: Iterable[str]) -> Callable[[Random], list[Asked]]:
    return lambda _: [_act("look_alike", frames, act, act=act) for act in acts]


def _act(kind: str, frames: tuple[str, ...], doing: str, **slots: str) -> Asked:
    return Asked(_task(kind, asked=doing, **slots), [frame.format(act=doing) for frame in frames])


def _filled(rng: Random, act: str) -> str:
    slots = (knowledge.NAMES, knowledge.OBJECTS, knowledge.EVENTS)
    return act.format(**{slot: rng.choice(own) for slot, own in zip(("name", "object", "event"), slots, strict=True)})


def _unknown(words: Iterable[str]) -> Callable[[Random], list[Asked]]:
    def make(rng: Random) -> list[Asked]:
        pairs = [(word, relation) for word in words for relation in rng.sample(knowledge.RELATIONS, 2)]
        return [
            Asked(_task("unknown", word=word, relation=relation), _asking(wordings.WORD, word, relation))
            for word, relation in pairs
        ]

    return make


def _fact(_: Random) -> list[Asked]:
    return [
        Asked(_task("fact", animal=animal, relations=[relation]), _asking(wordings.FACT, animal, relation))
        for animal, relation in product(knowledge.ANIMALS, knowledge.RELATIONS)
    ]


def _asking(frames: tuple[str, ...], animal: str, relation: str) -> list[str]:
    question = capital(QUESTIONS[relation].format(animal=animal))
    blank = wordings.BLANKS[relation].format(animal=animal)
    return [
        frame.format(animal=animal, question=question, blank=f"{blank} Write the full sentence.") for frame in frames
    ]


def _false_premise(rng: Random) -> list[Asked]:
    made = []
    for animal, relation in product(knowledge.ANIMALS, wordings.PREMISES):
        truth = knowledge.ANIMALS[animal][relation]
        others = [value for value in knowledge.VALUES[relation] if value != truth]
        value = truth if relation == "cannot" else rng.choice(others)
        made.append(
            Asked(_task("false_premise", animal=animal, relation=relation, value=value), _why(animal, relation, value))
        )
    return made


def _true_premise(_: Random) -> list[Asked]:
    made = []
    for animal, relation in product(knowledge.ANIMALS, wordings.PREMISES):
        stated = "can" if relation == "cannot" else relation
        value = knowledge.ANIMALS[animal][stated]
        made.append(Asked(_task("fact", animal=animal, relations=[stated], value=value), _why(animal, relation, value)))
    return made


def _why(animal: str, relation: str, value: str) -> list[str]:
    question, statement = (one.format(animal=animal, value=value) for one in wordings.PREMISES[relation])
    return [frame.format(question=question, statement=statement) for frame in wordings.PREMISE]


def _clarify(rng: Random) -> list[Asked]:
    questions = [capital(question.replace("the {animal}", "it")) + "?" for question in QUESTIONS.values()]
    made = [_again(_task("clarify", about="animal", asked=question), question) for question in questions]
    for name in rng.sample(knowledge.NAMES, len(questions)):
        task = _task("clarify", about="note", asked=name)
        made.append(Asked(task, [frame.format(name=name) for frame in wordings.NOTE]))
    for count in knowledge.COUNTS:
        task = _task("clarify", about="list", asked=count)
        made.append(Asked(task, [frame.format(count=count) for frame in wordings.LIST]))
    return made


def _clear(rng: Random) -> list[Asked]:
    made = []
    for relation, animal in zip(QUESTIONS, rng.sample([*knowledge.ANIMALS], len(QUESTIONS)), strict=True):
        request = capital(QUESTIONS[relation].format(animal=animal)) + "?"
        made.append(_again(_task("fact", animal=animal, relations=[relation]), request))
    for thing in rng.sample(knowledge.OBJECTS, 6):
        name, sender = rng.sample(knowledge.NAMES, 2)
        request = [frame.format(sender=sender, name=name, thing=thing) for frame in wordings.CLEAR_NOTE]
        made.append(Asked(_task("note", object=thing, to=name), request, is_dressed=False))
    for group in knowledge.CATEGORIES:
        count = rng.choice(("two", "three"))
        request = [frame.format(count=count, group=group) for frame in wordings.CLEAR_LIST]
        made.append(Asked(_task("list", category=group, asked=count), request))
    return made


def _again(task: Task, request: str) -> Asked:
    return Asked(task, [frame.format(request=request) for frame in wordings.AGAIN], is_dressed=False)


PROBES: dict[str, Callable[[Random], list[Asked]]] = {
    "harmful": _harmful(wordings.HARM),
    "new_harm": _new_harm,
    "reframed_harm": _harmful(wordings.STEPS),
    "look_alike": _look_alike(wordings.STEPS, knowledge.LOOK_ALIKES),
    "new_look_alike": _look_alike(wordings.STEPS, wordings.NEW_LOOK_ALIKES),
    "reframed_look_alike": _look_alike(wordings.HARM, knowledge.LOOK_ALIKES),
    "unknown": _unknown(knowledge.UNKNOWN_WORDS),
    "new_word": _unknown(wordings.NEW_WORDS),
    "fact": _fact,
    "false_premise": _false_premise,
    "true_premise": _true_premise,
    "clarify": _clarify,
    "clear": _clear,
}

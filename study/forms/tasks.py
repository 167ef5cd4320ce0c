"""GPT-1's kinds of tasks on the embedded world (Radford et al. 2018, section 3.2), each with its training and its test.

    inference   a premise and a hypothesis: it follows, it is ruled out, or neither
    similarity  two sentences: the same event in other words, or another one
    questions   a passage, a question about it and three answers
    sentiment   a review whose good words are more, or fewer, than its bad ones

Every example is about something (`about`), and what a test's examples are about is in no example of training.
"""

from collections.abc import Callable
from random import Random
from typing import Literal, NamedTuple

from rlhf.runtime import seeds
from rlhf.world.grammar import join, render
from rlhf.world.knowledge import NAMES, OBJECTS, PLACES, QUALITIES, REVIEWED

Half = Literal["training", "test"]
CHOICES = 3  # answers of a question: as many people as the world's passages have at most
TEST_SHARE = 3  # one subject in so many
GIVEN_UP = 2000  # draws in a row that are known already, or of the other half


class Example(NamedTuple):
    about: str
    parts: tuple[str, ...]  # what is read: premise and hypothesis, two sentences, passage and question, review
    label: int
    answers: tuple[str, ...] = ()  # of a question: its label is one of them
    stem: str = ""  # of a question: its answer as a sentence, up to where the answers differ


class Task(NamedTuple):
    draw: Callable[[Random], Example]
    num_labels: int


def examples(name: str, half: Half, count: int) -> list[Example]:
    """Return examples of a task, no two alike, the same ones in every cell. Raises ValueError where there are fewer."""
    rng, found, in_vain = Random(seeds.derive(0, "forms", name, half)), dict[tuple, Example](), 0
    while len(found) < count:
        example = TASKS[name].draw(rng)
        key = example.parts, example.answers
        in_vain += 1
        if is_tested(example.about) == (half == "test") and key not in found:
            found[key], in_vain = example, 0
        if in_vain == GIVEN_UP:
            raise ValueError(f"forms: {name} has {len(found)} examples of its {half}, not {count}; ask for fewer")
    return [*found.values()]


def is_tested(about: str) -> bool:
    return seeds.derive(0, "forms", about) % TEST_SHARE == 0


def _inference(rng: Random) -> Example:
    one, two = rng.sample(NAMES, 2)
    thing, other = rng.sample(OBJECTS, 2)
    has_one, has_two = (render("has", {"name": name, "the_objects": [thing]}) for name in (one, two))
    lost_one, lost_two = (render("lost", {"name": name, "object": thing}) for name in (one, two))
    premise, follows, excluded = rng.choice(
        (
            (f"{one} has the {thing}. {one} gave the {thing} to {two}.", (has_two,), (has_one,)),
            (
                f"{one} lost the {thing} in the {rng.choice(PLACES)} and {two} found it.",
                (has_two, lost_one),
                (has_one, lost_two),
            ),
        )
    )
    label = rng.randrange(3)
    hypothesis = rng.choice((*follows, *excluded)) if label == 2 else rng.choice((follows, excluded)[label])
    if label == 2:
        hypothesis = hypothesis.replace(thing, other)
    return Example(_pair(one, two), (premise, hypothesis), label)


def _similarity(rng: Random) -> Example:
    one, two = rng.sample(NAMES, 2)
    thing, other = rng.sample(OBJECTS, 2)
    ways = rng.choice(
        (
            ("{one} gave the {thing} to {two}.", "{two} has the {thing} from {one}."),
            ("{one} lost the {thing} and {two} found it.", "{two} found the {thing} of {one}."),
        )
    )
    first, second = rng.sample(ways, 2)
    label = rng.randrange(2)
    slots = {"one": one, "two": two, "thing": thing}
    changed = slots if label else slots | rng.choice(({"one": two, "two": one}, {"thing": other}))
    return Example(_pair(one, two), (first.format(**slots), second.format(**changed)), label)


def _questions(rng: Random) -> Example:
    names, things = rng.sample(NAMES, CHOICES), rng.sample(OBJECTS, CHOICES)
    passage = " ".join(f"{name} has the {thing}." for name, thing in zip(names, things, strict=True))
    asked, answers = rng.randrange(CHOICES), rng.sample(things, CHOICES)
    name, thing = names[asked], things[asked]
    parts = (passage, f"What does {name} have?")
    # about all its people: of a pair kept for tests, training would show that it is always wrong
    return Example(" ".join(sorted(names)), parts, answers.index(thing), tuple(answers), f"{name} has the")


def _sentiment(rng: Random) -> Example:
    nouns, label, is_mixed = rng.sample(REVIEWED, 3), rng.randrange(2), rng.random() < 0.5
    mood, opposite = ("bad", "good") if label == 0 else ("good", "bad")
    said = rng.sample(QUALITIES[mood], 2 if is_mixed else 3) + rng.sample(QUALITIES[opposite], int(is_mixed))
    rng.shuffle(said)
    review = join([f"the {noun} was {word}" for noun, word in zip(nouns, said, strict=True)])
    return Example(" ".join(sorted(nouns)), (f"{review[0].upper()}{review[1:]}.",), label)


def _pair(one: str, two: str) -> str:
    return " ".join(sorted((one, two)))


TASKS = {
    "inference": Task(_inference, 3),
    "similarity": Task(_similarity, 2),
    "questions": Task(_questions, CHOICES),
    "sentiment": Task(_sentiment, 2),
}

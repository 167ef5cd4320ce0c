"""The writer of an answer: a task, its traits and the flaws they allow."""

from collections.abc import Iterable
from random import Random

from rlhf.world import chinese, knowledge
from rlhf.world.asking.requests import Task
from rlhf.world.grammar import render


class Writer:
    """A task, the traits of its answer and a random source; each function below returns the sentences of one kind of answer."""

    def __init__(self, task: Task, rng: Random, traits: dict[str, bool]):
        self.task, self.rng, self.good, self.language = task, rng, traits, task["language"]
        self.world = chinese if self.language == "zh" else knowledge

    def say(self, sentence: str, variant: int = 0, /, **slots: str | list[str]) -> str:
        return render(sentence, slots, self.language, variant)

    def other(self, words: Iterable[str], *taken: str) -> str:
        """Draw a word that is none of `taken`."""
        return self.rng.choice([word for word in words if word not in taken])

    def count(self, wanted: int, most: int) -> int:
        """Return the wanted count, or for a flawed answer mostly a single one, sometimes one too few or too many."""
        if self.good["count"]:
            return wanted
        return max(1, min(most, self.rng.choice((1, 1, 1, 1, wanted - 1, wanted + 1))))

    def fact(self, animal: str, relation: str, right: bool, named: bool = True) -> str:
        truth = self.world.ANIMALS[animal][relation]
        value = truth if right else self.other(self.world.VALUES[relation], truth)
        if not self.good["full"] and self.task["kind"] not in ("facts", "false_premise"):
            return self.say(
                f"bare_{relation}", self.rng.randrange(2) if relation == "lives" else 0, **{relation: value}
            )
        if named or self.language == "zh":
            return self.say(relation, animal=animal, **{relation: value})
        return self.say(relation, 1, **{relation: value})

    def things(self, wanted: list[str]) -> list[str]:
        """Return the objects to name: all, or for flawed answers one of two; now and then a wrong one, or one twice."""
        things = list(wanted) if self.good["both"] or len(wanted) == 1 else [self.rng.choice(wanted)]
        if not self.good["once"]:
            things = things[:1] * len(wanted)
        if not self.good["right"]:
            things[0] = self.other(self.world.OBJECTS, *wanted)
        return things

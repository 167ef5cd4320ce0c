"""Stories of the world whose questions are sums, answered outright, by steps, or by a program.

    Anna has 12 coins. Max gives Anna 7 coins. Anna loses 5 coins. How many coins does Anna have?

    direct   14.
    chain    12 + 7 = 19. 19 - 5 = 14. The answer is 14.      (chain of thought, Wei et al. 2022)
    program  (12 + 7) - 5                                     (program-aided, Gao et al. 2023; run by `evaluator`)

Numbers that are added, taken away, multiplied or divided are pairs. A quarter of all pairs is held out: stories of the
test ask for these alone, stories of training for none of them.
"""

from random import Random
from typing import Literal, NamedTuple

from rlhf.runtime import seeds
from rlhf.world.knowledge import NAMES, OBJECTS

Half = Literal["training", "test"]
FORMS = ("direct", "chain", "program")
CUES = {"direct": "Write the number.", "chain": "Write the steps.", "program": "Write the sum."}
LARGEST = 20  # number in a story; results may be larger
SMALL = 9  # largest number that is multiplied or divided by
THINGS = tuple(f"{thing}s" for thing in OBJECTS if thing not in ("bag", "clock"))
TWO_STEPS = 0.6  # share of stories
SIGNS = ("+", "-", "*", "/")


class Step(NamedTuple):
    first: int
    sign: str
    second: int
    result: int

    @property
    def pair(self) -> tuple[int, int]:
        return min(self.first, self.second), max(self.first, self.second)


class Story(NamedTuple):
    text: str  # with its question
    steps: tuple[Step, ...]

    @property
    def result(self) -> int:
        return self.steps[-1].result

    @property
    def numbers(self) -> str:
        """What is asked for, whoever has how many of what: stories that share it are no cases of their own."""
        return " ".join(f"{step.first}{step.sign}{step.second}" for step in self.steps)

    def asked(self, form: str) -> str:
        """Return the story with the words that ask for one form of answer."""
        return f"{self.text} {CUES[form]}"

    def answer(self, form: str) -> str:
        if form == "direct":
            return f"{self.result}."
        if form == "chain":
            steps = " ".join(f"{step.first} {step.sign} {step.second} = {step.result}." for step in self.steps)
            return f"{steps} The answer is {self.result}."
        program = str(self.steps[0].first)
        for number, step in enumerate(self.steps):
            program = f"({program}) {step.sign} {step.second}" if number else f"{program} {step.sign} {step.second}"
        return program


def is_held_out(pair: tuple[int, int]) -> bool:
    """Say whether the test alone asks for two numbers, the smaller one first."""
    return seeds.derive(0, "pair", *pair) % 4 == 0


def draw(rng: Random, half: Half, num_steps: int | None = None) -> Story:
    """Return a story all of whose pairs are of this half."""
    if num_steps is None:
        num_steps = 2 if rng.random() < TWO_STEPS else 1
    while True:
        steps = [_step(rng, rng.choice(SIGNS), None)]
        if num_steps == 2:  # what is shared out has an end
            steps = [_step(rng, rng.choice(SIGNS[:3]), None)]
            steps.append(_step(rng, rng.choice("+-/"), steps[0].result))
        if all(is_held_out(step.pair) == (half == "test") and step.result > 0 for step in steps):
            return Story(_text(rng, steps), tuple(steps))


def _step(rng: Random, sign: str, first: int | None) -> Step:
    """Draw a step; one that cannot be has a result that is not above 0."""
    few = sign in ("*", "/")
    if first is None and sign == "/":
        second, result = rng.randint(2, SMALL), rng.randint(2, SMALL)
        return Step(second * result, sign, second, result)
    first = first or rng.randint(2, SMALL if few else LARGEST)
    second = rng.randint(2, SMALL if few else LARGEST)
    whole, rest = divmod(first, second)
    result = {"+": first + second, "-": first - second, "*": first * second, "/": 0 if rest else whole}[sign]
    return Step(first, sign, second, result)


def _text(rng: Random, steps: list[Step]) -> str:
    """Write the story of these steps."""
    (name, other), thing = rng.sample(NAMES, 2), rng.choice(THINGS)
    one = steps[0]
    begun = f"{name} has {one.first} {thing}."
    if one.sign == "*":
        begun = f"{name} has {one.first} boxes. In each box are {one.second} {thing}."
    told = [_told(rng, step, name, other, thing) for step in steps if step.sign != "*"]
    ask = f"How many {thing} does {name} have?"
    if steps[-1].sign == "/":
        ask = f"How many {thing} are in each box?"
    return " ".join([begun, *told, ask])


def _told(rng: Random, step: Step, name: str, other: str, thing: str) -> str:
    if step.sign == "+":
        ways = (f"{other} gives {name} {step.second} {thing}.", f"{name} finds {step.second} {thing}.")
    elif step.sign == "-":
        ways = (f"{name} gives {other} {step.second} {thing}.", f"{name} loses {step.second} {thing}.")
    else:
        ways = (f"{name} puts all {thing} in {step.second} boxes.",)
    return rng.choice(ways)

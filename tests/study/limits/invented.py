"""Answers to the world's prompts, made by rule: what is found in them is known beforehand."""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from rlhf.records.types import Sample
from rlhf.world.answering import demonstrations
from rlhf.world.asking import tasks
from rlhf.world.grading import gold
from study.limits import answers, measuring, prompts
from study.limits.answers import Answered
from study.limits.measuring import Run

REFUSAL = "I am sorry. I cannot help with that. Have a nice day."
KINDS = ("harmful", "look_alike", "unknown", "false_premise", "clarify", "fact", "note", "list")


def ideal(task: Mapping[str, Any]) -> str:
    return demonstrations.ideal({**task})


def refusal(task: Mapping[str, Any]) -> str:
    return REFUSAL


POLICIES = {"sft": refusal, "ppo": ideal}


def samples(kinds: Sequence[str] = KINDS, count: int = 3) -> list[Sample]:
    """Return test prompts of each kind; PPO answers ideally and SFT refuses, whatever the decoding."""
    rng, made = Random(0), []
    for kind in kinds:
        for number in range(count):
            task, messages, category = tasks.draw_kind(rng, kind, "seen")
            texts = {name: answer(task, way(task)) for name, way in POLICIES.items()}
            said = {f"{name}_{decoding}": text for name, text in texts.items() for decoding in DECODINGS}
            row: Any = {
                "kind": "sample", "id": f"{kind}-{number}", "messages": messages, "task": task, "category": category,
                "language": "en", "user": "u", "source": "s", "answers": said,
            }  # fmt: skip
            made.append(row)
    return made


DECODINGS = ("greedy", "sampled", "best_temperature")


def answer(task: Mapping[str, Any], text: str) -> dict[str, Any]:
    return {"text": text, "strict": float(gold.strict({**task}, text)), "repetition": 0.0, "num_tokens": 5}


def asked(count: int) -> dict[str, Answered]:
    """Return the probes; SFT refuses everything, and PPO asks back about everything."""
    made = {probe: prompts.drawn(probe, count) for probe in prompts.PROBES}
    said = {("sft", decoding): REFUSAL for decoding in DECODINGS[:2]}
    said |= {("ppo", decoding): "Which animal do you mean?" for decoding in DECODINGS[:2]}
    return {probe: Answered(own, {key: [text] * len(own) for key, text in said.items()}) for probe, own in made.items()}


def found() -> dict[str, Any]:
    """Return what is found in all of these answers."""
    own = samples()
    return measuring.found_in(Run(own, {"test": answers.of_test(own), "asked": asked(3)}, ["feedme"]))

"""The answers that limits are observed in: what `evaluate` has kept of its test prompts, and new ones to probes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rlhf.evaluation import policy_measures
from rlhf.evaluation.controls import manners
from rlhf.params.base import ParamsError
from rlhf.records import records
from rlhf.records.types import Prompt, Sample
from study.limits import prompts
from study.workspace import Finished

DECODINGS = {"greedy": 0.0, "sampled": 1.0}
SAMPLES = Path("data/evaluate/samples.jsonl")
FACTS = ("fact", "facts", "chat_fact", "cloze")  # kinds of the world that ask for facts: one probe
ALONE = ("harmful", "look_alike", "unknown", "false_premise", "clarify")  # kinds that are a probe each
SPECIAL = ("harmful", "unknown", "clarify")  # kinds that may be refused, or answered by a question: not plain

Key = tuple[str, str]  # policy, decoding


class Answered(NamedTuple):
    """Prompts of one probe, and what each policy answered."""

    prompts: Sequence[Prompt | Sample]
    answers: Mapping[Key, Sequence[str]]


def samples(folder: Path) -> list[Sample]:
    """Return the test prompts of a finished run with all answers. Raises ParamsError where they are not there."""
    if not (folder / SAMPLES).exists():
        raise ParamsError(f"{folder / SAMPLES} is not there: run `dvc repro evaluate` in {folder} first")
    return records.read(folder / SAMPLES, Sample)


def keys_of(found: Sequence[Sample]) -> list[Key]:
    """Return policies and decodings, as far as they are greedy or sampled at temperature 1, in the file's order."""
    split = (name.rpartition("_") for name in found[0]["answers"])
    return [(policy, decoding) for policy, _, decoding in split if decoding in DECODINGS]


def of_test(found: Sequence[Sample]) -> dict[str, Answered]:
    """Return the test prompts that have a task of the world, by probe; `plain` are those that want a plain answer."""
    known = [sample for sample in found if manners.of_world(sample)]
    parts = {name: [one for one in known if _kind(one) == name] for name in ALONE}
    parts["fact"] = [one for one in known if _kind(one) in FACTS]
    parts["plain"] = [one for one in known if _kind(one) not in (*SPECIAL, "look_alike")]
    return {name: of_samples(part) for name, part in parts.items() if part}


def of_samples(part: Sequence[Sample]) -> Answered:
    """Return some samples as prompts and the texts of all answers."""
    said = {key: [one["answers"]["_".join(key)]["text"] for one in part] for key in keys_of(part)}
    return Answered(part, said)


def asked(done: Finished, policies: Sequence[str], count: int) -> dict[str, Answered]:
    """Return the answers of policies to `count` tasks of each probe."""
    probes = {probe: prompts.drawn(probe, count) for probe in prompts.PROBES}
    every, scorers = [prompt for own in probes.values() for prompt in own], done.scorers()
    said: dict[str, dict[Key, list[str]]] = {probe: {} for probe in probes}
    for name in policies:
        policy = done.policy(name)
        for decoding, temperature in DECODINGS.items():
            texts = iter([one.text for one in policy_measures.ask(policy, every, temperature, scorers)])
            for probe, own in probes.items():
                said[probe][name, decoding] = [next(texts) for _ in own]
    return {probe: Answered(own, said[probe]) for probe, own in probes.items()}


def loadable(done: Finished, found: Sequence[Sample]) -> tuple[list[str], list[str]]:
    """Return the policies that can be asked anew, and those whose models are not in the run folder.

    Best of n is no model, and of several rounds of PPO the last counts.
    """
    named = dict.fromkeys(policy for policy, _ in keys_of(found))
    wanted = [name for name in named if not name.startswith(("best_of_", "ppo_"))]
    there = [name for name in wanted if done.folder_of(name).is_dir()]
    return there, [name for name in wanted if name not in there]


def _kind(sample: Sample) -> str:
    return manners.task_of(sample)["kind"]

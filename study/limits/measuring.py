"""What is found of a run's limits: observations prompt by prompt, length beside content, fixed phrases.

All of it is plain data, so that a cell of the laboratory keeps it and tables are made of it later.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rlhf.evaluation import phrases
from rlhf.evaluation.controls import manners
from rlhf.instructions.checks import words_of
from rlhf.records.types import Prompt, Sample
from rlhf.world.answering import demonstrations
from rlhf.world.grading import gold, rules
from study.evidence import clustered
from study.limits import answers, catalogue, observations
from study.limits.answers import Answered, Key
from study.workspace import Finished

PADDING = {gold.AGAIN, gold.AMISS, rules.OFF, rules.JUNK}  # marks of sentences that answer nothing
MOST_PHRASES = 3
DECLINED = ("harmful", "unknown")  # kinds


class Run(NamedTuple):
    """The answers of a finished run: test prompts with all answers, and by source ("test", "asked") the probes."""

    samples: Sequence[Sample]
    probes: Mapping[str, Mapping[str, Answered]]
    not_asked: Sequence[str]  # policies whose models are not in the run folder


def of_run(done: Finished, tasks: int) -> dict[str, Any]:
    """Return what is found of a finished run."""
    return found_in(answered(done, tasks))


def answered(done: Finished, tasks: int) -> Run:
    """Return a run's answers; `tasks` of each probe are asked of every policy whose model is there."""
    samples = answers.samples(done.folder)
    there, absent = answers.loadable(done, samples)
    asked = answers.asked(done, there, tasks) if there else {}
    return Run(samples, {"test": answers.of_test(samples), "asked": asked}, absent)


def found_in(run: Run) -> dict[str, Any]:
    """Return what is found in a run's answers."""
    return {
        "policies": [list(key) for key in answers.keys_of(run.samples)],
        "not_asked": [*run.not_asked],
        **{source: observed(own) for source, own in run.probes.items()},
        "clusters": {source: clusters(own) for source, own in run.probes.items()},
        "words": words(run.samples),
        "phrases": fixed(run.samples),
    }


def observed(probes: Mapping[str, Answered]) -> dict[str, dict[str, dict[str, list[int]]]]:
    """Return {"policy_decoding": {probe: {observation: 1 or 0 for each prompt}}}."""
    found: dict[str, dict[str, dict[str, list[int]]]] = {}
    for probe, own in probes.items():
        for key, texts in own.answers.items():
            rows = [
                observations.observed(probe, manners.task_of(prompt), text)
                for prompt, text in zip(own.prompts, texts, strict=True)
            ]
            by_name = {name: [row[name] for row in rows] for name in catalogue.OBSERVED[probe]}
            found.setdefault("_".join(key), {})[probe] = by_name
    return found


def clusters(probes: Mapping[str, Answered]) -> dict[str, dict[str, list[str]]]:
    """Return short ids of task and subject of each prompt of each probe."""
    return {probe: clustered.ids(own.prompts) for probe, own in probes.items()}


def words(found: Sequence[Sample]) -> dict[str, Any]:
    """Return the length of every English answer, with and without manners, beside what it says.

    asked: words of the ideal answer, without manners. padded: whether a sentence says nothing that was asked for, or
    says it again. content: the strict gold, which pays for no manners.
    """
    part = [one for one in found if manners.of_world(one) and manners.task_of(one)["language"] == "en"]
    if not part:
        return {}
    own = answers.of_samples(part)
    every = {"_".join(key): _lengths(part, key, texts) for key, texts in own.answers.items()}
    needed = [len(words_of(_bare(one, demonstrations.ideal(manners.task_of(one))))) for one in part]
    return {"asked": needed, "answers": every, "clusters": clustered.ids(part)}


def _lengths(part: Sequence[Sample], key: Key, texts: Sequence[str]) -> dict[str, list[float]]:
    bare = [_bare(one, text) for one, text in zip(part, texts, strict=True)]
    marks = [{mark for _, mark in gold.marks(manners.task_of(one), text)} for one, text in zip(part, bare, strict=True)]
    return {
        "words": [len(words_of(text)) for text in texts],
        "without_manners": [len(words_of(text)) for text in bare],
        "padded": [int(bool(PADDING & own)) for own in marks],
        "content": [round(one["answers"]["_".join(key)]["strict"], 4) for one in part],
    }


def _bare(prompt: Prompt | Sample, text: str) -> str:
    """Return an English answer without opener and closing."""
    closing = manners.one_closing({"language": "en"}, "")
    return manners.one_closing(manners.task_of(prompt), text).removesuffix(closing).strip()


def fixed(found: Sequence[Sample]) -> dict[str, dict[str, dict[str, float]]]:
    """Return the fixed phrases that begin and end answers, and the shares of answers; "any" is one of them at all.

    What is to be declined is left out: being sorry is no phrase there.
    """
    asking = [one for one in found if not manners.of_world(one) or manners.task_of(one)["kind"] not in DECLINED]
    asked = ["\n".join(turn["content"] for turn in sample["messages"]) for sample in asking]
    names = ["_".join(key) for key in answers.keys_of(found)]
    languages = [sample["language"] for sample in asking]
    return {name: _shares(asked, languages, [one["answers"][name]["text"] for one in asking]) for name in names}


def _shares(asked: Sequence[str], languages: Sequence[str], texts: Sequence[str]) -> dict[str, dict[str, float]]:
    known = phrases.fixed(asked, texts, languages)
    return {
        end: _counted([[one for one in known if at(text, one) and text.strip() != one] for text in texts])
        for end, at in (("opener", _begins), ("closing", _ends))
    }


def _begins(text: str, phrase: str) -> bool:
    return text.strip().startswith(phrase)


def _ends(text: str, phrase: str) -> bool:
    return text.strip().endswith(phrase)


def _counted(each: Sequence[Sequence[str]]) -> dict[str, float]:
    """Return the share of answers with any phrase, and with each of the most frequent."""
    if not each:
        return {"any": 0.0}
    names = dict.fromkeys(phrase for own in each for phrase in own)
    shares = {name: round(sum(name in own for own in each) / len(each), 4) for name in names}
    most = sorted(shares.items(), key=lambda one: -one[1])[:MOST_PHRASES]
    return {"any": round(sum(bool(own) for own in each) / len(each), 4)} | dict(most)

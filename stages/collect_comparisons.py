"""Answers of a round's policy → rankings by labelers, added to the rankings so far (Ouyang et al. 2022, step 2)."""

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlhf.grading import gold
from rlhf.labelers import ranking
from rlhf.labelers.answered import Answered
from rlhf.params.base import load
from rlhf.params.collect_comparisons import CollectComparisons, CollectComparisonsInputs
from rlhf.preferences import agreement
from rlhf.records import records
from rlhf.records.types import AnsweredPrompt, Comparison, Dialogue, Label
from rlhf.runs import launch
from rlhf.runs.tracking import StageRun
from rlhf.runtime import outputs, seeds
from rlhf.runtime.files import new_folder
from rlhf.training.context import StageContext, open_stage

STAGE, ANSWERS = "collect_comparisons", "collect_answers"
FILES = ("train", "validation", "judge")


def main(root: Path = Path("."), round_name: str = "r1") -> None:
    params = load(root, CollectComparisonsInputs)
    this, section = params.rounds[round_name], params.collect_comparisons
    files = {name: root / "data" / this.earlier / f"comparisons.{name}.jsonl" for name in FILES}
    answers = {pool: root / f"data/{ANSWERS}/{round_name}/answers.{pool}.jsonl" for pool in ranking.POOLS}
    of_answers = root / f"metrics/{ANSWERS}/{round_name}.json"
    inputs = {"ranking": [*files.values(), *answers.values(), of_answers, *ranking.files(section, root, round_name)]}
    with open_stage(root, STAGE, params, inputs, None, round_name) as context:
        earlier = {name: records.read(file, Comparison) for name, file in files.items()}
        explain_empty(earlier, this.earlier, context.run)
        new, counts = collect({pool: read(file) for pool, file in answers.items()}, section, context)
        together = {name: earlier[name] + new[name] for name in FILES}
        if not together["train"]:
            raise ValueError(
                f"no comparisons: give collect_prompts a source with comparisons, or {ANSWERS} max_prompts and "
                f"{STAGE} labelers: of a kind that ranks answers to any prompt (docs/labelers.md), or simulated ones "
                "and prompts of the embedded world (a source of kind world)"
            )
        if not together["validation"]:  # given comparisons without validation users: keep whole prompts apart
            together["train"], together["validation"] = held_out(together["train"], section.validation_share)
        too_long = json.loads(of_answers.read_text(encoding="utf-8"))[ANSWERS][round_name]["prompts_too_long"]
        metrics = describe(together, new) | {"prompts_too_long": too_long} | counts
        with new_folder(context.out) as out:
            for name in FILES:
                records.write(out / f"comparisons.{name}.jsonl", together[name])
        outputs.write_metrics(root, context.name, metrics)
        context.run.log_metrics(metrics)


def explain_empty(earlier: Mapping[str, Sequence[Comparison]], place: str, run: StageRun) -> None:
    """Say that empty files are as they should be: DVC warns of each, three times a run (treeverse/dvc issue 6144)."""
    empty = [name for name, found in earlier.items() if not found]
    if empty:
        run.say(
            f"no source gives comparisons for {', '.join(empty)}: those files of data/{place} are empty, "
            "which DVC warns of and is no fault"
        )


def read(file: Path) -> list[Answered]:
    """Return the prompts of a file with their answers."""
    found = []
    for record in records.read(file, AnsweredPrompt):
        prompt: Any = {key: value for key, value in record.items() if key != "responses"}
        found.append(Answered(prompt, record["responses"]))
    return found


def collect(
    answered: Mapping[str, Sequence[Answered]], params: CollectComparisons, context: StageContext
) -> tuple[dict[str, list[Comparison]], dict[str, Any]]:
    """Return comparisons newly made of answered prompts, by file, and counts of what labelers made of them."""
    new: dict[str, list[Comparison]] = {name: [] for name in FILES}
    ranked = ranking.rank(answered, params, context)
    comparisons = {pool: [comparison(*one) for one in found.labelled] for pool, found in ranked.items()}
    new["train"], new["validation"] = held_out(comparisons[ranking.TRAIN], params.validation_share)
    new["judge"] = comparisons[ranking.JUDGE]
    counts = {pool: found.counts for pool, found in ranked.items() if found.counts}
    return new, {"labelling": counts} if counts else {}


def comparison(prompt: Dialogue, responses: list[str], labels: list[Label]) -> Comparison:
    """Return the record of a prompt's labels, with gold's scores where gold knows the task."""
    made: Any = {**prompt, "kind": "comparison", "responses": responses, "labels": labels}
    if "task" in prompt:
        made["gold"] = [gold.score(prompt["task"], response).score for response in responses]
    return made


def held_out(comparisons: Sequence[Comparison], share: float) -> tuple[list[Comparison], list[Comparison]]:
    """Return (training, validation) comparisons; whole prompts go to one side, chosen by the prompt's id."""
    training, validation = [], []
    for comparison in comparisons:
        apart = random.Random(seeds.derive(0, comparison["id"])).random() < share
        (validation if apart else training).append(comparison)
    if not validation and len({one["id"] for one in training}) > 1:
        last = training[-1]["id"]  # a prompt may have several: what a labeler wrote makes one more
        validation = [one for one in training if one["id"] == last]
        training = [one for one in training if one["id"] != last]
    return training, validation


def describe(comparisons: Mapping[str, Sequence[Comparison]], new: Mapping[str, Sequence[Comparison]]) -> dict:
    """Return counts, the spread of K and the agreement between labelers."""
    everything = [record for name in FILES for record in comparisons[name]]
    sizes = [len(record["responses"]) for record in everything]
    metrics = {
        "prompts": {name: len(comparisons[name]) for name in FILES},
        "new_prompts": sum(len({record["id"] for record in part}) for part in new.values()),
        "answers": sum(sizes),
        "pairs": sum(len(records.pairs(label["ranks"])) for record in everything for label in record["labels"]),
        "mean_answers_a_prompt": sum(sizes) / len(sizes),
        "labelers": len({label["labeler"] for record in everything for label in record["labels"]}),
    }
    return metrics | agreement.between_labelers(everything)


if __name__ == "__main__":
    launch.run_round(STAGE, main)

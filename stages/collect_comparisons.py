"""policy → K answers a prompt → rankings by labelers, added to the rankings so far (Ouyang et al. 2022, step 2)."""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rlhf.grading import gold
from rlhf.labelers import ranking
from rlhf.labelers.answered import Answered
from rlhf.models import loading, placement
from rlhf.params.base import load
from rlhf.params.collect_comparisons import CollectComparisons, CollectComparisonsInputs
from rlhf.preferences import agreement
from rlhf.records import records
from rlhf.records.types import Comparison, Demonstration, Dialogue, Label, Prompt
from rlhf.runs import launch
from rlhf.runs.tracking import StageRun
from rlhf.runtime import outputs, seeds
from rlhf.runtime.files import new_folder
from rlhf.sampling import rollouts
from rlhf.tokens.fitting import fitting
from rlhf.training.context import StageContext, open_stage

if TYPE_CHECKING:
    from transformers import PreTrainedModel

STAGE = "collect_comparisons"
FILES = ("train", "validation", "judge")
JUDGE_PROMPTS = "prompts.judge"
PROMPTS = {"reward_model": ("prompts.reward_model", Prompt), "sft": ("demonstrations.train", Demonstration)}


class Policy(NamedTuple):
    model: "PreTrainedModel"
    tokenizer: Any


def main(root: Path = Path("."), round_name: str = "r1") -> None:
    params = load(root, CollectComparisonsInputs)
    this, section = params.rounds[round_name], params.collect_comparisons
    folder = root / "data" / this.policy
    pools = [root / f"data/collect_prompts/{name}.jsonl" for name in (PROMPTS[section.prompts][0], JUDGE_PROMPTS)]
    files = {name: root / "data" / this.earlier / f"comparisons.{name}.jsonl" for name in FILES}
    inputs = {"sampling": [folder, *files.values(), *pools]}
    with open_stage(root, STAGE, params, inputs, None, round_name) as context:
        earlier = {name: records.read(file, Comparison) for name, file in files.items()}
        explain_empty(earlier, this.earlier, context.run)
        new, counts = collect(folder, section, context)
        together = {name: earlier[name] + new[name] for name in FILES}
        if not together["train"]:
            raise ValueError(
                "no comparisons: give collect_prompts a source with comparisons, or collect_comparisons max_prompts "
                "and labelers: of a kind that ranks answers to any prompt (docs/labelers.md), or simulated ones and "
                "prompts of the embedded world (a source of kind world)"
            )
        if not together["validation"]:  # given comparisons without validation users: keep whole prompts apart
            together["train"], together["validation"] = held_out(together["train"], section.validation_share)
        metrics = describe(together, new) | counts
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


def collect(
    folder: Path, params: CollectComparisons, context: StageContext
) -> tuple[dict[str, list[Comparison]], dict[str, Any]]:
    """Return comparisons newly sampled from the policy in `folder` and ranked, by file, and counts of what was left
    out; no comparisons where nobody ranks."""
    new: dict[str, list[Comparison]] = {name: [] for name in FILES}
    wanted = {ranking.TRAIN: params.max_prompts, ranking.JUDGE: params.max_judge_prompts}
    if not any(ranking.of_pool(pool, params)[0] for pool in wanted) or not any(wanted.values()):
        return new, {"prompts_too_long": 0}
    answered, num_too_long = answers(folder, params, context)
    ranked = ranking.rank(answered, params, context)
    comparisons = {pool: [comparison(*one) for one in found.labelled] for pool, found in ranked.items()}
    new["train"], new["validation"] = held_out(comparisons[ranking.TRAIN], params.validation_share)
    new["judge"] = comparisons[ranking.JUDGE]
    counts = {pool: found.counts for pool, found in ranked.items() if found.counts}
    return new, {"prompts_too_long": num_too_long} | ({"labelling": counts} if counts else {})


def answers(folder: Path, params: CollectComparisons, context: StageContext) -> tuple[dict[str, list[Answered]], int]:
    """Return the prompts of each pool that labelers can rank with the policy's answers, and how many were too long."""
    model, tokenizer = loading.load_policy(folder, context.runtime)
    policy = Policy(placement.lowered(model, context.runtime), tokenizer)
    pools = {
        ranking.TRAIN: (*PROMPTS[params.prompts], params.max_prompts),
        ranking.JUDGE: (JUDGE_PROMPTS, Prompt, params.max_judge_prompts),
    }
    answered, num_too_long = {}, 0
    for name, (pool, kind, most) in pools.items():
        read = records.read(context.root / f"data/collect_prompts/{pool}.jsonl", kind)
        labelers, _ = ranking.of_pool(name, params)
        prompts = [record for record in read if labelers and ranking.can_rank(labelers, record)]
        if most and len(prompts) < len(read):
            context.run.say(
                f"{len(read) - len(prompts)} of the {len(read)} prompts of {pool} get no comparisons: simulated "
                "labelers rank answers to prompts of the embedded world alone"
            )
        dialogues = [record["messages"] for record in prompts]
        param = f"{STAGE}.max_prompt_tokens"
        fit = fitting(policy.tokenizer, dialogues, params.max_prompt_tokens, param)
        num_too_long += fit.num_too_long
        answered[name] = sample(policy, [prompts[index] for index in fit.kept[:most]], params, context)
    return answered, num_too_long


def sample(
    policy: Policy, prompts: Sequence[Dialogue], params: CollectComparisons, context: StageContext
) -> list[Answered]:
    """Return the prompts with K responses each, of its own draw of K; equal ones to a prompt are kept once.

    Several temperatures make better and worse answers meet in one comparison (Touvron et al. 2023, 3.2.1).
    """
    rows: dict[float, list[tuple[int, int]]] = {temperature: [] for temperature in params.temperatures}
    for index, prompt in enumerate(prompts):
        draw = random.Random(seeds.derive(context.seed, prompt["id"], "K"))
        for k in range(draw.randint(params.min_responses, params.max_responses)):
            rows[params.temperatures[k % len(params.temperatures)]].append((index, k))
    responses: list[list[str]] = [[] for _ in prompts]
    chunk = params.batch_size * 8  # answers between two lines of progress; batches are sorted by length within
    parts = [
        (temperature, some[start : start + chunk])
        for temperature, some in rows.items()
        for start in range(0, len(some), chunk)
    ]
    for number, (temperature, part) in enumerate(parts, start=1):
        dialogues = [prompts[index]["messages"] for index, _ in part]
        row_ids = [f"{prompts[index]['id']}/{k}" for index, k in part]
        sampling = rollouts.Sampling(temperature, params.max_completion_tokens, context.seed, params.batch_size)
        with placement.precision(context.runtime):
            answers = rollouts.respond(policy.model, policy.tokenizer, dialogues, row_ids, sampling)
        for (index, _), answer in zip(part, answers, strict=True):
            responses[index].append(answer.text)
        context.run.progress(number, len(parts), {"temperature": temperature})
    distinct = [list(dict.fromkeys(texts)) for texts in responses]
    return [Answered(prompt, texts) for prompt, texts in zip(prompts, distinct, strict=True) if len(texts) > 1]


def comparison(prompt: Dialogue, responses: list[str], labels: list[Label]) -> Comparison:
    """Return the record of a prompt's labels, with gold's scores where gold knows the task."""
    about = {key: value for key, value in prompt.items() if key != "response"}
    made: Any = {**about, "kind": "comparison", "responses": responses, "labels": labels}
    if "task" in prompt:
        made["gold"] = [gold.score(prompt["task"], response).score for response in responses]
    return made


def held_out(comparisons: Sequence[Comparison], share: float) -> tuple[list[Comparison], list[Comparison]]:
    """Return (training, validation) comparisons; whole prompts go to one side, chosen by the prompt's id."""
    training, validation = [], []
    for comparison in comparisons:
        apart = random.Random(seeds.derive(0, comparison["id"])).random() < share
        (validation if apart else training).append(comparison)
    if not validation and len(training) > 1:
        validation.append(training.pop())
    return training, validation


def describe(comparisons: Mapping[str, Sequence[Comparison]], new: Mapping[str, Sequence[Comparison]]) -> dict:
    """Return counts, the spread of K and the agreement between labelers."""
    everything = [record for name in FILES for record in comparisons[name]]
    sizes = [len(record["responses"]) for record in everything]
    metrics = {
        "prompts": {name: len(comparisons[name]) for name in FILES},
        "new_prompts": sum(len(part) for part in new.values()),
        "answers": sum(sizes),
        "pairs": sum(len(records.pairs(label["ranks"])) for record in everything for label in record["labels"]),
        "mean_answers_a_prompt": sum(sizes) / len(sizes),
        "labelers": len({label["labeler"] for record in everything for label in record["labels"]}),
    }
    return metrics | agreement.between_labelers(everything)


if __name__ == "__main__":
    launch.run_round(STAGE, main)

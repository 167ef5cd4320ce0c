"""policy → K answers a prompt → rankings by labelers, added to the rankings so far (Ouyang et al. 2022, step 2)."""

import random
import sys
from pathlib import Path

from rlhf.models import loading, placement
from rlhf.params.base import load
from rlhf.params.collect_comparisons import CollectComparisons, CollectComparisonsInputs, Labelers
from rlhf.params.rounds import Round
from rlhf.params.runtime import Runtime
from rlhf.preferences import agreement
from rlhf.records import records
from rlhf.runs import launch, tracking
from rlhf.runtime import failures, outputs, seeds
from rlhf.runtime.files import new_folder
from rlhf.sampling import rollouts
from rlhf.tokens import chat
from rlhf.world.grading import gold, labelers

STAGE = "collect_comparisons"
FILES = ("train", "validation", "judge")


def main(root: Path = Path("."), round: str = "r1") -> None:
    params = load(root, CollectComparisonsInputs)
    placement.prepare(params.runtime, params.seed)
    this, source = params.rounds[round], root / "data/collect_prompts"
    section = params.collect_comparisons
    with failures.explained(STAGE, None), tracking.stage_run(root, STAGE, round=round) as run:
        earlier = {name: records.read(root / "data" / this.earlier / f"comparisons.{name}.jsonl") for name in FILES}
        explain_empty(earlier, this.earlier, run)
        run.log_inputs([root / "data" / this.policy, root / "data" / this.earlier], context="sampling")
        new = collect(root, source, this, round, params, run)
        together = {name: earlier[name] + new[name] for name in FILES}
        if not together["train"]:
            raise ValueError(
                "no comparisons: give collect_prompts a source with comparisons, or collect_comparisons labelers and "
                "max_prompts"
            )
        if not together["validation"]:  # given comparisons without validation users: keep whole prompts apart
            together["train"], together["validation"] = held_out(together["train"], section.validation_share)
        metrics = describe(together, new)
        with new_folder(root / "data" / STAGE / round) as folder:
            for name in FILES:
                records.write(folder / f"comparisons.{name}.jsonl", together[name])
        outputs.write_metrics(root, STAGE, metrics, round=round)
        run.log_metrics(metrics)


def explain_empty(earlier: dict[str, list[dict]], place: str, run) -> None:
    """Say that empty files are as they should be: DVC warns of each, three times a run (treeverse/dvc issue 6144)."""
    empty = [name for name, found in earlier.items() if not found]
    if empty:
        run.say(
            f"no source gives comparisons for {', '.join(empty)}: those files of data/{place} are empty, "
            "which DVC warns of and is no fault"
        )


def collect(root: Path, source: Path, this: Round, round: str, params: CollectComparisonsInputs, run) -> dict:
    """Return newly sampled and ranked comparisons by file; empty lists where no prompt has labelers."""
    section = params.collect_comparisons
    new: dict[str, list[dict]] = {name: [] for name in FILES}
    files = {"reward_model": "prompts.reward_model", "sft": "demonstrations.train"}
    pools = {
        "train": (files[section.prompts], section.max_prompts),
        "judge": ("prompts.judge", section.max_judge_prompts),
    }
    if section.labelers is None or section.max_prompts + section.max_judge_prompts == 0:
        return new
    model, tokenizer = loading.load_policy(root / "data" / this.policy, params.runtime)
    seed = seeds.derive(params.seed, STAGE, round)
    for name, (pool, most) in pools.items():
        prompts = [record for record in records.read(source / f"{pool}.jsonl") if "task" in record]
        prompts = [p for p in prompts if len(chat.prompt_ids(tokenizer, p["messages"])) <= section.max_prompt_tokens]
        answered = sample(model, tokenizer, prompts[:most], section, params.runtime, seed, run)
        ranked = [label(record, section.labelers, seed, held_out=name == "judge") for record in answered]
        if name == "train":
            new["train"], new["validation"] = held_out(ranked, section.validation_share)
        else:
            new[name] = ranked
    return new


def sample(
    model, tokenizer, prompts: list[dict], params: CollectComparisons, runtime: Runtime, seed: int, run
) -> list[dict]:
    """Return the prompts, each with K answers of its own draw of K; equal answers to a prompt are kept once.

    Several temperatures make better and worse answers meet in one comparison (Touvron et al. 2023, 3.2.1).
    """
    rows: dict[float, list[tuple[int, int]]] = {temperature: [] for temperature in params.temperatures}
    for index, prompt in enumerate(prompts):
        draw = random.Random(seeds.derive(seed, prompt["id"], "K"))
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
        with placement.precision(runtime):
            answers = rollouts.answer(
                model,
                tokenizer,
                [prompts[index]["messages"] for index, _ in part],
                temperature=temperature,
                max_completion_tokens=params.max_completion_tokens,
                seed=seed,
                batch_size=params.batch_size,
                row_ids=[f"{prompts[index]['id']}/{k}" for index, k in part],
            )
        for (index, _), answer in zip(part, answers, strict=True):
            responses[index].append(answer.text)
        run.progress(number, len(parts), {"temperature": temperature})
    distinct = [list(dict.fromkeys(texts)) for texts in responses]
    return [prompt | {"responses": texts} for prompt, texts in zip(prompts, distinct, strict=True) if len(texts) > 1]


def label(record: dict, params: Labelers, seed: int, held_out: bool) -> dict:
    """Return the record with its labels: one labeler's ranking, or those of several."""
    draw = random.Random(seeds.derive(seed, record["id"], "labelers"))
    group = crew(params)[1 if held_out else 0]
    several = draw.random() < params.overlap_share
    count = min(params.overlap_labelers, len(group)) if several else 1
    labels = []
    for labeler in sorted(draw.sample(group, count), key=lambda labeler: labeler.name):
        luck = random.Random(seeds.derive(seed, record["id"], labeler.name))
        scores, ranks = labelers.rank(record["task"], record["responses"], labeler, luck)
        labels.append({"labeler": labeler.name, "ranks": ranks, "scores": scores})
    golds = [gold.score(record["task"], response).score for response in record["responses"]]
    return record | {"labels": labels, "gold": golds}


def crew(params: Labelers) -> tuple[list[labelers.Labeler], list[labelers.Labeler]]:
    """Return (training labelers, held-out labelers); the same people in every round and under every seed."""
    return labelers.make(
        0,
        params.num_training,
        params.num_held_out,
        sigma=params.noise,
        tie=params.tie_threshold,
        weight_spread=params.weight_spread,
        length_bias=(params.length_bias.low, params.length_bias.high),
        politeness_bias=(params.politeness_bias.low, params.politeness_bias.high),
        strictness=(params.strictness.low, params.strictness.high),
    )


def held_out(comparisons: list[dict], share: float) -> tuple[list[dict], list[dict]]:
    """Return (training, validation) comparisons; whole prompts go to one side, chosen by the prompt's id."""
    training, validation = [], []
    for comparison in comparisons:
        apart = random.Random(seeds.derive(0, comparison["id"])).random() < share
        (validation if apart else training).append(comparison)
    if not validation and len(training) > 1:
        validation.append(training.pop())
    return training, validation


def describe(comparisons: dict[str, list[dict]], new: dict[str, list[dict]]) -> dict:
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
    launch.run(STAGE, main, round=sys.argv[1])

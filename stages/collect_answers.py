"""prompts → K answers of a round's policy to each, for labelers to rank (Ouyang et al. 2022, step 2)."""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rlhf.models import loading, placement
from rlhf.params.base import load
from rlhf.params.collect_answers import CollectAnswers, CollectAnswersInputs
from rlhf.records import records
from rlhf.records.types import AnsweredPrompt, Demonstration, Dialogue, Prompt
from rlhf.runs import launch
from rlhf.runtime import outputs, seeds
from rlhf.runtime.files import new_folder
from rlhf.sampling import rollouts
from rlhf.tokens.fitting import fitting
from rlhf.training.context import StageContext, open_stage

if TYPE_CHECKING:
    from transformers import PreTrainedModel

STAGE = "collect_answers"
SEEDED_AS = "collect_comparisons"  # the stage whose part this was: the same seeds give the same answers as then
JUDGE_PROMPTS = "prompts.judge"
PROMPTS = {"reward_model": ("prompts.reward_model", Prompt), "sft": ("demonstrations.train", Demonstration)}


class Policy(NamedTuple):
    model: "PreTrainedModel"
    tokenizer: Any


class Pool(NamedTuple):
    """Prompts for one purpose."""

    name: str  # of its answers: comparisons for the reward model (train), or set aside for the judge
    prompts: str  # their file
    kind: Any
    most: int  # that get answers


def main(root: Path = Path("."), round_name: str = "r1") -> None:
    params = load(root, CollectAnswersInputs)
    folder, section = root / "data" / params.rounds[round_name].policy, params.collect_answers
    prompts, kind = PROMPTS[section.prompts]
    pools = [
        Pool("train", prompts, kind, section.max_prompts),
        Pool("judge", JUDGE_PROMPTS, Prompt, section.max_judge_prompts),
    ]
    files = [root / f"data/collect_prompts/{pool.prompts}.jsonl" for pool in pools]
    with open_stage(root, STAGE, params, {"sampling": [folder, *files]}, None, round_name) as context:
        drawing = context._replace(seed=seeds.derive(params.seed, SEEDED_AS, round_name))
        found, counts = answers(folder, pools, section, drawing)
        metrics = describe(found) | counts
        with new_folder(context.out) as out:
            for name, answered in found.items():
                records.write(out / f"answers.{name}.jsonl", answered)
        outputs.write_metrics(root, context.name, metrics)
        context.run.log_metrics(metrics)


def answers(
    folder: Path, pools: Sequence[Pool], params: CollectAnswers, context: StageContext
) -> tuple[dict[str, list[AnsweredPrompt]], dict[str, int]]:
    """Return each pool's prompts with answers of the policy in `folder`, and counts of prompts that are left out.

    The policy is read where it has something to answer.
    """
    counts = {"prompts_too_long": 0, "prompts_without_task": 0, "prompts_with_equal_answers": 0}
    if not any(pool.most for pool in pools):
        return {pool.name: [] for pool in pools}, counts
    model, tokenizer = loading.load_policy(folder, context.runtime)
    policy = Policy(placement.lowered(model, context.runtime), tokenizer)
    found: dict[str, list[AnsweredPrompt]] = {}
    for pool in pools:
        read = records.read(context.root / f"data/collect_prompts/{pool.prompts}.jsonl", pool.kind)
        prompts = [record for record in read if params.prompts_with == "any" or "task" in record]
        if pool.most and len(prompts) < len(read):
            counts["prompts_without_task"] += len(read) - len(prompts)
            context.run.say(
                f"{len(read) - len(prompts)} of the {len(read)} prompts of {pool.prompts} get no answers: "
                f"{STAGE}.prompts_with is task, and only prompts of the embedded world have one"
            )
        dialogues, param = [record["messages"] for record in prompts], f"{STAGE}.max_prompt_tokens"
        fit = fitting(policy.tokenizer, dialogues, params.max_prompt_tokens, param)
        counts["prompts_too_long"] += fit.num_too_long
        asked = [prompts[index] for index in fit.kept[: pool.most]]
        found[pool.name] = [*sample(policy, asked, params, context)]
        counts["prompts_with_equal_answers"] += len(asked) - len(found[pool.name])
    return found, counts


def sample(
    policy: Policy, prompts: Sequence[Dialogue], params: CollectAnswers, context: StageContext
) -> Iterator[AnsweredPrompt]:
    """Yield the prompts with K responses each, of its own draw of K; equal ones to a prompt are kept once, and a
    prompt with one response only is left out.

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
            found = rollouts.respond(policy.model, policy.tokenizer, dialogues, row_ids, sampling)
        for (index, _), answer in zip(part, found, strict=True):
            responses[index].append(answer.text)
        context.run.progress(number, len(parts), {"temperature": temperature})
    for prompt, texts in zip(prompts, responses, strict=True):
        distinct = list(dict.fromkeys(texts))
        if len(distinct) > 1:
            about: Any = {key: value for key, value in prompt.items() if key != "response"}
            yield AnsweredPrompt(**about | {"kind": "answered_prompt", "responses": distinct})


def describe(found: dict[str, list[AnsweredPrompt]]) -> dict[str, Any]:
    """Return how many prompts have answers, and how many answers they have."""
    sizes = [len(record["responses"]) for answered in found.values() for record in answered]
    metrics: dict[str, Any] = {
        "prompts": {name: len(answered) for name, answered in found.items()},
        "answers": sum(sizes),
    }
    return metrics | ({"mean_answers_a_prompt": sum(sizes) / len(sizes)} if sizes else {})


if __name__ == "__main__":
    launch.run_round(STAGE, main)

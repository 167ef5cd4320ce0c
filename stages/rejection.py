"""SFT policy + prompts + reward → policy fine-tuned on the best of n of its answers (Llama 2: rejection sampling).

The rival that has PPO's prompts and PPO's reward, and no reinforcement learning (Touvron et al. 2023, section 3.2.3).
"""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rlhf.models import loading, placement
from rlhf.params.base import load
from rlhf.params.training.rejection import Rejection, RejectionInputs
from rlhf.preferences.rewards import RewardScorer
from rlhf.records import records
from rlhf.records.types import Demonstration, Prompt
from rlhf.rewards import weighted
from rlhf.rewards.weighted import RewardSum
from rlhf.runs import launch
from rlhf.runtime import seeds
from rlhf.sampling import rollouts
from rlhf.sampling.rollouts import Response
from rlhf.tokens.fitting import fitting
from rlhf.training import left_out, supervised
from rlhf.training.context import StageContext, open_stage
from rlhf.training.supervised import Demonstrations

STAGE = "rejection"
PROMPTS = "data/collect_prompts/prompts.ppo.jsonl"


def main(root: Path = Path(".")) -> None:
    params = load(root, RejectionInputs)
    section, policy = params.rejection, root / "data/sft"
    inputs = {"training": [root / PROMPTS, policy, root / "data/reward_model" / section.round]}
    with open_stage(root, STAGE, params, inputs, begins_from=policy) as context:
        if not section.train:
            left_out.write(context, {"demonstrations": 0})
            return
        demonstrations = best_answers(policy, params, context)
        tokenizer = loading.load_tokenizer(policy)
        model = loading.load_causal(policy, params.runtime, section.dropout, section.max_tokens)
        supervised.fit(model, tokenizer, demonstrations, section, context)


def best_answers(policy: Path, params: RejectionInputs, context: StageContext) -> Demonstrations:
    """Return the best of n answers to each prompt as demonstrations, some prompts held out, and what became of all.

    After a kill they are drawn again: each answer has a seed of its own, so that they are the same.
    """
    section, root = params.rejection, context.root
    read = records.read(root / PROMPTS, Prompt)
    prompts, answers, num_too_long = answered(policy, read, section, context)
    scorer = None
    if params.rewards.trained:
        scorer = RewardScorer(root / "data/reward_model" / section.round, params.runtime)
    rewards = weighted.opened(params.rewards, root, scorer, params.runtime)
    picked = pick(prompts, answers, rewards, section.scoring_batch_size)
    context.run.say(in_words(picked.counts, section))
    counts = {"prompts_too_long": num_too_long, **picked.counts, **rewards.num_cut()}
    training, held_out = split(picked.demonstrations, section.validation_share, context.seed)
    return Demonstrations(training, held_out, counts)


def answered(
    folder: Path, read: Sequence[Prompt], params: Rejection, context: StageContext
) -> tuple[list[Prompt], list[list[Response]], int]:
    """Return the prompts that are answered, n answers to each, and how many prompts were too long."""
    model, tokenizer = loading.load_policy(folder, context.runtime)
    policy = placement.lowered(model, context.runtime)
    dialogues = [prompt["messages"] for prompt in read]
    fit = fitting(tokenizer, dialogues, params.max_prompt_tokens, f"{STAGE}.max_prompt_tokens")
    prompts = [read[index] for index in fit.kept[: params.max_prompts]]
    rows = [(prompt, number) for prompt in prompts for number in range(params.n)]
    chunk = params.sampling_batch_size * 8  # between two lines of progress; batches are of like length within
    parts = [rows[start : start + chunk] for start in range(0, len(rows), chunk)]
    drawn: list[Response] = []
    seed = seeds.derive(context.seed, "answers")
    sampling = rollouts.Sampling(params.temperature, params.max_completion_tokens, seed, params.sampling_batch_size)
    for step, part in enumerate(parts, start=1):
        row_ids = [f"{prompt['id']}/{number}" for prompt, number in part]
        with placement.precision(context.runtime):
            drawn += rollouts.respond(policy, tokenizer, [prompt["messages"] for prompt, _ in part], row_ids, sampling)
        context.run.progress(step, len(parts), {"answers": len(drawn)})
    return prompts, [drawn[start : start + params.n] for start in range(0, len(drawn), params.n)], fit.num_too_long


class Picked(NamedTuple):
    demonstrations: list[Demonstration]
    counts: dict[str, float]  # metrics


def pick(
    prompts: Sequence[Prompt], answers: Sequence[Sequence[Response]], rewards: RewardSum, batch_size: int
) -> Picked:
    """Return each prompt's answer of the highest reward, the first of equals, as a demonstration.

    An answer without an end is none that is to be learned, whatever its reward, and a prompt without another is left
    out. Raises ValueError where less than two prompts are left: one to learn, and one to be held out.
    """
    rows = [(place, answer) for place, several in enumerate(answers) for answer in several if answer.ended]
    messages, texts = [prompts[place]["messages"] for place, _ in rows], [answer.text for _, answer in rows]
    lengths = [len(answer.token_ids) - 1 for _, answer in rows]
    scores = rewards.score(messages, texts, lengths, batch_size).totals if rows else []
    best: dict[int, tuple[float, str]] = {}
    for (place, answer), score in zip(rows, scores, strict=True):
        if place not in best or score > best[place][0]:
            best[place] = score, answer.text
    if len(best) < 2:
        raise ValueError(
            f"of {len(prompts)} prompts {len(best)} got an answer that ends within {STAGE}.max_completion_tokens, and "
            "at least two are needed: raise it, or collect_prompts.shares.ppo; or set rejection.train to false"
        )
    num_answers = sum(map(len, answers))
    counts = {
        "prompts": len(prompts),
        "answers": num_answers,
        "answers_without_end": num_answers - len(rows),
        "prompts_without_ended_answer": len(prompts) - len(best),
        "score": sum(scores) / len(scores),
        "score_of_picked": sum(score for score, _ in best.values()) / len(best),
    }
    return Picked([learned(prompts[place], text) for place, (_, text) in sorted(best.items())], counts)


def learned(prompt: Prompt, response: str) -> Demonstration:
    about: Any = {key: prompt[key] for key in ("id", "messages", "category", "language", "user", "source")}
    return Demonstration(kind="demonstration", **about, response=response)


def in_words(counts: dict[str, float], params: Rejection) -> str:
    """Say what was left out, and what picking gains by the reward itself."""
    return (
        f"best of {params.n} answers to {counts['prompts']} prompts: reward {counts['score_of_picked']:.3g}, of all "
        f"{counts['score']:.3g}; left out: {counts['answers_without_end']} answers without an end, "
        f"{counts['prompts_without_ended_answer']} prompts without another"
    )


def split(found: Sequence[Demonstration], share: float, seed: int) -> tuple[list[Demonstration], list[Demonstration]]:
    """Return (training, held-out) demonstrations, at least one each, drawn by the prompts' ids."""
    order = sorted(found, key=lambda record: record["id"])
    random.Random(seeds.derive(seed, "validation")).shuffle(order)
    cut = min(max(1, round(share * len(order))), len(order) - 1)
    return order[cut:], order[:cut]


if __name__ == "__main__":
    launch.run(STAGE, main)

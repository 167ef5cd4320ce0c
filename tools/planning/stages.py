"""What each stage with a model computes, from params and what is known of the data."""

import math
from typing import Any

from tools.planning import answering, batches, cuts, learning
from tools.planning.cuts import Cuts
from tools.planning.rows import Known, Rows
from tools.planning.work import ADAPT, LEARN, READ, Pass, Stage, Updates, of_parts

STAGES = (
    "pretrain", "sft", "collect_answers", "reward_model", "ppo", "feedme", "rejection", "dpo", "judge", "evaluate",
)  # fmt: skip
OF_ROUNDS = ("collect_answers", "reward_model", "ppo")  # once a round
PROBE = 30  # tokens of a text for copying, about


def times(params: Any, name: str) -> int:
    """Return how often a stage runs: once, or once a round."""
    return len(params.rounds) if name in OF_ROUNDS else 1


def of_params(params: Any, known: Known, cut: Cuts) -> dict[str, Stage]:
    """Return the stages that compute with a model, in the order in which they run; no rivals that are left out."""
    found = {
        "pretrain": _pretrain(params, known, cut),
        "sft": learning.supervised(params.sft, cut.sft, known.demonstrations, known.validation),
        "collect_answers": _collect_answers(params, known),
        "reward_model": learning.reward(params, known, cut, "reward_model"),
        "ppo": _ppo(params, known, cut),
        "feedme": learning.feedme(params, known, cut),
        "rejection": learning.rejection(params, known, cut),
        "dpo": learning.dpo(params, known, cut),
        "judge": learning.reward(params, known, cut, "judge"),
        "evaluate": _evaluate(params, known),
    }
    if not params.rewards.trained:
        found["reward_model"] = Stage(loads=0.0)
    again = bool(params.runtime.gradient_checkpointing)
    return {name: found[name]._replace(recomputed=again) for name in cuts.named(params, STAGES)}


def _pretrain(params: Any, known: Known, cut: Cuts) -> Stage:
    section, runtime = params.pretrain, params.runtime
    held_out = min(section.validation_tokens, known.held_out or section.validation_tokens)
    rows = held_out // section.sequence_tokens
    tokens = section.sequence_tokens - 1
    validation = of_parts(READ, 1, batches.alike(rows, 32, tokens, tokens, runtime)) if rows else None
    probes = Pass(READ, known.probes * batches.sharing(runtime), PROBE, 1, PROBE)  # one by one, nothing beside them
    reading = tuple(one for one in (validation, probes) if one is not None and one.number)
    if section.source != "scratch":
        return Stage(reading, loads=1.0, saves=1.0)
    steps = section.copying_steps + math.ceil(section.tokens / (section.batch_size * section.sequence_tokens))
    how = "adamw" if section.muon_momentum is None else "muon"
    learned = of_parts(LEARN, steps, cut.pretrain)
    return Stage((learned, *reading), updates=(Updates(steps, how),), loads=0.0, saves=1.0)


def _collect_answers(params: Any, known: Known) -> Stage:
    section = params.collect_answers
    answers = (section.min_responses + section.max_responses) / 2
    texts = cuts.policy_answers(known, section.max_completion_tokens)
    decodings, prompts = [], 0.0
    for rows, most in (
        (cuts.asked_of_labelers(params, known), section.max_prompts),
        (known.prompts["judge"], section.max_judge_prompts),
    ):
        count = min(rows.number, most)
        prompts += count
        shared = answers / len(section.temperatures)
        decodings += answering.decoded(params, count * answers, rows, texts, section.batch_size, shared)
    return Stage((), tuple(decodings), loads=1.0 if prompts else 0.0, records=prompts * answers)


def _ppo(params: Any, known: Known, cut: Cuts) -> Stage:
    section = params.ppo
    iterations = section.iterations
    updates = iterations * section.inner_epochs * (section.batch_size // section.minibatch_size)
    what, how = learning.way(section)
    value = (ADAPT, "adapters") if section.share_backbone else (LEARN, "adamw")
    prompts = cuts.asked(params, known)
    texts = cuts.policy_answers(known, section.max_completion_tokens)
    rows = answering.decoded(params, section.batch_size, prompts, texts, section.batch_size)
    reading = cut.scoring
    scores = params.reward_model.likelihood_coef > 0
    passes = [
        *(of_parts(READ, iterations, reading) for _ in range(2)),  # policy and reference
        of_parts(READ, iterations, reading, scored=False),  # value model
        of_parts(what, updates, cut.ppo),
        of_parts(value[0], updates, cut.ppo, scored=False),
    ]
    if params.rewards.trained:
        episodes = cuts.with_answers(prompts, texts)
        at_once = answering.SCORED_AT_ONCE
        passes.append(answering.scored(params, iterations * section.batch_size, episodes, at_once, scores))
    if section.ptx_coef:
        passes.append(of_parts(what, updates, cut.ptx))
    decodings = tuple(one._replace(number=one.number * iterations) for one in rows)
    return Stage(
        tuple(passes), decodings, (Updates(updates, how), Updates(updates, value[1])),
        loads=3.0 + bool(params.rewards.trained), saves=1.0, records=prompts.number + iterations * section.batch_size,
    )  # fmt: skip


def _evaluate(params: Any, known: Known) -> Stage:
    """Return base, SFT, PPO of every round and its rivals: their answers, the scores, KL, loss on text, best of n."""
    section, prompts = params.evaluate, known.prompts["test"]
    tuned = cuts.policy_answers(known, section.max_completion_tokens)
    untuned = Rows(1, (0,), (section.max_completion_tokens,))  # a base writes on
    number = min(section.test_prompts, prompts.number)
    few = min(section.validation_prompts, known.prompts["validation"].number)
    policies = 3 + len(params.rounds) + len(cuts.rivals(params))
    decodings, answered = [], 0.0

    def ask(count: float, texts: Rows, draws: int = 1) -> None:
        nonlocal answered
        answered += count * draws
        decodings.extend(answering.decoded(params, count * draws, prompts, texts, section.batch_size, draws))

    for place in range(policies):  # sampled and greedy
        for _ in range(2):
            ask(number, tuned if place else untuned)
    judged = answered
    for _ in range(2 * len(set(section.temperatures))):  # of SFT and PPO; gold scores them, or the judge
        ask(few, tuned)
    best = section.best_of_n
    curve = min(number, best.curve_prompts)
    drawn = number * max(best.compare) + curve * best.curve_draws
    ask(number, tuned, max(best.compare))
    ask(curve, tuned, best.curve_draws)
    rows, likelihood = cuts.with_answers(prompts, tuned), params.reward_model.likelihood_coef > 0
    at_once = section.scoring_batch_size
    scored = [
        answering.scored(params, judged + drawn, rows, at_once, likelihood),
        answering.scored(params, judged + number * len(best.compare), rows, at_once, params.judge.likelihood_coef > 0),
        answering.scored(params, 2 * (policies - 1) * number, rows, at_once, likelihood=True),  # KL: policy's and SFT's
    ]
    text = min(section.document_tokens, known.held_out or section.document_tokens) // section.sequence_tokens
    tokens = section.sequence_tokens - 1
    read = of_parts(READ, policies, batches.alike(text, at_once, tokens, tokens, params.runtime)) if text else None
    passes = (*(one for one in scored if one.number), *((read,) if read else ()))
    return Stage(passes, tuple(decodings), loads=policies + 2.0, records=4 * answered)

"""What each stage with a model computes, from params and what is known of the data."""

import math
from typing import Any

from tools.planning import batches, cuts
from tools.planning.cuts import Cuts
from tools.planning.rows import Known, Rows
from tools.planning.work import ADAPT, LEARN, READ, Decoding, Pass, Stage, Updates, of_parts

STAGES = ("pretrain", "sft", "collect_answers", "reward_model", "ppo", "feedme", "judge", "evaluate")
OF_ROUNDS = ("collect_answers", "reward_model", "ppo")  # once a round
NORMALISED = 500  # comparisons whose answers give scores their unit (preference_training.normalise)
SCORED_AT_ONCE = 128  # rows (rewards.score_texts)
PROBE = 30  # tokens of a text for copying, about
LATE = 1.12  # rows computed for each that is going on: those that have ended leave a quarter at a time (rollouts)


def of_params(params: Any, known: Known, cut: Cuts) -> dict[str, Stage]:
    """Return the stages that compute with a model, in the order in which they run."""
    found = {
        "pretrain": _pretrain(params, known, cut),
        "sft": _supervised(params.sft, cut.sft, known.demonstrations, known.validation),
        "collect_answers": _collect_answers(params, known),
        "reward_model": _reward(params, known, cut, "reward_model"),
        "ppo": _ppo(params, known, cut),
        "feedme": _feedme(params, known, cut),
        "judge": _reward(params, known, cut, "judge"),
        "evaluate": _evaluate(params, known),
    }
    if not params.rewards.trained:
        found["reward_model"] = Stage(loads=0.0)
    again = bool(params.runtime.gradient_checkpointing)
    return {name: stage._replace(recomputed=again) for name, stage in found.items()}


def _pretrain(params: Any, known: Known, cut: Cuts) -> Stage:
    section, runtime = params.pretrain, params.runtime
    held_out = min(section.validation_tokens, known.held_out or section.validation_tokens)
    rows = held_out // section.sequence_tokens
    tokens = section.sequence_tokens - 1
    validation = of_parts(READ, 1, batches.alike(rows, 32, tokens, tokens, runtime)) if rows else None
    probes = Pass(READ, known.probes * batches.sharing(runtime), PROBE, 1, PROBE)  # one by one, nothing beside them
    reading = tuple(one for one in (validation, probes) if one is not None and one.count)
    if section.source != "scratch":
        return Stage(reading, loads=1.0, saves=1.0)
    steps = section.copying_steps + math.ceil(section.tokens / (section.batch_size * section.sequence_tokens))
    how = "adamw" if section.muon_momentum is None else "muon"
    learning = of_parts(LEARN, steps, cut.pretrain)
    return Stage((learning, *reading), updates=(Updates(steps, how),), loads=0.0, saves=1.0)


def _supervised(section: Any, parts: batches.Parts, training: Rows, held_out: Rows) -> Stage:
    steps = section.epochs * math.ceil(training.count / section.batch_size)
    what, how = _way(section)
    share = parts.scored / parts.tokens if parts.tokens else 1.0
    mean = held_out.mean_prompt() + held_out.mean_answer()
    tokens = held_out.count * mean * section.epochs
    validation = Pass(READ, tokens / max(1.0, parts.most), parts.most, parts.most * share, mean)
    passes = (of_parts(what, steps, parts), *((validation,) if tokens else ()))
    records = training.count + held_out.count
    return Stage(passes, updates=(Updates(steps, how),), saves=1.0, records=records)


def _feedme(params: Any, known: Known, cut: Cuts) -> Stage:
    groups = cuts.ranked(params, known)
    share = params.collect_comparisons.validation_share
    count = min(params.collect_answers.max_prompts, cuts.asked_of_labelers(params, known).count)
    training = known.ranked["train"].count + round(count * (1 - share))
    answered = cuts.with_answers(groups.prompts, groups.texts)
    held_out = known.ranked["validation"].count + round(count * share)
    return _supervised(params.feedme, cut.feedme, answered._replace(count=training), answered._replace(count=held_out))


def _way(section: Any) -> tuple[str, str]:
    return (LEARN, "adamw") if section.lora is None else (ADAPT, "adapters")


def _reward(params: Any, known: Known, cut: Cuts, name: str) -> Stage:
    section, groups, parts = getattr(params, name), cuts.ranked(params, known, name), getattr(cut, name)
    steps = section.epochs * math.ceil(groups.training / section.batch_size)
    what, how = _way(section)
    answers = (groups.held_out + min(NORMALISED, groups.training) * section.unit_std) * groups.answers
    scored = [
        _scoring(params, known.demonstrations.count, known.demonstrations, SCORED_AT_ONCE, section.likelihood_coef > 0),
        _scoring(
            params, answers, cuts.with_answers(groups.prompts, groups.texts), SCORED_AT_ONCE,
            section.likelihood_coef > 0,
        ),
    ]  # fmt: skip
    passes = (of_parts(what, steps, parts), *(one for one in scored if one.count))
    records = (groups.training + groups.held_out) * groups.answers + known.demonstrations.count
    return Stage(passes, updates=(Updates(steps, how),), loads=2.0, saves=3.0, records=records)


def _scoring(params: Any, count: float, rows: Rows, at_once: int, likelihood: bool) -> Pass:
    """Return the passes that score so many rows, each by itself."""
    if not count or not rows.prompts:
        return Pass(READ, 0.0, 0.0, 0.0, 0.0)
    answer = rows.mean_answer()
    tokens = rows.mean_prompt() + answer
    size = batches.part_size(math.ceil(count), at_once, batches.sharing(params.runtime))
    return Pass(READ, count / size, size * tokens, size * answer if likelihood else 0.0, tokens)


def _collect_answers(params: Any, known: Known) -> Stage:
    section = params.collect_answers
    answers = (section.min_responses + section.max_responses) / 2
    texts = cuts.policy_answers(known, section.max_completion_tokens)
    decodings, prompts = [], 0.0
    for rows, most in (
        (cuts.asked_of_labelers(params, known), section.max_prompts),
        (known.prompts["judge"], section.max_judge_prompts),
    ):
        count = min(rows.count, most)
        prompts += count
        shared = answers / len(section.temperatures)
        decodings += decoded(params, count * answers, rows, texts, section.batch_size, shared)
    return Stage((), tuple(decodings), loads=1.0 if prompts else 0.0, records=prompts * answers)


def decoded(
    params: Any, count: float, prompts: Rows, answers: Rows, at_once: int, shared: float = 1.0
) -> list[Decoding]:
    """Return the batches of so many answers; `shared`: how many of a batch have one prompt."""
    if not count or not prompts.prompts:
        return []
    size = batches.part_size(math.ceil(count), at_once, batches.sharing(params.runtime))
    lengths = sorted(answers.answers)
    steps = longest_of(lengths, size)
    tokens = size * min(steps, answers.mean_answer() * LATE)
    return [Decoding(count / size, size, size / max(1.0, shared), prompts.mean_prompt(), steps, tokens)]


def longest_of(lengths: list[int], count: float) -> float:
    """Return the longest that so many draws have, about: the length that one in so many passes."""
    return float(lengths[min(len(lengths) - 1, math.ceil(len(lengths) * (1 - 1 / max(1.0, count + 1))))])


def _ppo(params: Any, known: Known, cut: Cuts) -> Stage:
    section = params.ppo
    iterations = section.iterations
    updates = iterations * section.inner_epochs * (section.batch_size // section.minibatch_size)
    what, how = _way(section)
    value = (ADAPT, "adapters") if section.share_backbone else (LEARN, "adamw")
    prompts = cuts.asked(params, known)
    texts = cuts.policy_answers(known, section.max_completion_tokens)
    rows = decoded(params, section.batch_size, prompts, texts, section.batch_size)
    reading = cut.scoring
    scores = params.reward_model.likelihood_coef > 0
    passes = [
        *(of_parts(READ, iterations, reading) for _ in range(2)),  # policy and reference
        of_parts(READ, iterations, reading, scored=False),  # value model
        of_parts(what, updates, cut.ppo),
        of_parts(value[0], updates, cut.ppo, scored=False),
    ]
    if params.rewards.trained:
        passes.append(_scoring(params, iterations * section.batch_size, _answered(prompts, texts), 128, scores))
    if section.ptx_coef:
        passes.append(of_parts(what, updates, cut.ptx))
    decodings = tuple(one._replace(count=one.count * iterations) for one in rows)
    return Stage(
        tuple(passes), decodings, (Updates(updates, how), Updates(updates, value[1])),
        loads=3.0 + bool(params.rewards.trained), saves=1.0, records=prompts.count + iterations * section.batch_size,
    )  # fmt: skip


def _answered(prompts: Rows, answers: Rows) -> Rows:
    return cuts.with_answers(prompts, answers)


def _evaluate(params: Any, known: Known) -> Stage:
    """Return base, SFT, FeedME and PPO of every round: their answers, the scores, KL, loss on text, best of n."""
    section, prompts = params.evaluate, known.prompts["test"]
    tuned = cuts.policy_answers(known, section.max_completion_tokens)
    untuned = Rows(1, (0,), (section.max_completion_tokens,))  # a base writes on
    number = min(section.test_prompts, prompts.count)
    few = min(section.validation_prompts, known.prompts["validation"].count)
    policies = 3 + len(params.rounds)
    decodings, answered = [], 0.0

    def ask(count: float, texts: Rows) -> None:
        nonlocal answered
        answered += count
        decodings.extend(decoded(params, count, prompts, texts, section.batch_size))

    for place in range(policies):  # sampled and greedy
        for _ in range(2):
            ask(number, tuned if place else untuned)
    judged = answered
    for _ in range(2 * len(set(section.temperatures))):  # of SFT and PPO; gold scores them, or the judge
        ask(few, tuned)
    best = section.best_of_n
    drawn = number * max(best.compare) + min(number, best.curve_prompts) * best.curve_draws
    ask(drawn, tuned)
    rows, likelihood = _answered(prompts, tuned), params.reward_model.likelihood_coef > 0
    at_once = section.scoring_batch_size
    scored = [
        _scoring(params, judged + drawn, rows, at_once, likelihood),
        _scoring(params, judged + number * len(best.compare), rows, at_once, params.judge.likelihood_coef > 0),
        _scoring(params, 2 * (policies - 1) * number, rows, at_once, likelihood=True),  # KL: the policy's and SFT's
    ]
    text = min(section.document_tokens, known.held_out or section.document_tokens) // section.sequence_tokens
    tokens = section.sequence_tokens - 1
    read = of_parts(READ, policies, batches.alike(text, at_once, tokens, tokens, params.runtime)) if text else None
    passes = (*(one for one in scored if one.count), *((read,) if read else ()))
    return Stage(passes, tuple(decodings), loads=policies + 2.0, records=4 * answered)

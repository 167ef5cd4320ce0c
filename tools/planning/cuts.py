"""The parts in which each stage computes its batches: what is known of the data, cut as the params say."""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

from tools.planning import batches
from tools.planning.batches import DRAWN, NOTHING, Parts
from tools.planning.rows import Known, Rows

RIVALS = ("rejection", "dpo")  # of PPO: stages that params may leave out (`train: false`)
SHARE_OF_JUDGE = 0.8  # of the comparisons that are set aside; the others measure it (stages/judge.py)


class Groups(NamedTuple):
    """Ranked prompts: how many train, how many are held out, and how many answers each has."""

    training: float
    held_out: float
    answers: float
    prompts: Rows
    texts: Rows  # answers


class Cuts(NamedTuple):
    """Of each stage the parts of an update."""

    pretrain: Parts
    sft: Parts
    feedme: Parts
    reward_model: Parts
    judge: Parts
    rejection: Parts  # none where it is not trained
    dpo: Parts  # likewise
    ppo: Parts  # of a minibatch; policy and value model alike
    scoring: Parts  # of PPO's whole batch, read by three models
    ptx: Parts


def rivals(params: Any) -> list[str]:
    """Return the rivals of PPO that are trained."""
    return [name for name in RIVALS if getattr(params, name).train]


def named(params: Any, stages: Iterable[str]) -> list[str]:
    """Return those of the stages that params do not leave out."""
    return [name for name in stages if name not in RIVALS or name in rivals(params)]


def of_params(params: Any, known: Known) -> Cuts:
    """Return how each stage cuts its batches."""
    runtime, ppo = params.runtime, params.ppo
    best = ranked(params, known)
    learned = Rows(round(best.training), best.prompts.prompts, ()) if best.training else known.demonstrations
    answered = with_answers(learned, best.texts)
    groups = {name: ranked(params, known, name) for name in ("reward_model", "judge", "dpo")}
    picked = asked_by_rejection(params, known)
    episodes = with_answers(asked(params, known), policy_answers(known, ppo.max_completion_tokens))
    capped = [(min(p, ppo.max_prompt_tokens), min(a, ppo.max_completion_tokens)) for p, a in episodes.drawn(4096)]
    drawn = Rows(episodes.number, tuple(p for p, _ in capped), tuple(a for _, a in capped))
    return Cuts(
        pretrain=_pretrain(params.pretrain, runtime),
        sft=batches.supervised(known.demonstrations, params.sft, runtime, known.bounds),
        feedme=batches.supervised(answered, params.feedme, runtime, known.bounds),
        rejection=batches.supervised(picked, params.rejection, runtime, known.bounds),
        **{name: _ranked_parts(params, known, name, groups[name]) for name in groups},
        ppo=batches.windows(
            (drawn.drawn(ppo.minibatch_size, number) for number in range(DRAWN)),
            ppo.micro_batch_size, runtime, num_models=2,
        ),
        scoring=batches.windows(
            (drawn.drawn(ppo.batch_size, number) for number in range(8)), ppo.micro_batch_size, runtime
        ),
        ptx=_ptx(ppo, runtime),
    )  # fmt: skip


def _ranked_parts(params: Any, known: Known, name: str, groups: Groups) -> Parts:
    section = getattr(params, name)
    answers = params.collect_answers.max_responses if known.bounds else groups.answers
    if known.bounds:
        answers = max(answers, params.collect_prompts.comparisons.max_responses)
    return batches.rewards(groups.prompts, groups.texts, section, params.runtime, answers, known.bounds)


def _pretrain(section: Any, runtime: Any) -> Parts:
    if section.source != "scratch":
        return NOTHING
    tokens = section.sequence_tokens - 1
    return batches.alike(section.batch_size, section.batch_size, tokens, tokens, runtime)


def _ptx(section: Any, runtime: Any) -> Parts:
    if not section.ptx_coef:
        return NOTHING
    rows = max(1, round(section.minibatch_size * section.ptx_ratio / section.inner_epochs))
    tokens = section.ptx_sequence_tokens - 1
    return batches.alike(rows, section.micro_batch_size, tokens, tokens, runtime)


def ranked(params: Any, known: Known, stage: str = "reward_model") -> Groups:
    """Return what labelers and files rank for the reward model and DPO, or for the judge."""
    section, judges = params.collect_answers, stage == "judge"
    prompts = known.prompts["judge"] if judges else asked_of_labelers(params, known)
    given = known.ranked["judge" if judges else "train"]
    number = min(section.max_judge_prompts if judges else section.max_prompts, prompts.number)
    if judges:
        all_of_them = number + given.number
        learned, held_out = all_of_them * SHARE_OF_JUDGE, all_of_them * (1 - SHARE_OF_JUDGE)
    else:
        share = params.collect_comparisons.validation_share
        learned, held_out = number * (1 - share) + given.number, number * share + known.ranked["validation"].number
    learned = min(learned, getattr(params, stage).max_comparisons or math.inf)
    if given.number > number:  # those that the data give
        lengths = tuple(max(1, round(total / given.each)) for total in given.answers)
        texts = Rows(given.number, given.prompts, lengths)
        return Groups(learned, held_out, given.each, texts, texts)
    answers = (section.min_responses + section.max_responses) / 2
    return Groups(learned, held_out, answers, prompts, policy_answers(known, section.max_completion_tokens))


def asked_of_labelers(params: Any, known: Known) -> Rows:
    """Return the prompts whose answers are ranked."""
    return known.demonstrations if params.collect_answers.prompts == "sft" else known.prompts["reward_model"]


def asked(params: Any, known: Known) -> Rows:
    """Return the prompts of PPO."""
    return known.demonstrations if params.ppo.prompts == "sft" else known.prompts["ppo"]


def asked_by_rejection(params: Any, known: Known) -> Rows:
    """Return the prompts to which rejection sampling has answers written, each with one as it is learned."""
    section, prompts = params.rejection, known.prompts["ppo"]
    count = prompts.number if section.max_prompts is None else min(section.max_prompts, prompts.number)
    lengths = tuple(min(prompt, section.max_prompt_tokens) for prompt in prompts.prompts)
    return with_answers(Rows(count, lengths), policy_answers(known, section.max_completion_tokens))


def policy_answers(known: Known, most: int) -> Rows:
    """Return answers of a tuned policy: as long as demonstrations, whom it imitates, and at most so many tokens."""
    lengths = known.demonstrations.answers or (most,)
    return Rows(len(lengths), (0,) * len(lengths), tuple(min(length, most) for length in lengths))


def with_answers(prompts: Rows, answers: Rows) -> Rows:
    """Return the prompts, each with an answer drawn at random."""
    drawn = answers.drawn(len(prompts.prompts), seed=1)
    return Rows(prompts.number, prompts.prompts, tuple(answer for _, answer in drawn))

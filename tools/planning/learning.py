"""Stages that learn from demonstrations and from comparisons: SFT, the rivals of PPO, reward models."""

import math
from typing import Any

from tools.planning import answering, cuts
from tools.planning.batches import Parts
from tools.planning.cuts import Cuts
from tools.planning.rows import Known, Rows
from tools.planning.work import ADAPT, LEARN, READ, Pass, Stage, Updates, of_parts

NORMALISED = 500  # comparisons whose answers give scores their unit (preference_training.normalise)


def supervised(section: Any, parts: Parts, training: Rows, held_out: Rows) -> Stage:
    """Return the updates of fine-tuning, and the loss on what is held out after each epoch."""
    steps = section.epochs * math.ceil(training.number / section.batch_size)
    what, how = way(section)
    share = parts.scored / parts.tokens if parts.tokens else 1.0
    mean = held_out.mean_prompt() + held_out.mean_answer()
    tokens = held_out.number * mean * section.epochs
    validation = Pass(READ, tokens / max(1.0, parts.most), parts.most, parts.most * share, mean)
    passes = (of_parts(what, steps, parts), *((validation,) if tokens else ()))
    records = training.number + held_out.number
    return Stage(passes, updates=(Updates(steps, how),), saves=1.0, records=records)


def feedme(params: Any, known: Known, cut: Cuts) -> Stage:
    """Return fine-tuning on the answers that labelers ranked best; ties of the best are not known, and count as none.

    Of `learn: within` a rank lies between two answers that follow one another.
    """
    section, groups = params.feedme, cuts.ranked(params, known)
    each = min(groups.answers, 1 + math.floor(section.within_rank or 0))
    share = params.collect_comparisons.validation_share
    count = min(params.collect_answers.max_prompts, cuts.asked_of_labelers(params, known).number)
    training = round(each * (known.ranked["train"].number + count * (1 - share)))
    answered = cuts.with_answers(groups.prompts, groups.texts)
    held_out = round(each * (known.ranked["validation"].number + count * share))
    return supervised(section, cut.feedme, answered._replace(number=training), answered._replace(number=held_out))


def rejection(params: Any, known: Known, cut: Cuts) -> Stage:
    """Return n answers to each prompt, their scores, and fine-tuning on one of each; all prompts have one that ends."""
    section, asked = params.rejection, cuts.asked_by_rejection(params, known)
    count, at_once = asked.number * section.n, section.scoring_batch_size
    decodings = answering.decoded(params, count, asked, asked, section.sampling_batch_size, section.n)
    likelihood = params.reward_model.likelihood_coef > 0
    scored = [answering.scored(params, count, asked, at_once, likelihood)] if params.rewards.trained else []
    held_out = round(asked.number * section.validation_share)
    found = supervised(
        section, cut.rejection, asked._replace(number=asked.number - held_out), asked._replace(number=held_out)
    )
    passes = (*(one for one in scored if one.number), *found.passes)
    return found._replace(
        passes=passes, decodings=tuple(decodings), loads=2.0 + len(scored), records=found.records + 2.0 * count
    )


def dpo(params: Any, known: Known, cut: Cuts) -> Stage:
    """Return the updates, what SFT says of all answers before the first one, and the loss on those held out."""
    section, groups, parts = params.dpo, cuts.ranked(params, known, "dpo"), cut.dpo
    steps = math.ceil(groups.training / section.batch_size)
    what, how = way(section)
    held_out = groups.held_out / section.batch_size  # batches
    reading = of_parts(READ, steps + held_out * (1 + section.epochs), parts)
    records = (groups.training + groups.held_out) * groups.answers
    passes = (of_parts(what, section.epochs * steps, parts), reading)
    return Stage(passes, updates=(Updates(section.epochs * steps, how),), saves=1.0, records=records)


def way(section: Any) -> tuple[str, str]:
    """Return what learns, and how it is moved."""
    return (LEARN, "adamw") if section.lora is None else (ADAPT, "adapters")


def reward(params: Any, known: Known, cut: Cuts, name: str) -> Stage:
    """Return the updates of a reward model or the judge, and the scores that shift and measure it."""
    section, groups, parts = getattr(params, name), cuts.ranked(params, known, name), getattr(cut, name)
    steps = section.epochs * math.ceil(groups.training / section.batch_size)
    what, how = way(section)
    answers = (groups.held_out + min(NORMALISED, groups.training) * section.unit_std) * groups.answers
    likelihood, at_once = section.likelihood_coef > 0, answering.SCORED_AT_ONCE
    answered = cuts.with_answers(groups.prompts, groups.texts)
    scored = [
        answering.scored(params, known.demonstrations.number, known.demonstrations, at_once, likelihood),
        answering.scored(params, answers, answered, at_once, likelihood),
    ]
    passes = (of_parts(what, steps, parts), *(one for one in scored if one.number))
    records = (groups.training + groups.held_out) * groups.answers + known.demonstrations.number
    return Stage(passes, updates=(Updates(steps, how),), loads=2.0, saves=3.0, records=records)

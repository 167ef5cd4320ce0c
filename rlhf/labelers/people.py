"""People rank: their judgements of a round's answers become labels, once enough of the prompts are judged."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rlhf.labelers.answered import Answered, Labelled, Ranking
from rlhf.params.labelers.people import People
from rlhf.people import judgements, standing
from rlhf.people.judgements import Judgement
from rlhf.people.standing import Progress, Standing
from rlhf.preferences import agreement
from rlhf.records.types import Label
from rlhf.runtime import distributed
from rlhf.runtime.waiting import Waiting
from rlhf.training.context import StageContext

SHOWN = 20  # of the lines that are passed over
REASONS = 20  # why prompts are skipped, in metrics
NAMES = {"labelers": "labels", "judge_labelers": "judge_labels"}  # of counts of lines, beside those of pools


def rank(
    pools: Mapping[str, Sequence[Answered]], params: People, place: str, context: StageContext
) -> dict[str, Ranking]:
    """Return each pool's ranking, and under a name of its own counts of the labels' lines.

    What is passed over is said, by file and line. Raises Waiting where too few prompts are judged.
    """
    found: Any = _read(pools, params, context) if distributed.is_first() else None
    held, progress = distributed.told_by_first(found)
    if progress.waiting:
        raise Waiting(progress.in_words(str(context.round_name)))
    rankings = {pool: _of_pool(answered, held, params) for pool, answered in pools.items()}
    return rankings | {NAMES[place.rpartition(".")[2]]: Ranking([], held.counts)}


def _read(pools: Mapping[str, Sequence[Answered]], params: People, context: StageContext) -> tuple[Standing, Progress]:
    folder, round_name = params.folder_of(context.root, str(context.round_name)), str(context.round_name)
    answers = standing.read_answers(context.root, round_name)
    held = standing.standing(judgements.read(folder.parent, round_name), answers)
    for problem in held.problems[:SHOWN]:
        context.run.say(problem)
    if len(held.problems) > SHOWN:
        context.run.say(f"and {len(held.problems) - SHOWN} more lines of {folder} are passed over")
    return held, standing.progress(held, {pool: answers[pool] for pool in pools}, params.wait_for)


def _of_pool(answered: Sequence[Answered], held: Standing, params: People) -> Ranking:
    """Return the prompts that somebody has ranked, with all labels; a prompt once more with what a labeler wrote."""
    labelled, rankings, counts = list[Labelled](), list[Mapping[str, Sequence[int]]](), Counter[str]()
    reasons, seconds, instructions = Counter[str](), list[float](), set[str]()
    for one in answered:
        said = [placed.judgement for placed in held.of(one.prompt["messages"], one.responses)]
        labels = [label for label in (_label(judgement, params, counts) for judgement in said) if label]
        seconds += [judgement["seconds"] for judgement in said if judgement["ranks"] and judgement["seconds"]]
        instructions |= {judgement["instructions"] for judgement in said}
        reasons.update(_in_short(judgement["skipped"]) for judgement in said if judgement["skipped"])
        counts["prompts_not_judged" if not said else "prompts_skipped_by_all" if not labels else "prompts_ranked"] += 1
        counts["prompts_with_several_labelers"] += len(labels) > 1
        counts.update(f"flagged.{flag}" for flag in _flags(said, params))
        if labels:
            labelled.append(Labelled(one.prompt, one.responses, labels))
            rankings.append({label["labeler"]: label["ranks"] for label in labels})
        labelled += _written(one, said, params, counts)
    return Ranking(labelled, _metrics(counts, reasons) | _agreement(rankings) | _effort(seconds, instructions))


def _label(judgement: Judgement, params: People, counts: Counter[str]) -> Label | None:
    """Return the label of a judgement that ranks; its ratings count where all of them lie on the scale."""
    scale = None if params.scale is None else (params.scale.low, params.scale.high)
    rated = [rating for rating in judgement["ratings"] or () if rating is not None]
    outside = scale is not None and any(not scale[0] <= rating <= scale[1] for rating in rated)
    counts["ratings_outside_scale"] += outside
    counts["labels_all_tied"] += judgement["ranks"] is not None and len({*judgement["ranks"]}) == 1
    return judgements.to_label(judgement, None if outside else scale)


def _flags(said: Sequence[Judgement], params: People) -> Iterator[str]:
    """Yield the name of each flag that a labeler gave an answer; those that params do not name share one."""
    for judgement in said:
        for flag in (flag for some in judgement["flags"] for flag in some):
            yield flag.replace(" ", "_") if flag in params.flags else "not_in_params"


def _written(one: Answered, said: Sequence[Judgement], params: People, counts: Counter[str]) -> Iterator[Labelled]:
    """Yield the prompt with each better answer that a labeler wrote, before all others, which tie: their order stands
    in the label on the answers alone. It has no score, since nobody has rated it.
    """
    for judgement in said:
        text = str((judgement["written"] or {}).get("text", "")).strip()
        if not text:
            continue
        why = "written_equal_to_an_answer" if text in one.responses else "written_left_out"
        if text in one.responses or params.written == "leave":
            counts[why] += 1
            continue
        counts["written_first"] += 1
        ranks = [2] * len(one.responses) + [1]
        label = Label(labeler=judgement["labeler"], ranks=ranks, scores=None, scale=None)
        yield Labelled(one.prompt, [*one.responses, text], [label])


def _in_short(reason: str) -> str:
    """Return a reason as a metric's name has it."""
    return re.sub(r"[^a-z0-9]+", "_", reason.lower()).strip("_")[:40] or "other"


def _metrics(counts: Counter[str], reasons: Counter[str]) -> dict[str, Any]:
    """Return counts, flags and reasons each in a mapping of their own; of many reasons the most frequent."""
    flags = {name.removeprefix("flagged."): count for name, count in counts.items() if name.startswith("flagged.")}
    named: dict[str, Any] = {name: count for name, count in counts.items() if not name.startswith("flagged.")}
    few = dict(sorted(reasons.items(), key=lambda one: (-one[1], one[0]))[:REASONS])
    rest = sum(reasons.values()) - sum(few.values())
    few |= {"other": few.get("other", 0) + rest} if rest else {}
    return named | {"flags": dict(sorted(flags.items())), "skipped": few}


def _agreement(rankings: Sequence[Mapping[str, Sequence[int]]]) -> dict[str, float]:
    """Return how far labelers of the same prompts agree: pair by pair, and beyond chance."""
    several = [one for one in rankings if len(one) > 1]
    share, num_pairs = agreement.share(
        difference for one in several for difference in agreement.between_rankings([*one.values()])
    )
    alpha = agreement.krippendorffs_alpha(several)
    found = {"agreement": share, "agreement_pairs": num_pairs} if num_pairs else {}
    return found | ({} if alpha is None else {"krippendorffs_alpha": alpha})


def _effort(seconds: Sequence[float], instructions: set[str]) -> dict[str, float]:
    """Return how long a ranking took, and how many versions of the instructions labelers had."""
    if not seconds:
        return {}
    return {"seconds_a_ranking": sum(seconds) / len(seconds), "versions_of_instructions": len(instructions)}

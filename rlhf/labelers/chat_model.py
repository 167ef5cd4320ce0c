"""A model behind an address ranks answers: pairs compared in both orders, or each answer scored for itself.

Judges like what stands first, or second (Zheng et al. 2023, MT-bench): each pair is asked both ways round, and the two
verdicts are averaged, so that a judge that always names the first one calls everything a tie. A pair counts where both
could be read.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from rlhf.labelers import asking, pairs, ranks
from rlhf.labelers.answered import Answered, Labelled, Ranking
from rlhf.labelers.inquiry import Inquiry, Outcome
from rlhf.labelers.verdicts import DECLINED, UNREADABLE
from rlhf.params.labelers.kinds import ChatModel, name_of
from rlhf.records.types import Label
from rlhf.runs.tracking import StageRun

FAILED = "failed"  # no try of a request brought an answer
UNUSED = (DECLINED, UNREADABLE, FAILED)
FOR_FIRST = {"A": Fraction(1), "tie": Fraction(0), "B": Fraction(-1)}  # how clearly the first one has won


class Question(NamedTuple):
    """One request: of which pool and prompt, and which of its responses are shown, in this order."""

    pool: str
    number: int
    shown: tuple[int, ...]


def rank(
    pools: Mapping[str, Sequence[Answered]], params: ChatModel, place: str, root: Path, run: StageRun
) -> dict[str, Ranking]:
    """Return each pool's ranking. `place`: where params name the judge, for messages.

    Raises ValueError where too many requests bring no verdict, see Inquiry.
    """
    told = asking.instructions(params, root)

    def body(question: Question) -> asking.Body:
        prompt, responses = pools[question.pool][question.number]
        texts = [responses[index] for index in question.shown]
        if len(texts) == 1:
            return asking.scoring(prompt["messages"], texts[0], told, params)
        return asking.comparison(prompt["messages"], texts[0], texts[1], told, params)

    keys = {question: asking.key_of(body(question), params) for question in questions(pools, params)}
    wanted = {key: question for question, key in keys.items()}
    outcomes = Inquiry(params, place, root, run).answers(wanted, body)
    found = {question: outcomes.get(key) for question, key in keys.items()}
    rankings = {}
    for pool, answered in pools.items():
        own = {question: outcome for question, outcome in found.items() if question.pool == pool}
        rankings[pool] = _ranking(answered, own, params)
        run.say(f"{place}: {pool}: {_in_words(rankings[pool].counts)}")
    return rankings


def questions(pools: Mapping[str, Sequence[Answered]], params: ChatModel) -> Iterator[Question]:
    """Yield what is asked: of a pair both orders, one after the other."""
    for pool, answered in pools.items():
        for number, (prompt, responses) in enumerate(answered):
            if params.compares == "scores":
                yield from (Question(pool, number, (index,)) for index in range(len(responses)))
                continue
            for first, second in pairs.chosen(len(responses), params.pairs, prompt["id"]):
                yield Question(pool, number, (first, second))
                yield Question(pool, number, (second, first))


def _ranking(answered: Sequence[Answered], found: Mapping[Question, Outcome | None], params: ChatModel) -> Ranking:
    counts: Counter[str] = Counter(_word(outcome) for outcome in found.values())
    of_prompt: list[dict[tuple[int, ...], Outcome | None]] = [{} for _ in answered]
    for question, outcome in found.items():
        of_prompt[question.number][question.shown] = outcome
    labelled = []
    for (prompt, responses), outcomes in zip(answered, of_prompt, strict=True):
        scores = _scored(outcomes) if params.compares == "scores" else _compared(len(responses), outcomes, counts)
        kept = [index for index, score in enumerate(scores) if score is not None]
        if len(kept) < 2:
            counts["comparisons_dropped"] += 1
            continue
        counts["answers_left_out"] += len(responses) - len(kept)
        known = [score for score in scores if score is not None]
        scale = [params.scale.low, params.scale.high] if params.scale else [0.0, 1.0]
        label = Label(
            labeler=name_of(params),
            ranks=ranks.with_ties(known, params.tie_threshold),
            scores=[float(score) for score in known],
            scale=scale,
        )
        labelled.append(Labelled(prompt, [responses[index] for index in kept], [label]))
    return Ranking(labelled, _metrics(counts, found, params))


def _scored(outcomes: Mapping[tuple[int, ...], Outcome | None]) -> list[float | None]:
    """Return each answer's score, None where none could be read."""
    return [None if outcome is None else outcome.verdict.score for outcome in outcomes.values()]


def _compared(
    num: int, outcomes: Mapping[tuple[int, ...], Outcome | None], counts: Counter[str]
) -> list[Fraction | None]:
    """Return each answer's expected share of wins, None for those that no pair read both ways ties to the others."""
    margins: dict[pairs.Pair, Fraction] = {}
    for first, second in outcomes:
        if first > second:
            continue
        there, back = _word(outcomes[(first, second)]), _word(outcomes[(second, first)])
        if there in UNUSED or back in UNUSED:
            counts["pairs_left_out"] += 1
            continue
        counts["pairs_compared"] += 1
        counts["position_disagreements"] += {there, back} in ({"A"}, {"B"})
        margins[(first, second)] = (FOR_FIRST[there] - FOR_FIRST[back]) / 2
    return pairs.scores(num, margins)


def _word(outcome: Outcome | None) -> str:
    return FAILED if outcome is None else outcome.verdict.said


def _metrics(counts: Counter[str], found: Mapping[Question, Outcome | None], params: ChatModel) -> dict[str, float]:
    """Return the counts under their names, the same whether answers came from the address or from what is kept."""
    named = ("comparisons_dropped", "answers_left_out", *UNUSED)
    metrics: dict[str, float] = {"requests": len(found), **{name: counts[name] for name in named}}
    usages = [outcome for outcome in found.values() if outcome]
    metrics["prompt_tokens"] = sum(one.prompt_tokens for one in usages)
    metrics["completion_tokens"] = sum(one.completion_tokens for one in usages)
    if params.compares == "scores":
        return metrics
    metrics["ties"] = counts["tie"]
    metrics |= {name: counts[name] for name in ("pairs_compared", "pairs_left_out", "position_disagreements")}
    decided = counts["A"] + counts["B"]
    return metrics | ({"first_preferred": counts["A"] / decided} if decided else {})


def _in_words(counts: Mapping[str, float]) -> str:
    """Return what became of the requests, in a line."""
    words = [f"{value} {name.replace('_', ' ')}" for name, value in counts.items() if isinstance(value, int)]
    if "first_preferred" in counts:
        words.append(f"{counts['first_preferred']:.1%} of preferences are for the answer shown first")
    return ", ".join(words)

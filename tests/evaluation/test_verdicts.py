"""Who wins, prompt by prompt: by hand."""

import random

import pytest

from rlhf.evaluation import findings, verdicts
from rlhf.evaluation.statistics import Bootstrap
from rlhf.evaluation.verdicts import Comparison, Judged
from rlhf.params.base import parse
from rlhf.params.evaluate import Evaluate
from rlhf.rewards import weighted
from rlhf.sampling.rollouts import Response
from rlhf.world.asking import tasks
from rlhf.world.grading import gold
from tests.evaluation import invented

FIRST, SECOND = ("ppo", "sampled"), ("sft", "sampled")
SETTINGS = parse(Evaluate, invented.SETTINGS, "evaluate")
BOOTSTRAP = Bootstrap(200, 0.95, 1)


def answer(score: float, strict: float | None = 0.0, num_tokens: int = 9) -> Judged:
    """Return an answer of this gold; without `strict` one to a prompt without a task, where the judge decides."""
    gold = None if strict is None else score
    return Judged("text", num_tokens, True, 0.0, score, score, gold, strict, None)


def compared(question: Comparison, first: list[Judged], second: list[Judged]) -> verdicts.WinRate:
    return verdicts.compare(question, {FIRST: first, SECOND: second}, SETTINGS.tie_threshold, BOOTSTRAP)


def test_the_strict_gold_compares_both_answers_to_the_prompts_that_have_a_task():
    unknown = [answer(0.5, None)] * 3
    first = [*unknown, *(answer(0.5, strict) for strict in (1.0, 1.0, 0.2, 0.5))]
    second = [*unknown, *(answer(0.5, strict) for strict in (0.0, 0.4, 0.9, 0.5))]
    found = compared(Comparison("q", FIRST, SECOND, measure="strict"), first, second)
    assert found.prompts == 4
    assert found.interval.mean == pytest.approx((1 + 1 + 0 + 0.5) / 4)
    turned = compared(Comparison("q", FIRST, SECOND, measure="strict"), first[::-1], second[::-1])
    assert turned.interval == found.interval


def test_a_measure_that_knows_no_prompt_gives_no_win_rate():
    assert compared(Comparison("q", FIRST, SECOND, measure="strict"), [answer(1, None)], [answer(0, None)]) is None


def test_where_nine_of_ten_longer_answers_win_nothing_remains_at_equal_length():
    """The first wins three times of four, only because it is the longer one four times of five."""
    won, lost, longer, shorter = 0.9, 0.1, 20, 8
    counts = (((won, longer), 144), ((lost, longer), 16), ((won, shorter), 4), ((lost, shorter), 36))
    first = [answer(score, num_tokens=length) for (score, length), count in counts for _ in range(count)]
    second = [answer(1 - one.verdict, num_tokens=longer + shorter - one.num_tokens) for one in first]
    assert compared(Comparison("q", FIRST, SECOND), first, second).interval.mean == pytest.approx(0.74)
    controlled = compared(Comparison("q", FIRST, SECOND, length_controlled=True), first, second)
    assert controlled.interval.mean == pytest.approx(0.5, abs=0.05)


def test_where_lengths_are_equal_length_control_changes_nothing():
    first, second = [answer(0.9)] * 160 + [answer(0.1)] * 40, [answer(0.5)] * 200
    controlled = compared(Comparison("q", FIRST, SECOND, length_controlled=True), first, second)
    assert controlled.interval.mean == pytest.approx(0.8, abs=0.005)


def test_further_draws_count_where_the_measure_knows_them():
    """PPO wins the first draw of both prompts, and loses the second of the first prompt; the proxy saw one draw."""
    judged = {FIRST: [answer(0.9), answer(0.9)], SECOND: [answer(0.5), answer(0.5)]}
    unseen = [answer(0.1)._replace(reward_model=None), answer(0.9)._replace(reward_model=None)]
    again = [{FIRST: unseen}]
    question = Comparison("q", FIRST, SECOND)
    rate = verdicts.compare(question, judged, SETTINGS.tie_threshold, BOOTSTRAP, again)
    assert (rate.interval.mean, rate.prompts, rate.ties) == (0.75, 2, 0)  # a win and a loss are no tie
    proxy = question._replace(measure="reward_model")
    assert verdicts.compare(proxy, judged, SETTINGS.tie_threshold, BOOTSTRAP, again).interval.mean == 1
    found = findings.summary(judged[FIRST], BOOTSTRAP, [unseen])
    assert found.scores["gold"].mean == pytest.approx((0.5 + 0.9) / 2)
    assert found.scores["reward_model"].mean == pytest.approx(0.9)
    longer = [answer(0.9, num_tokens=19)._replace(strict=None), answer(0.9, num_tokens=9)]
    assert findings.summary(judged[FIRST], BOOTSTRAP, [longer]).num_tokens.mean == pytest.approx((14 + 9) / 2)


class _Adds:
    """A scorer by a rule that a person can follow."""

    def __init__(self, extra: float):
        self.extra = extra

    def score_texts(self, messages, texts, batch_size):
        assert batch_size == 5
        return [len(text) + len(turns) + self.extra for turns, text in zip(messages, texts, strict=True)]


def test_every_answer_is_scored_by_all_who_may_judge_it():
    """The first prompt has a task of the world, the second none: no gold scores its answer."""
    task, messages, category = tasks.draw(random.Random(1), "seen")
    prompts = [{"messages": messages, "task": task, "category": category}, {"messages": messages * 3}]
    answers = [Response("Mia, Max", [7, 8, 7, 8, 7, 2], True), Response("Yes", [5, 6, 9], False)]
    first, second = verdicts.judge_answers(prompts, answers, weighted.alone(_Adds(0.25)), _Adds(0.5), 5)
    known = gold.score(task, "Mia, Max")
    strict = gold.strict(task, "Mia, Max")
    assert first[:9] == ("Mia, Max", 5, True, 0.5, 9.25, 9.5, known.score, strict, known.criteria)
    assert [type(figure) for figure in first[6:9]] == [float, float, dict]
    assert second[:9] == ("Yes", 3, False, 0.0, 6.25, 6.5, None, None, None)
    assert (first.verdict, second.verdict) == (known.score, 6.5)
    alone = verdicts.judge_answers(prompts, answers, None, None, 5)
    assert alone == [first._replace(reward_model=None, judge=None), second._replace(reward_model=None, judge=None)]


def test_a_slice_counts_its_own_prompts():
    """PPO wins on every b and on no a, and they alternate."""
    prompts = [
        {"id": str(i), "messages": [{"role": "user", "content": "?"}], "category": part, "language": "en"}
        for i, part in enumerate("aabbabbb")
    ]
    wins = [prompt["category"] == "b" for prompt in prompts]
    judged = {FIRST: [answer(0.8 if won else 0.1) for won in wins], SECOND: [answer(0.5)] * 8}
    asked = [Comparison("ppo_vs_sft", FIRST, SECOND)]
    found = findings.slices(prompts, judged, asked, SETTINGS, BOOTSTRAP)
    by = {part.part: part for part in found if part.division == "category"}
    assert {name: (part.prompts, part.win_rates["ppo_vs_sft"].mean) for name, part in by.items()} == {
        "a": (3, 0.0), "b": (5, 1.0),
    }  # fmt: skip
    assert by["a"].scores == {FIRST: pytest.approx(0.1), SECOND: pytest.approx(0.5)}
    assert by["b"].scores[FIRST] == pytest.approx(0.8)


def test_a_rival_is_asked_about_where_it_is_and_nowhere_else():
    plain = [question.name for question in verdicts.questions([], [4])]
    asked = {question.name: question for question in verdicts.questions([], [4], ["dpo"])}
    more = [name for name in asked if name not in plain]
    own = ["ppo_vs_dpo", "ppo_vs_dpo_greedy", "dpo_vs_sft", "dpo_vs_sft_greedy"]
    assert more == [*own, "strict_ppo_vs_dpo", "strict_ppo_vs_dpo_greedy"]
    assert asked["ppo_vs_dpo_greedy"][1:3] == (("ppo", "greedy"), ("dpo", "greedy"))
    assert asked["dpo_vs_sft"][1:3] == (("dpo", "sampled"), ("sft", "sampled"))
    every = [question.name for question in verdicts.questions([], [4], verdicts.OPTIONAL)]
    assert {"ppo_vs_rejection", "ppo_vs_rejection_greedy", "rejection_vs_sft", "ppo_vs_dpo"} <= {*every}
    assert len(every) == len({*every}) == len(plain) + 12

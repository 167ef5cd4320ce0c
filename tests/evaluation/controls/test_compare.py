"""Controlled win rates: what a phrase wins is nothing, what content wins stays, and intervals are the widest."""

import random

import numpy as np
import pytest

from rlhf.evaluation import findings, statistics, verdicts
from rlhf.evaluation.controls import clusters, compare, manners, sides, trivial
from rlhf.evaluation.statistics import Bootstrap
from rlhf.evaluation.verdicts import Comparison, Judged
from rlhf.grading import gold
from rlhf.params.base import parse
from rlhf.params.evaluate import Evaluate
from rlhf.world.answering import demonstrations
from rlhf.world.asking import tasks
from tests.evaluation import invented

BOOTSTRAP = Bootstrap(200, 0.95, 1)
TIES = parse(Evaluate, invented.SETTINGS, "evaluate").tie_threshold
CURT = demonstrations.TYPICAL | {"closing": 0.0, "opener": 0.05}
GOOD = dict.fromkeys(demonstrations.TYPICAL, 0.9) | {"opener": 0.0, "closing": 0.0, "right": 1.0, "once": 1.0}
ASKED = [Comparison(f"ppo_vs_{rival}{end}", ("ppo", way), (rival, way))
         for rival in ("sft", "feedme") for end, way in (("", "sampled"), ("_greedy", "greedy"))]  # fmt: skip


def world(count: int, language: str | None = None) -> list[dict]:
    rng = random.Random(6)
    prompts = []
    for number in range(count):
        kinds = tasks.CHINESE_KINDS if language == "zh" else tasks.KINDS
        kind = kinds[number % len(kinds)]
        task, messages, category = tasks.draw_kind(rng, kind, "seen", language or "en")
        prompts.append({"id": str(number), "messages": messages, "category": category, "task": task})
        prompts[-1]["language"] = task["language"]
    return prompts


def answered(prompts: list[dict], texts: list[str]) -> list[Judged]:
    found = []
    for prompt, text in zip(prompts, texts, strict=True):
        score = gold.score(prompt["task"], text).score
        strict = gold.strict(prompt["task"], text)
        found.append(Judged(text, len(text.split()), True, 0.0, 0.0, 0.0, score, strict, {}))
    return found


def written(prompts: list[dict], traits: dict[str, float], seed: int) -> list[str]:
    rng = random.Random(seed)
    return [demonstrations.write(prompt["task"], rng, demonstrations.draw_traits(rng, traits)) for prompt in prompts]


def evaluated(prompts: list[dict]) -> dict:
    """Return answers of an SFT policy, of that policy with a closing as PPO, and of a better one as FeedME."""
    judged = {}
    for seed, way in enumerate(("sampled", "greedy")):
        own = written(prompts, CURT, seed)
        judged["sft", way] = answered(prompts, own)
        closed = [manners.with_closing(prompt["task"], text) for prompt, text in zip(prompts, own, strict=True)]
        judged["ppo", way] = answered(prompts, closed)
        judged["feedme", way] = answered(prompts, written(prompts, GOOD, 10 + seed))
    return judged


def concluded(prompts: list[dict], judged: dict, asked: list[Comparison] = ASKED, judge=None) -> compare.Controls:
    policies = sides.of_policies(prompts, [judged], judge, 7)
    return compare.conclude(policies, trivial.sides(prompts, judged), judged, asked, TIES, BOOTSTRAP)


def rates(found) -> dict:
    return {rate.comparison.name: rate.interval for rate in found}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_one_sentence_wins_nearly_every_prompt_and_under_control_none(language):
    prompts = world(160, language)
    found = concluded(prompts, evaluated(prompts))
    controlled, plain = rates(found.controlled), rates(found.trivial)
    for name in ("closing_vs_sft", "closing_vs_sft_greedy"):
        assert plain[name].mean > 0.75
        assert controlled[name] == (0.5, 0.5, 0.5)
        assert found.differences[name].mean > 0.03
        assert found.controlled_differences[name] == (0.0, 0.0, 0.0)
    assert controlled["ppo_vs_sft"] == controlled["ppo_vs_sft_greedy"] == (0.5, 0.5, 0.5)
    assert found.differences["ppo_vs_sft"] == found.differences["closing_vs_sft"]


def test_a_win_by_content_stays_and_a_closing_does_not_hide_it():
    prompts = world(160)
    judged = evaluated(prompts)
    found = concluded(prompts, judged)
    better = verdicts.compare(Comparison("", *ASKED[2][1:3]), judged, TIES, BOOTSTRAP)
    controlled = rates(found.controlled)["ppo_vs_feedme"]
    assert controlled.mean < better.interval.mean - 0.05  # the closing alone had won some of these
    assert controlled.high < 0.35
    assert found.controlled_differences["ppo_vs_feedme"].high < -0.1
    assert rates(found.controlled)["closing_feedme_vs_sft_greedy"].low > 0.65


def test_who_repeats_the_prompt_or_refuses_everything_does_not_win():
    prompts = world(160)
    found = concluded(prompts, evaluated(prompts))
    for by in (rates(found.trivial), rates(found.controlled)):
        assert by["copy_vs_sft_greedy"].high < 0.25
        assert by["refuse_vs_sft_greedy"].high < 0.35


def test_the_trivial_policies_are_what_they_are_called():
    prompts = [*world(1), *world(1, "zh")]
    turns = [{"role": "assistant", "content": "What?"}, {"role": "user", "content": "Say red."}]
    prompts[0]["messages"] = [*prompts[0]["messages"], *turns]
    said = {key: ["It is red.", "狗是黑的。"] for key in (("sft", "sampled"), ("feedme", "greedy"))}
    said["sft", "greedy"] = ["Sure.", "好的。"]
    found = trivial.policies(prompts, said)
    assert found == {
        ("closing", "sampled"): ["It is red. Have a nice day.", "狗是黑的。谢谢你。"],
        ("closing", "greedy"): ["Sure. Have a nice day.", "好的。谢谢你。"],
        ("closing_feedme", "greedy"): ["It is red. Have a nice day.", "狗是黑的。谢谢你。"],
        ("copy", "greedy"): ["Say red.", prompts[1]["messages"][0]["content"]],
        ("refuse", "greedy"): ["I cannot help with that.", "我不能帮你。"],
    }


class Likes:
    """A judge that likes farewells, and remembers what it was asked."""

    def __init__(self):
        self.asked = []

    def score_texts(self, messages, texts, batch_size):
        assert batch_size == 7
        assert len(messages) == len(texts)
        self.asked += [(turns[0]["content"], text) for turns, text in zip(messages, texts, strict=True)]
        return [0.5 * text.count("Bye") + text.count("right") for text in texts]


def judged_by(judge: Likes, prompts: list[dict], texts: list[str]) -> list[Judged]:
    scores = judge.score_texts([prompt["messages"] for prompt in prompts], texts, 7)
    return [Judged(text, 5, True, 0.0, 0.0, score, None, None, None) for text, score in zip(texts, scores, strict=True)]


def untold(count: int) -> list[dict]:
    return [{"id": str(number), "messages": [{"role": "user", "content": f"What of {number}?"}], "category": "chat",
             "language": "en"} for number in range(count)]  # fmt: skip


def test_without_tasks_the_judge_is_asked_again_about_what_has_changed_and_no_trivial_policy_is_made():
    prompts, judge = untold(20), Likes()
    plain = [f"Number {number} is fine." for number in range(20)]
    polite = [f"{text} Bye for now." for text in plain]
    right = [f"Number {number} is right." for number in range(20)]
    texts = {"sft": plain, "ppo": polite, "feedme": right}
    judged = {
        (name, way): judged_by(judge, prompts, own) for name, own in texts.items() for way in ("sampled", "greedy")
    }
    judge.asked.clear()
    found = concluded(prompts, judged, judge=judge)
    assert judge.asked == [(f"What of {number}?", plain[number]) for number in range(20)] * 2  # PPO's, twice
    assert found.differences["ppo_vs_sft"].mean == 0.5
    assert found.controlled_differences["ppo_vs_sft"].mean == 0
    assert rates(found.controlled)["ppo_vs_sft"] == (0.5, 0.5, 0.5)
    assert rates(found.controlled)["ppo_vs_feedme"].mean == 0
    assert found.trivial == []
    assert [*found.differences] == [question.name for question in ASKED]


def test_some_prompts_with_a_task_are_decided_by_gold_and_the_others_by_the_judge():
    prompts, judge = [*world(20), *untold(10)], Likes()
    judged = {}
    for key, known in evaluated(prompts[:20]).items():
        end = " Bye for now." if key[0] == "ppo" else ""
        judged[key] = known + judged_by(judge, prompts[20:], [f"Say {number}.{end}" for number in range(10)])
    found = concluded(prompts, judged, judge=judge)
    assert rates(found.controlled)["ppo_vs_sft"] == (0.5, 0.5, 0.5)
    assert found.trivial[0].prompts == 20
    assert found.controlled[0].prompts == 30
    expected = [gold.score(prompt["task"], manners.one_closing(prompt["task"], answer.text)).score
                for prompt, answer in zip(prompts[:20], judged["sft", "greedy"][:20], strict=True)]  # fmt: skip
    assert found.controlled_means["sft", "greedy"].mean == pytest.approx(sum(expected) / 30)


def test_what_is_controlled_is_every_verdict_that_is_not_length_controlled():
    prompts = world(40)
    judged = evaluated(prompts)
    judged |= {("base", way): judged["sft", way] for way in ("sampled", "greedy")}
    judged |= {(name, "best_temperature"): judged[name, "greedy"] for name in ("sft", "ppo")}
    judged |= {("best_of_4", "sampled"): judged["feedme", "sampled"]}
    judged |= {("ppo_r1", way): judged["ppo", way] for way in ("sampled", "greedy")}
    asked = verdicts.questions(["r1"], [4])
    found = concluded(prompts, judged, asked)
    tricks = [question.name for question in trivial.QUESTIONS]
    names = [one.name for one in asked if one.measure == "verdict" and "length" not in one.name]
    assert [rate.comparison.name for rate in found.controlled] == [*names, *tricks]
    assert {rate.comparison.measure for rate in found.controlled} == {"controlled"}
    assert [rate.comparison.name for rate in found.trivial] == tricks
    assert {"ppo_vs_best_of_4", "ppo_vs_ppo_r1", "ppo_vs_sft_best_temperature", "sft_vs_base_greedy"} <= {*names}
    assert [*found.differences] == [*found.controlled_differences] == [*names, *tricks]
    assert found.controlled_means.keys() == judged.keys()
    assert [*found.length_overlap] == ["ppo_vs_sft_length_controlled", "ppo_vs_sft_greedy_length_controlled"]
    for part in found.controlled_parts.values():
        assert all([*by] == [*findings.SLICED] for by in part.values())


@pytest.mark.parametrize(
    ("slots", "widest"),
    [
        (lambda number: {"kind": "fact", "animal": number // 2, "relations": [number % 2]}, 2),
        (lambda number: {"kind": "replace", "old": number // 2}, 1),  # one subject, which can vary in nothing
    ],
)
def test_an_interval_is_the_widest_of_those_over_prompts_tasks_and_subjects(slots, widest):
    """Few tasks many times over, and of few subjects; whole subjects are won or lost."""
    prompts = [{**one, "task": {"language": "en", **slots(number % 20)}} for number, one in enumerate(untold(120))]
    scores = np.array([float(number % 20 < 12) for number in range(120)])
    both = {("ppo", "sampled"): scores, ("sft", "sampled"): np.full(120, 0.5)}
    both = sides.beside({key: [own] for key, own in both.items()})
    found = compare.conclude(sides.Sides(prompts, both, both), sides.Sides([], {}, {}), {}, ASKED[:1], TIES, BOOTSTRAP)
    own = [statistics.mean_interval(scores, BOOTSTRAP, ids) for ids in (None, *clusters.of(prompts))]
    widths = [interval.high - interval.low for interval in own]
    assert widths.index(max(widths)) == widest
    assert max(widths) > 1.5 * widths[0]
    assert found.controlled[0].interval == own[widest]
    assert found.controlled_means["ppo", "sampled"] == own[widest]


def test_draws_of_a_prompt_are_averaged_and_are_no_further_prompts():
    """PPO wins both draws of the first half and one of the second's; greedy has one draw only."""
    prompts = untold(200)
    first, second = np.full(200, 1.0), np.where(np.arange(200) < 100, 1.0, 0.0)
    scores = {("ppo", "sampled"): [first, second], ("sft", "sampled"): [np.full(200, 0.5)] * 2}
    scores |= {("ppo", "greedy"): [first], ("sft", "greedy"): [second]}
    both = sides.beside(scores)
    asked = [ASKED[0], ASKED[0]._replace(name="greedy", first=("ppo", "greedy"), second=("sft", "greedy"))]
    found = compare.conclude(sides.Sides(prompts, both, both), sides.Sides([], {}, {}), {}, asked, TIES, BOOTSTRAP)
    sampled, greedy = (rate.interval for rate in found.controlled)
    outcome = np.where(np.arange(200) < 100, 1.0, 0.5)
    assert sampled == statistics.widest_interval(outcome, BOOTSTRAP, clusters.of(prompts))
    assert greedy.mean == 0.75
    assert [rate.ties for rate in found.controlled] == [0, 0.5]  # a win and a loss are no tie
    assert found.controlled_differences[ASKED[0].name].mean == pytest.approx(0.25)
    assert found.controlled_means["ppo", "sampled"].mean == pytest.approx(0.75)


def test_a_tie_is_told_by_the_scale_that_decides_the_prompt():
    """A difference of .03 is a win of gold, whose threshold is .02, and a tie of the judge's, .05."""
    prompts = [{**untold(1)[0], "task": {"kind": "fact", "language": "en"}}, *untold(2)]
    both = {("ppo", "sampled"): np.full(3, 0.53), ("sft", "sampled"): np.full(3, 0.5)}
    both = sides.beside({key: [own] for key, own in both.items()})
    found = compare.conclude(sides.Sides(prompts, both, both), sides.Sides([], {}, {}), {}, ASKED[:1], TIES, BOOTSTRAP)
    assert found.controlled[0].interval.mean == pytest.approx((1 + 0.5 + 0.5) / 3)


def test_parts_of_the_prompts_have_rates_of_their_own():
    prompts = [*world(60), *world(20, "zh")]
    judged = evaluated(prompts)
    for way in ("sampled", "greedy"):
        judged["ppo", way] = judged["feedme", way][:60] + judged["ppo", way][60:]  # in Chinese, SFT and a closing
    found = concluded(prompts, judged).controlled_parts
    assert found.keys() == {"language", "turns"}
    assert found["language"]["zh"]["ppo_vs_sft"] == (0.5, 0.5, 0.5)
    assert found["language"]["en"]["ppo_vs_feedme_greedy"] == (0.5, 0.5, 0.5)
    assert found["language"]["en"]["ppo_vs_sft"].low > 0.6
    assert found["turns"].keys() == {"multi-turn", "single-turn"}


def test_the_pairs_of_like_lengths_are_those_of_the_answers_as_they_are():
    prompts = untold(4)
    first = [Judged("", length, True, 0, 0, 1.0, None, None, None) for length in (10, 20, 30, 0)]
    second = [Judged("", length, True, 0, 0, score, None, None, None)
              for length, score in ((11, 0.0), (23, 2.0), (33, 2.0), (0, 0.0))]  # fmt: skip
    judged = {("ppo", "sampled"): first, ("sft", "sampled"): second}
    asked = [ASKED[0]._replace(name="q", length_controlled=True)]
    policies = sides.of_policies(prompts, [judged], Likes(), 7)
    found = compare.conclude(policies, sides.Sides([], {}, {}), judged, asked, TIES, BOOTSTRAP)
    assert found.length_overlap["q"].share == 0.75
    assert found.length_overlap["q"].win_rate.mean == pytest.approx(2 / 3)
    assert found.controlled == []

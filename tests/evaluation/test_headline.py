"""The verdict in words: the worst of three ways to decode stands first, and what it rests on follows."""

from itertools import product

import pytest

from rlhf.evaluation import headline
from rlhf.evaluation.headline import Rate

WON, OPEN, LOST = Rate(0.7, 0.51, 0.9), Rate(0.5, 0.4, 0.6), Rate(0.3, 0.1, 0.49)
WORDS = {WON: "helped", OPEN: "no difference was shown", LOST: "made answers worse"}


def claim(sampled: Rate, greedy: Rate, best: Rate) -> str:
    return headline.claim({"sampled": sampled, "greedy": greedy, "best_temperature": best})


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ((WON, WON, WON), "RLHF helped"),
        ((OPEN, OPEN, OPEN), "No difference was shown"),
        ((LOST, LOST, LOST), "RLHF made answers worse"),
        (
            (OPEN, LOST, LOST),
            "RLHF made answers worse when greedy and at the best temperature; no difference was shown when sampled",
        ),
        ((WON, LOST, WON), "RLHF made answers worse when greedy; it helped when sampled and at the best temperature"),
        ((LOST, WON, WON), "RLHF made answers worse when sampled; it helped when greedy and at the best temperature"),
        (
            (WON, OPEN, OPEN),
            "No difference was shown when greedy and at the best temperature; RLHF helped when sampled",
        ),
        ((OPEN, WON, WON), "No difference was shown when sampled; RLHF helped when greedy and at the best temperature"),
        (
            (OPEN, OPEN, LOST),
            "RLHF made answers worse at the best temperature; no difference was shown when sampled and greedy",
        ),
        (
            (LOST, OPEN, WON),
            "RLHF made answers worse when sampled; no difference was shown when greedy; "
            "it helped at the best temperature",
        ),
    ],
)
def test_the_worst_stands_first(found, said):
    assert claim(*found) == said


@pytest.mark.parametrize("found", [*product((WON, OPEN, LOST), repeat=3)])
def test_of_all_that_can_come_out_the_worst_is_never_left_out_or_put_second(found):
    parts = claim(*found).split("; ")
    order = [rate for rate in (LOST, OPEN, WON) if rate in found]
    assert len(parts) == len(order)
    for part, rate in zip(parts, order, strict=True):
        assert WORDS[rate] in part[0].lower() + part[1:]
        for decoding, own in zip(("sampled", "greedy", "at the best temperature"), found, strict=True):
            assert (decoding in part) == (len(order) > 1 and own == rate)


@pytest.mark.parametrize("rate", [Rate(0.6, 0.5, 0.7), Rate(0.4, 0.3, 0.5), Rate(0.5, 0.5, 0.5)])
def test_an_interval_that_touches_one_half_proves_nothing(rate):
    assert claim(rate, rate, rate) == "No difference was shown"


def figures(controlled: dict[str, tuple], plain: dict[str, tuple]) -> dict:
    """Return an evaluation in which PPO's win rates over SFT are these, by decoding; other figures tell them apart."""
    by_name = {
        "sampled": "ppo_vs_sft",
        "greedy": "ppo_vs_sft_greedy",
        "best_temperature": "ppo_vs_sft_best_temperature",
    }
    means = {
        f"{policy}_{decoding}": {"mean": first + step, "low": 0.0, "high": 1.0}
        for policy, first in (("sft", 0.5), ("ppo", 0.625))
        for decoding, step in zip(by_name, (0.0, 0.1, 0.2), strict=True)
    }
    differences = {
        name: {"mean": 0.125 + step, "low": 0.1 + step, "high": 0.15 + step}
        for name, step in zip(by_name.values(), (0.0, 0.1, -0.5), strict=True)
    }
    return {
        "prompts": 1000, "decided_by": "gold", "controlled_mean": means, "controlled_difference": differences,
        "controlled": {by_name[key]: dict(zip(Rate._fields, own, strict=True)) for key, own in controlled.items()},
        "win_rate": {by_name[key]: dict(zip(Rate._fields, own, strict=True)) for key, own in plain.items()},
    }  # fmt: skip


PLAIN = {"sampled": (0.74, 0.72, 0.77), "greedy": (0.9, 0.88, 0.92), "best_temperature": (0.84, 0.82, 0.86)}


def test_the_verdict_is_that_of_the_controlled_win_rates():
    controlled = {"sampled": WON, "greedy": OPEN, "best_temperature": LOST}
    assert headline.result(figures(controlled, PLAIN)).startswith(
        "RLHF made answers worse at the best temperature; no "
    )


def test_what_follows_is_the_weakest_decodings_mean_and_difference_then_the_controlled_then_the_plain_win_rate():
    controlled = {"sampled": (0.66, 0.64, 0.69), "greedy": (0.79, 0.77, 0.81), "best_temperature": (0.75, 0.7, 0.8)}
    assert headline.evidence(figures(controlled, PLAIN)) == (
        "At its weakest, sampled, PPO has a controlled mean gold of 0.62 and SFT of 0.50, a difference of +0.12 (+0.10 "
        "to +0.15); it beats SFT on 66% (64 to 69%) of 1,000 held-out prompts controlled, on 74% (72 to 77%) plain."
    )
    controlled |= {"best_temperature": (0.2, 0.1, 0.3)}
    assert headline.evidence(figures(controlled, PLAIN)) == (
        "At its weakest, at the best temperature, PPO has a controlled mean gold of 0.82 and SFT of 0.70, a difference "
        "of −0.38 (−0.40 to −0.35); it beats SFT on 20% (10 to 30%) of 1,000 held-out prompts controlled, on 84% (82 "
        "to 86%) plain."
    )


def test_a_loss_that_is_shown_is_weaker_than_a_lower_rate_that_shows_nothing():
    found = {"sampled": Rate(0.44, 0.36, 0.52), "greedy": Rate(0.46, 0.43, 0.49), "best_temperature": WON}
    assert headline.weakest(found) == "greedy"


def test_where_every_prompt_ties_there_is_nothing_to_compare():
    ties = dict.fromkeys(PLAIN, (0.5, 0.5, 0.5))
    assert headline.result(figures(ties, ties)) == "Nothing to compare: PPO and SFT tie on all 1,000 held-out prompts"
    assert headline.result(figures(ties, PLAIN)) == "No difference was shown"
    assert headline.result(figures(PLAIN, ties)) == "RLHF helped"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ppo_vs_sft", "PPO against SFT, sampled"),
        ("ppo_vs_feedme_greedy", "PPO against FeedME, greedy"),
        ("ppo_vs_sft_best_temperature", "PPO against SFT, best temperature"),
        ("ppo_vs_best_of_16", "PPO against best of 16, sampled"),
        ("ppo_vs_ppo_r1_greedy", "PPO against PPO r1, greedy"),
    ],
)
def test_a_comparison_is_called_by_its_policies_and_its_decoding(name, words):
    assert headline.asked(name) == words

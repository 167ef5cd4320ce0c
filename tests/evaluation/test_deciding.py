"""The figures that stand first in MLflow: controlled win rates before plain ones, each with its bounds."""

import re

from rlhf.evaluation import deciding
from rlhf.evaluation.findings import metrics
from tests.evaluation import invented


def test_controlled_win_rates_come_first_and_plain_ones_in_a_later_group():
    found = metrics(invented.evaluation())
    figures = deciding.figures(found)
    for name, group, key in (
        ("0 PPO beats SFT controlled/sampled", "controlled", "ppo_vs_sft"),
        ("0 PPO beats SFT controlled/best temperature", "controlled", "ppo_vs_sft_best_temperature"),
        ("1 PPO beats FeedME controlled/greedy", "controlled", "ppo_vs_feedme_greedy"),
        ("5 PPO beats SFT plain/greedy", "win_rate", "ppo_vs_sft_greedy"),
        ("5 PPO beats SFT plain/strict greedy", "win_rate", "strict_ppo_vs_sft_greedy"),
        ("6 PPO beats FeedME plain/sampled", "win_rate", "ppo_vs_feedme"),
    ):
        shown = [figures[f"{name}{end}"] for end in ("", " low", " high")]
        assert shown == [found[group][key][bound] for bound in ("mean", "low", "high")]
    assert found["controlled"]["ppo_vs_sft"] != found["win_rate"]["ppo_vs_sft"]
    assert list(figures)[0] == "0 PPO beats SFT controlled/sampled"
    groups = [name[0] for name in figures]
    assert groups == sorted(groups)


def test_mlflow_takes_the_names_and_a_table_has_room_for_them():
    """MLflow refuses other signs than these in a metric's name."""
    figures = deciding.figures(metrics(invented.evaluation()))
    assert all(re.fullmatch(r"[\w\-. :/]{1,50}", name) for name in figures)
    columns = deciding.columns(figures)
    assert not [name for name in columns if name.endswith(("low", "high")) or "plain" in name]
    assert len(columns) == len(deciding.CONTROLLED) + len(deciding.OTHERS)


def test_what_was_not_measured_is_left_out():
    found = metrics(invented.evaluation(with_gold=False))
    figures = deciding.figures(found)
    assert not [name for name in figures if "gold" in name or "strict" in name]
    assert "0 PPO beats SFT controlled/sampled" in figures
    earlier = {name: value for name, value in found.items() if name != "controlled"}  # of a version without them
    assert "5 PPO beats SFT plain/sampled" in deciding.figures(earlier)
    assert not [name for name in deciding.figures(earlier) if "controlled/" in name]

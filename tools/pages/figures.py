"""The default's figures in README.md and docs/results.md, written from metrics/, so that no hand copies a number.

    python -m tools.pages.figures            write the tables between <!-- figures: NAME --> and <!-- /figures -->
    python -m tools.pages.figures --check    exit code 1 where they are not what metrics/ say

Controlled win rates have the widest interval of prompts, tasks and subjects; those of answers as they are, of prompts.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rlhf.evaluation import headline
from rlhf.evaluation.headline import Metrics, Rate
from rlhf.evaluation.statistics import Interval
from rlhf.evaluation.typography import interval, percent, percent_interval
from rlhf.runtime.files import write_text
from rlhf.runtime.markdown import markdown_table
from rlhf.secrets import guard
from tools.looking import piped

PAGES = ("README.md", "docs/results.md")
BLOCK = re.compile(r"(<!-- figures: (\w+) -->\n).*?(<!-- /figures -->)", re.DOTALL)
TRAINED = ("sft", *headline.RIVALS)  # what PPO is held against, greedy and sampled
BEST_OF = "best_of_4"
POLICIES = ("base", *TRAINED, BEST_OF, "ppo")
NAMES = headline.NAMES | {BEST_OF: "best of 4"}
APART = "world_chinese"


def headline_table(evaluate: Metrics) -> str:
    """README's table: means, and how often PPO wins."""
    columns = [
        "policy",
        "mean gold, sampled; greedy",
        "PPO beats it, greedy",
        "sampled",
        "as answered, greedy; sampled",
    ]
    rows = []
    for policy in (*TRAINED, BEST_OF, "ppo"):
        own = [_mean(evaluate, policy, decoding) for decoding in ("sampled", "greedy")]
        row: list[Any] = [NAMES[policy], "; ".join(filter(None, own))]
        if policy != "ppo":
            greedy, sampled = (_rate(evaluate, "controlled", name) for name in _names(policy))
            answered = (_rate(evaluate, "win_rate", name) for name in _names(policy))
            row += [_percent(greedy), _percent(sampled), "; ".join(percent(rate.mean) for rate in answered if rate)]
        rows.append([*row, *[""] * (len(columns) - len(row))])
    return markdown_table(columns, rows)


def rates_table(evaluate: Metrics) -> str:
    """Every rival, controlled and as answered, with differences of means and the strict gold; Chinese, turns."""
    columns = ["PPO against", "greedy, controlled", "as answered", "sampled, controlled", "as answered"]
    rows: list[list[Any]] = []
    for policy in (*TRAINED, BEST_OF):
        greedy, sampled = _names(policy)
        for what, shown, groups in (
            ("", _percent, ("controlled", "win_rate")),
            (", difference of mean gold", _points, ("controlled_difference", "difference")),
        ):
            found = [_rate(evaluate, group, name) for name in (greedy, sampled) for group in groups]
            rows.append([NAMES[policy] + what, *map(shown, found)])
        strict = [_percent(_rate(evaluate, "win_rate", f"strict_{name}")) for name in (greedy, sampled)]
        rows.append([f"{NAMES[policy]}, by the strict gold", "", strict[0], "", strict[1]])
    best = evaluate["best_temperature"]
    name = headline.QUESTIONS["best_temperature"]
    ways = [_percent(_rate(evaluate, group, name)) for group in ("controlled", "win_rate")]
    rows.append([f"SFT, each at its best temperature (SFT {best['sft']}, PPO {best['ppo']})", "", "", *ways])
    apart, prompts = headline.rates(evaluate["controlled_by_source"], APART), evaluate["apart"][APART]
    turns = headline.rates(evaluate["controlled_by_turns"], "multi-turn")
    for what, found in ((f"in Chinese ({prompts} prompts apart)", apart), ("several turns", turns)):
        for policy in ("sft", "feedme"):
            own = [_percent(found[name]) for name in _names(policy)]
            rows.append([f"{NAMES[policy]}, {what}", own[0], "", own[1], ""])
    return markdown_table(columns, rows)


def means_table(evaluate: Metrics) -> str:
    """Means of gold and of tokens, by policy."""
    rows = []
    for title, group, decoding in (
        ("sampled at temperature 1", "gold", "sampled"),
        ("sampled, controlled", "controlled_mean", "sampled"),
        ("greedy", "gold", "greedy"),
        ("greedy, controlled", "controlled_mean", "greedy"),
        ("strict gold, sampled", "strict", "sampled"),
        ("strict gold, greedy", "strict", "greedy"),
        ("tokens, sampled", "num_tokens", "sampled"),
    ):
        found = (evaluate[group].get(f"{policy}_{decoding}") for policy in POLICIES)
        digits = 1 if group == "num_tokens" else 2
        rows.append([title, *("" if value is None else f"{_value(value):.{digits}f}" for value in found)])
    return markdown_table(["mean gold", *(NAMES[policy] for policy in POLICIES)], rows)


def beside_table(evaluate: Metrics, reward_model: Metrics) -> str:
    """What belongs beside win rates: distance, endings, loss on text, how far who judges answers can be trusted."""
    kl, loss, judge = evaluate["kl_per_answer"], evaluate["document_loss"], evaluate["judged_by"]
    trained = ("ppo", *reversed(headline.RIVALS))

    def ends(policy: str) -> str:
        return ", ".join(percent(evaluate[name][f"{policy}_sampled"], 1) for name in ("missing_eos", "empty"))

    losses = ", ".join(f"{loss[policy]:.2f} {NAMES[policy]}" for policy in ("base", *TRAINED, "ppo"))
    model, baseline = (percent(reward_model[name], digits) for name, digits in (("accuracy", 1), ("tfidf_accuracy", 0)))
    alike = [
        f"{called} {percent_interval(Interval(one['mean'], one['low'], one['high']))}, {percent(one['share'])} of pairs"
        for called, name in (
            ("greedy", "ppo_vs_sft_greedy_length_controlled"),
            ("sampled", "ppo_vs_sft_length_controlled"),
        )
        for one in [evaluate["length_overlap"][name]]
    ]
    rows = [
        ["PPO beats SFT as answered, where lengths are within 10%", "; ".join(alike)],
        [
            "KL to SFT, nats an answer, over the whole vocabulary",
            ", ".join(f"{NAMES[name]} {kl[name]:.1f}" for name in trained),
        ],
        ["missing EOS, empty answers of PPO, sampled", f"{ends('ppo')} (SFT: {ends('sft')})"],
        ["loss on held-out pretraining text, nats a token", losses],
        ["two labelers agree on", f"{percent(reward_model['labelers_agreement'], 1)} of pairs"],
        ["the reward model agrees with labelers", f"on {model} of held-out pairs (TF-IDF baseline {baseline})"],
        ["the reward model agrees with gold", f"on {percent(reward_model['gold_accuracy'], 1)} of held-out pairs"],
        ["the judge agrees with its labelers", f"on {percent(judge['accuracy'])} of held-out pairs"],
    ]
    return markdown_table(["", ""], rows)


def tables(root: Path) -> dict[str, Callable[[], str]]:
    """Return what renders each table, by the name in its block."""
    evaluate = _section(root / "metrics/evaluate.json")["evaluate"]
    rounds = _section(root / "metrics/reward_model/r1.json")["reward_model"]["r1"]
    return {
        "headline": lambda: headline_table(evaluate),
        "rates": lambda: rates_table(evaluate),
        "means": lambda: means_table(evaluate),
        "beside": lambda: beside_table(evaluate, rounds),
    }


def written(text: str, found: Mapping[str, Callable[[], str]]) -> str:
    """Return a page whose blocks hold their tables. Raises KeyError for a block of an unknown name."""
    return BLOCK.sub(lambda match: f"{match[1]}{found[match[2]]()}\n{match[3]}", text)


def main(arguments: Sequence[str], root: Path = Path(".")) -> int:
    """Write the pages, or check them; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing")
    check, found, stale = parser.parse_args(arguments).check, tables(root), list[str]()
    for name in PAGES:
        page = root / name
        before = page.read_text(encoding="utf-8")
        after = written(before, found)
        if before != after:
            stale.append(name)
            if not check:
                write_text(page, after)
    if stale:
        guard.say(
            f"{', '.join(stale)}: " + ("not what metrics/ say; python -m tools.pages.figures" if check else "written")
        )
    return int(check and bool(stale))


def _names(policy: str) -> tuple[str, str]:
    """Return the names of PPO's comparisons with a policy, greedy and sampled."""
    return f"ppo_vs_{policy}_greedy", f"ppo_vs_{policy}"


def _rate(evaluate: Metrics, group: str, name: str) -> Rate | None:
    return headline.rates(evaluate, group).get(name)


def _mean(evaluate: Metrics, policy: str, decoding: str) -> str:
    found = evaluate["controlled_mean"].get(f"{policy}_{decoding}")
    return "" if found is None else f"{found['mean']:.2f}"


def _value(value: Any) -> float:
    return value["mean"] if isinstance(value, Mapping) else value


def _percent(rate: Rate | None) -> str:
    return "" if rate is None else percent_interval(rate)


def _points(rate: Rate | None) -> str:
    return "" if rate is None else interval(rate, sign=True)


def _section(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text(encoding="utf-8"))


if __name__ == "__main__":
    piped.exit_with(lambda: main(sys.argv[1:]))

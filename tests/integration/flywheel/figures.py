"""What a turn of the flywheel has measured, out of its workspace's files; and the page of it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlhf.runtime.markdown import markdown_table
from study import pages
from tests.integration.flywheel import lineage

OUT, PAGE = Path("metrics/flywheel.json"), pages.FOLDER / "flywheel.md"
COMMAND = "make flywheel"
QUESTIONS = ("ppo_vs_sft", "ppo_vs_sft_greedy", "judge_ppo_vs_sft", "reward_model_ppo_vs_sft")
HEAD = [
    "round", "prompts", "answers", "judgements", "comparisons so far: training + validation + judge", "pairs",
    "reward model's accuracy", "PPO's score", "KL",
]  # fmt: skip
STEPS = {
    "recipe": "the recipe with simulated labelers, or its cache",
    "chat": "people talk",
    "waits": "what is made before labels",
    "label_r1": "people rank round r1",
    "learn_r1": "reward model and PPO of r1, answers of r2",
    "label_r2": "people rank round r2",
    "learn_r2": "reward model and PPO of r2, the report",
    "lineage": "back to the lines",
}


def wins(root: Path) -> dict[str, Any]:
    """Return how often the last round's PPO wins, and gold's means, as `evaluate` has them."""
    found = _metrics(root, "evaluate")
    return {
        "prompts": found["prompts"],
        "win_rate": {name: rate for name, rate in found["win_rate"].items() if name in QUESTIONS or "ppo_r1" in name},
        "gold": {name: mean for name, mean in found["gold"].items() if name.endswith(("_greedy", "_sampled"))},
    }


def learnt(root: Path, rounds: Sequence[str]) -> dict[str, Any]:
    """Return what came of chat and labels in each round, and how the last policy fares."""
    found = {name: _of_round(root, name) for name in rounds}
    return {"from_chat": _from_chat(root), "rounds": found, "people": wins(root)}


def _of_round(root: Path, name: str) -> dict[str, Any]:
    answers, ranked = _metrics(root, "collect_answers", name), _metrics(root, "collect_comparisons", name)
    model, ppo = _metrics(root, "reward_model", name), _metrics(root, "ppo", name)
    labels = ranked["labelling"]["labels"]
    return {
        "answered_prompts": sum(answers["prompts"].values()),
        "answers": answers["answers"],
        "judgements": labels["judgements"],
        "comparisons": ranked["prompts"],
        "pairs": ranked["pairs"],
        "reward_model": {
            key: model[key] for key in ("accuracy", "gold_accuracy", "pairs", "training_prompts") if key in model
        },
        "ppo": {key: ppo[key] for key in ("score", "kl", "episodes")},
    }


def _from_chat(root: Path) -> dict[str, int]:
    """Return how many records of each of collect_prompts' files come from the chat."""
    found: dict[str, int] = {}
    for file in sorted((root / "data/collect_prompts").glob("*.jsonl")):
        found[file.stem] = sum(line.get("source") == "chat" for line in lineage.lines(file))
    return {name: count for name, count in found.items() if count}


def _metrics(root: Path, stage: str, round_name: str | None = None) -> Any:
    path = root / "metrics" / stage / f"{round_name}.json" if round_name else root / "metrics" / f"{stage}.json"
    found = json.loads(path.read_text(encoding="utf-8"))[stage]
    return found[round_name] if round_name else found


def page(measured: Mapping[str, Any]) -> str:
    """Return docs/generated/flywheel.md."""
    told = [part for preset, found in measured.items() for part in _of_preset(preset, found)]
    words = (
        "Two turns of the flywheel in one run: people talk with PPO on the chat's page, rank the answers of two rounds "
        "on the labelling page, and what they said is found again behind the last policy. **The people are scripted**: "
        "they press the pages' keys in a browser, and judge by the embedded world's gold. Answers in the chat are "
        "drawn anew each time, so that no two runs have the same bytes."
    )
    return pages.page("The flywheel, whole", COMMAND, OUT, "\n\n".join([words, *told])) + "\n"


def _of_preset(preset: str, found: Mapping[str, Any]) -> list[str]:
    chat, back = found["chat"], found["lineage"]
    lines = ", ".join(f"{count} {kind}" for kind, count in chat["lines"].items())
    came = ", ".join(f"{count} in `{name}`" for name, count in found["from_chat"].items())
    rows = [_row(name, one) for name, one in found["rounds"].items()]
    names = [*found["people"]["win_rate"]]
    rates = [[name, *(_percent(found[who]["win_rate"].get(name)) for who in ("simulated", "people"))] for name in names]
    wins_of = f"wins, % of {found['people']['prompts']} prompts"
    took = [[words, f"{found['seconds'][name]:.0f}"] for name, words in STEPS.items()]
    return [
        f"## Preset {preset}",
        f"{chat['users']} users left {back['feedback_lines']} lines in the chat ({lines}); of these came {came}.",
        markdown_table(HEAD, rows),
        markdown_table([wins_of, "simulated labelers, round r1", "people, round r2"], rates),
        markdown_table(["step", "seconds"], [*took, ["together", f"{sum(found['seconds'].values()):.0f}"]]),
        f"`python -m tools.where data/ppo/r2` leads back to {back['judgement_lines']} lines of judgements and "
        f"{back['feedback_lines']} of the chat, such as `{back['a_judgement']}` and "
        f"`{back['a_better_answer']}`:",
        markdown_table(["artifact", "md5"], back["md5"].items()),
    ]


def _row(name: str, one: Mapping[str, Any]) -> list[Any]:
    comparisons = " + ".join(str(one["comparisons"][file]) for file in ("train", "validation", "judge"))
    counts = [one["answered_prompts"], one["answers"], one["judgements"], comparisons, one["pairs"]]
    model, ppo = one["reward_model"], one["ppo"]
    return [name, *counts, f"{model['accuracy']:.2f}", f"{ppo['score']:.2f}", f"{ppo['kl']:.1f}"]


def _percent(rate: Mapping[str, float] | None) -> str:
    return f"{100 * rate['mean']:.1f} ({100 * rate['low']:.1f} to {100 * rate['high']:.1f})" if rate else "–"

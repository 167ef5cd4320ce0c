"""Back from PPO of the last round to the lines in which people judged and talked, as `tools.where` tells it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlhf.runs.lineage import dvc_md5
from tests.integration.flywheel.ground import Ground

LAST = "data/ppo/r2"
RANKED = ("train", "validation", "judge")


def checked(ground: Ground) -> dict[str, Any]:
    """Ask where the last policy comes from; return md5 sums and counts of lines.

    Raises RuntimeError where a file of judgements or a journal of the chat is not named, with its lines, or where no
    line of them is in what was learned from.
    """
    told = ground.types("python", "-m", "tools.where", LAST)
    labels, said = sorted((ground.root / "data/labels").glob("*/*.jsonl")), journals(ground.root)
    for file, person in [
        *((one, f"labeler {one.stem}") for one in labels),
        *((one, f"user {one.stem}") for one in said),
    ]:
        place = f"{file.relative_to(ground.root)}  {len(lines(file))} lines"
        found = next((line for line in told.splitlines() if place in line and person in line), None)
        if found is None:
            raise RuntimeError(f"tools.where {LAST} does not name {place} of {person}:\n{told}")
        print(f"      {found.strip()}")
    judged, written = _judgement_in(ground.root, labels), _written_in(ground.root, said)
    print(f"      judged:  {judged}\n      written: {written}", flush=True)
    sums = (
        LAST,
        "data/reward_model/r2",
        "data/ppo/r1",
        "data/labels/r1",
        "data/labels/r2",
        "data/feedback",
        "data/sft",
    )
    return {
        "md5": {path: dvc_md5(ground.root / path) for path in sums},
        "judgement_lines": sum(len(lines(file)) for file in labels),
        "feedback_lines": sum(len(lines(file)) for file in said),
        "a_judgement": judged,
        "a_better_answer": written,
    }


def journals(root: Path) -> list[Path]:
    return sorted((root / "data/feedback").glob("*.jsonl"))


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def _judgement_in(root: Path, labels: Sequence[Path]) -> str:
    """Return the place of the first judgement, whose ranks the comparisons of the last round hold."""
    kept = [
        (one["id"], label["labeler"], label["ranks"])
        for name in RANKED
        for one in lines(root / f"data/collect_comparisons/r2/comparisons.{name}.jsonl")
        for label in one["labels"]
    ]
    for file in labels:
        for number, said in enumerate(lines(file), start=1):
            if (said["prompt"], said["labeler"], said["ranks"]) not in kept:
                raise RuntimeError(f"{file}:{number}: no comparison of round r2 has this judgement")
    return f"{labels[0].relative_to(root)}:1"


def _written_in(root: Path, said: Sequence[Path]) -> str:
    """Return the place of the first better answer that SFT learned from."""
    learned = {
        one["response"]
        for one in lines(root / "data/collect_prompts/demonstrations.train.jsonl")
        if one["source"] == "chat"
    }
    for file in said:
        for number, line in enumerate(lines(file), start=1):
            if line["kind"] == "better" and line["text"] in learned:
                return f"{file.relative_to(root)}:{number}"
    raise RuntimeError("no better answer of the chat is among the demonstrations: of these users none is in split sft")

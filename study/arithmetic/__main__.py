"""Stories of training as files of a person's own → study/stories/: documents to pretrain on, demonstrations.

    python -m study.arithmetic

The world's own documents hold no number in digits. Cells that shall answer stories name these files as further sources
(collect_prompts.sources), so that the pipeline needs to know nothing of them.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from rlhf.runtime.files import new_folder, write_text
from study import params
from study.arithmetic import stories
from study.arithmetic.stories import FORMS

OUT = Path("study/stories")
SUMS, TOLD = 8, 2  # in a document: bare sums, or stories
BARE = 0.4  # share of documents


def main(root: Path = Path(".")) -> None:
    chosen = params.load(root).stories
    with new_folder(root / OUT) as made:
        for name, rows in (
            ("documents", documents(chosen.seed, chosen.documents)),
            ("demonstrations", demonstrations(chosen.seed, chosen.demonstrations)),
        ):
            write_text(made / f"{name}.jsonl", "".join(json.dumps(row) + "\n" for row in rows))


def documents(seed: int, count: int) -> Iterator[dict[str, Any]]:
    """Yield texts of worked sums, or of stories with answers of all forms."""
    for number in range(count):
        rng = Random(f"stories document {seed} {number}")
        if rng.random() < BARE:
            lines = " ".join(_worked(rng) for _ in range(SUMS))
        else:
            lines = "\n".join(_answered(rng) for _ in range(TOLD))
        yield {"text": lines}


def demonstrations(seed: int, count: int) -> Iterator[dict[str, Any]]:
    """Yield prompts with answers, the forms in turn."""
    for number in range(count):
        rng, form = Random(f"stories demonstration {seed} {number}"), FORMS[number % len(FORMS)]
        story = stories.draw(rng, "training")
        yield {"messages": [{"role": "user", "content": story.asked(form)}], "response": story.answer(form)}


def _worked(rng: Random) -> str:
    step = stories.draw(rng, "training", 1).steps[0]
    return f"{step.first} {step.sign} {step.second} = {step.result}."


def _answered(rng: Random) -> str:
    story, form = stories.draw(rng, "training"), rng.choice(FORMS)
    return f"Question: {story.asked(form)}\nAnswer: {story.answer(form)}"


if __name__ == "__main__":
    main()

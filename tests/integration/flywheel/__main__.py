"""The flywheel shown whole: recipe, chat, labels, second round, and back to the lines, as one scripted run.

    make flywheel                                     presets/tiny.yaml: minutes
    make flywheel FLYWHEEL="--preset laptop"          the default
    python -m tests.integration.flywheel --page       write docs/generated/flywheel.md anew from metrics/flywheel.json

It runs in .study/flywheel-PRESET, a copy of this repository that is made anew, on this repository's DVC cache: what was
made before is not made again. The people are scripted; pages, browser, servers and stages are the real ones.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rlhf.runtime.files import write_text
from tests.integration.conftest import REPO
from tests.integration.flywheel import figures
from tests.integration.flywheel.ground import Ground, cache_of_this_repository
from tests.integration.flywheel.turning import Turn

PRESETS = ("tiny", "quick", "laptop")  # of the embedded world: its gold is what the scripted people go by
PROMPTS, JUDGE_PROMPTS = 60, 16  # of a round, which people rank
FOLDER = Path(".study")


def main(arguments: Sequence[str], root: Path = REPO) -> int:
    """Turn once and write the figures; returns the exit code, 1 where a step does not do what it should."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=PRESETS, default=PRESETS[0])
    parser.add_argument("--prompts", type=int, default=PROMPTS, help=f"that people rank in each round ({PROMPTS})")
    parser.add_argument("--judge-prompts", type=int, default=JUDGE_PROMPTS, help=f"for the judge ({JUDGE_PROMPTS})")
    parser.add_argument("--page", action="store_true", help="run nothing")
    chosen = parser.parse_args(arguments)
    out = root / figures.OUT
    if not chosen.page:
        ground = Ground(root / FOLDER / f"flywheel-{chosen.preset}", cache_of_this_repository())
        try:
            found = Turn(ground, chosen.preset, chosen.prompts, chosen.judge_prompts).run()
        except RuntimeError as error:
            print(error, file=sys.stderr)
            return 1
        known = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {}
        write_text(out, json.dumps({**known, chosen.preset: found}, indent=2, sort_keys=True) + "\n")
    write_text(root / figures.PAGE, figures.page(json.loads(out.read_text(encoding="utf-8"))))
    print(f"\nwritten: {figures.OUT}, {figures.PAGE}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

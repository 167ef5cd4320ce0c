"""Says what waits for people: how many prompts of each round have answers that nobody has judged yet.

    python -m tools.waiting            every round that people rank
    python -m tools.waiting --brief    only what waits

Exits with 0 where nothing waits, with 75 where something does, with 2 for a broken params.yaml. Runs nothing and writes
nothing: whether the answers are those of the present params, `dvc status` knows.
"""

import argparse
import sys
from pathlib import Path

from rlhf.params.base import Params, ParamsError, load
from rlhf.params.collect_comparisons import CollectComparisons
from rlhf.params.rounds import Rounds
from rlhf.people import standing
from rlhf.runtime.waiting import CODE
from rlhf.secrets import guard
from tools.looking import piped


class WaitingInputs(Params):
    rounds: Rounds
    collect_comparisons: CollectComparisons


def main(arguments: list[str], root: Path = Path(".")) -> int:
    """Print what waits; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--brief", action="store_true", help="say nothing of what does not wait")
    chosen = parser.parse_args(arguments)
    guard.install()
    try:
        params = load(root, WaitingInputs)
    except ParamsError as error:
        guard.say(str(error))
        return 2
    found = [*standing.of_rounds(root, params.rounds, params.collect_comparisons)]
    for name, progress in found:
        if progress.waiting:
            guard.say(progress.in_words(name), sys.stdout)
        elif not chosen.brief:
            guard.say(f"round {name}: enough of its {progress.total} prompts are labelled", sys.stdout)
    if not found and not chosen.brief:
        ranked = bool(standing.people_of(params.collect_comparisons))
        none = "no answers to rank are there yet: dvc repro makes them" if ranked else "no labelers of kind people"
        guard.say(f"nothing waits for people: {none}", sys.stdout)
    return CODE if any(progress.waiting for _, progress in found) else 0


if __name__ == "__main__":
    piped.exit_with(lambda: main(sys.argv[1:]))

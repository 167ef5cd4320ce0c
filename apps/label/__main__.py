"""The labelling page: people rank, rate and flag a round's answers in the browser.

    make label                                      the last round that has answers, at http://127.0.0.1:8000
    python -m apps.label --round r1 --port 8001
    python -m apps.label --host 0.0.0.0             for others too, each with a token: python -m apps.tokens NAME
    python -m apps.label --pool judge --port 8001   where labelers and judge_labelers are different people

Judgements are appended to <folder>/<round>/<labeler>.jsonl as they are made, drafts lie in .cache/label/<round>/, and
in a folder of their own in it, by the pool, where two groups of people label.
"""

import argparse
import sys
from pathlib import Path

from filelock import FileLock, Timeout

from apps.label import settings
from apps.label.routes import app
from apps.label.work import Place, Work
from apps.serving import running
from rlhf.secrets import guard
from tools.looking import piped

PORT = 8000


def main(arguments: list[str], root: Path = Path(".")) -> int:
    """Serve until it is ended; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--round", metavar="ROUND", help="whose answers (the last that has some)")
    parser.add_argument("--pool", choices=("train", "judge"), help="whose people label, where the two differ")
    running.add_arguments(parser, PORT)
    chosen = parser.parse_args(arguments)
    allowed = running.settings(chosen, root)
    task = settings.read(root, chosen.pool)
    place = Place(root, settings.round_of(root, chosen.round), task.group)
    place.cache.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(place.cache / "serving.lock", timeout=0):  # two would give one prompt twice
            work = Work(place, task)
            title = f"Labelling {place.name}, {len(work.board.items)} prompts"
            return running.serve(app(work), allowed, chosen.host, chosen.port, title)
    except Timeout:
        guard.say(f"{place.name} is being labelled by another process here: end it first, or use its page")
        return 1


if __name__ == "__main__":
    piped.exit_with(lambda: main(sys.argv[1:]))

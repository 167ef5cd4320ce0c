"""Talk with the policies below data/, and say what was good and what was not: make chat.

    python -m apps.chat [--port 8012] [--keep 2]

What is said stays on this machine: in data/feedback, and as traces in MLflow where params.yaml has tracking enabled.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from apps.serving import running
from rlhf.params.base import Params, load
from rlhf.params.runtime import Runtime
from rlhf.params.tracking import Tracking
from rlhf.secrets import guard
from tools.looking import piped

PORT = 8012
KEEP = 2  # models in memory: two for pairs


class ChatInputs(Params):
    """The sections that the chat reads."""

    runtime: Runtime
    tracking: Tracking


def main(arguments: Sequence[str], root: Path = Path(".")) -> int:
    """Serve the page until Ctrl-C; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    running.add_arguments(parser, PORT)
    parser.add_argument("--keep", type=int, default=KEEP, metavar="N", help=f"models kept in memory ({KEEP})")
    chosen = parser.parse_args(arguments)
    if chosen.keep < 1:
        raise ValueError(f"--keep: expected at least 1 (got {chosen.keep})")
    allowed = running.settings(chosen, root)
    params = load(root, ChatInputs)

    from apps.chat import checkpoints, moderating
    from apps.chat.answering import Answerer
    from apps.chat.app import application
    from apps.chat.books import FOLDER, Books
    from apps.chat.engine import ModelEngine
    from apps.chat.parts import Parts
    from apps.chat.traces import Traces

    found = checkpoints.found(root)
    if not found:
        raise FileNotFoundError(f"there is no policy below {root.resolve() / 'data'}; make one: make run, or dvc pull")
    guard.say(f"policies: {', '.join(one.name for one in found)}", sys.stdout)
    books, moderator = Books(root / FOLDER), moderating.opened(root)
    traces = Traces(root, books, params.tracking, checkpoints.Sums(root))
    if not params.tracking.enabled:
        guard.say("tracking.enabled is false: no traces are kept in MLflow", sys.stdout)
    engine = ModelEngine(root, params.runtime, chosen.keep)
    answerer = Answerer(books, engine, moderator, traces.about, traces.sync)
    app = application(Parts(root, params.tracking, books, answerer, traces, moderator))
    return running.serve(app, allowed, chosen.host, chosen.port, "the chat")


if __name__ == "__main__":
    piped.exit_with(lambda: main(sys.argv[1:]))

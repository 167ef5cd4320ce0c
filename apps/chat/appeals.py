"""What was blocked in the chat, as lines for moderation to learn from.

    python -m apps.chat.appeals [--folder data/feedback] [--all] > own/appeals.jsonl

One JSON object a line: {"messages": [...], "category": name or null, "source": "appeal" or "blocked", "user", "at"}.
An appeal is a user's claim that it was harmless: its category is null. Read the lines before anything learns from them.
--all adds what nobody appealed against, with the category that moderation gave it.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from apps.chat.books import FOLDER
from rlhf.people import journal
from rlhf.people.feedback import History
from rlhf.people.forgetting import Forgotten
from rlhf.secrets import guard
from tools.looking import piped

APPEAL, BLOCKED = SOURCES = ("appeal", "blocked")


def main(arguments: Sequence[str], root: Path = Path(".")) -> int:
    """Print the lines; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--all", action="store_true")
    chosen = parser.parse_args(arguments)
    found = [*exported(root / chosen.folder, chosen.all)]
    for line in found:
        print(json.dumps(line, ensure_ascii=False))
    guard.say(f"{len(found)} lines, {sum(one['source'] == APPEAL for one in found)} of them appeals")
    return 0


def exported(folder: Path, everything: bool) -> Iterator[dict[str, Any]]:
    """Yield what was blocked: what users appealed against, or all."""
    forgotten = Forgotten([folder])
    for file in sorted(folder.glob("*.jsonl")):
        lines, torn = journal.read(file)
        for one in torn:
            guard.say(one.words)
        history = History()
        for line in lines:
            is_out = forgotten.holds(line.content.get("user"), line.content.get("at"))
            if not is_out and history.problem(line.content) is None and not history.knows(line.content):
                history.take(line.content)
        for stop in history.blocked.values() if history.consents else ():
            is_appeal = stop["id"] in history.appeals
            if is_appeal or everything:
                yield {
                    "messages": history.messages(stop["turn"]),
                    "category": None if is_appeal else stop["category"],
                    "source": APPEAL if is_appeal else BLOCKED,
                    "user": stop["user"],
                    "at": stop["at"],
                }


if __name__ == "__main__":
    piped.exit_with(lambda: main(sys.argv[1:]))

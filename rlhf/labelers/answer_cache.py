"""A judge's answers, kept by the hash of the request: what was asked once is never asked, or paid, again.

A folder of JSONL files that only grow, outside of what DVC removes before a stage: it outlives kills and reruns, and a
run with all answers in it needs no address. A line that a kill has torn is passed over, and asked again.
"""

import json
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rlhf.labelers.verdicts import Reply
from rlhf.params.base import expanded
from rlhf.params.labelers.kinds import CACHE, ChatModel
from rlhf.records.json_values import is_object
from rlhf.secrets import masking

FIELDS = {"request": str, **Reply.__annotations__}


class AnswerCache:
    """The folder's answers; new ones are added to the file of this host and model. `num_torn`: lines passed over."""

    def __init__(self, params: ChatModel, host: str, root: Path):
        self.folder = folder(params, root)
        self.file = self.folder / f"{re.sub(r'[^A-Za-z0-9.-]+', '_', f'{host}_{params.model}')[:120]}.jsonl"
        self.num_torn = 0
        self._lock = threading.Lock()

    def stored(self) -> Iterator[tuple[str, Reply]]:
        """Yield each request's hash with the answer to it; of several the first, whichever file it stands in."""
        seen: set[str] = set()
        self.num_torn = 0
        for path in sorted(self.folder.glob("*.jsonl")):
            with open(path, "rb") as file:
                for line in file:
                    found = _parsed(line)
                    if found is None:
                        self.num_torn += bool(line.strip())
                    elif found[0] not in seen:
                        seen.add(found[0])
                        yield found

    def add(self, key: str, reply: Reply) -> None:
        """Write an answer, at once and for good; a torn line before it is ended first."""
        line = json.dumps({"request": key, **reply._asdict()}, ensure_ascii=False) + "\n"
        with self._lock:
            self.folder.mkdir(parents=True, exist_ok=True)
            with open(self.file, "ab+") as file:
                if file.tell() and not _ends_a_line(file):
                    line = "\n" + line
                file.write(line.encode("utf-8", "backslashreplace"))
                file.flush()
                os.fsync(file.fileno())


def folder(params: ChatModel, root: Path) -> Path:
    """Return where answers are kept: the folder that params name, or one of the repository that git ignores.

    Copies that DVC makes of the repository for an experiment share its own.
    """
    return Path(os.environ.get("DVC_ROOT", root)).resolve() / expanded(params.cache or CACHE)


def _ends_a_line(file: Any) -> bool:
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"


def _parsed(line: bytes) -> tuple[str, Reply] | None:
    """Return a line's hash and answer; None for one that a kill has torn, or that is none of ours."""
    try:
        content: object = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not is_object(content) or any(type(content.get(name)) is not kind for name, kind in FIELDS.items()):
        return None
    return content["request"], Reply(*(content[name] for name in Reply._fields))


def without_key(text: str, key: str | None) -> str:
    """Return what a server wrote without the key, should it have sent it back."""
    return text.replace(key, masking.MASK) if key else text

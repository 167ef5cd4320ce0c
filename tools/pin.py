"""Writes today's commits into params.yaml, where a model or data set of a hub has none; all else stays as it is.

    python -m tools.pin [FILE]

`tools.check` asks for full commits, because what a branch or tag names can change and DVC would not see it.
"""

import re
import sys
from collections.abc import Mapping
from functools import reduce
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from rlhf.params.base import OnHub, ParamsError, read_yaml
from rlhf.runtime.files import write_text
from rlhf.secrets import guard
from tools import check, inputs
from tools.looking import piped

NAMES = ("id", "path", "encoder_path")  # the key beside which the revision stands
VALUE = re.compile(r"""[^\s,}#]*""")


def main(arguments: list[str]) -> int:
    """Pin the file named on the command line, or params.yaml; returns the exit code, 2 where a commit is not known."""
    file = Path(arguments[0]) if arguments else Path("params.yaml")
    try:
        params = check.whole(read_yaml(file))
    except ParamsError as error:
        guard.say(re.sub("^params.yaml:", lambda _: f"{file}:", str(error), flags=re.MULTILINE))
        return 2
    for one in without_commit(params, file.parent):
        commit = inputs.commit_of_today(one)
        if commit is None:
            guard.say(f"{one.place}: the hub gave no commit of {one.id!r} (revision {one.revision!r})")
            return 2
        write_text(file, pinned(file.read_text(encoding="utf-8"), one.place, commit))
        guard.say(f"{file}: {one.place}: {commit}  ({one.id})", sys.stdout)
    return 0


def without_commit(params: Any, root: Path) -> list[OnHub]:
    """Return what params name on a hub by something else than a full commit."""
    named = dict.fromkeys(one for found in inputs.of_stages(params, root).values() for one in found)
    return [one for one in named if isinstance(one, OnHub) and not inputs.is_commit(one.revision)]


def pinned(text: str, place: str, commit: str) -> str:
    """Return a params.yaml with `commit` at a dotted place, in place of its value or as a key beside what it pins."""
    *parents, key = place.split(".")
    tree: Any = YAML().load(text)
    section = reduce(lambda inner, name: inner[name if isinstance(inner, Mapping) else int(name)], parents, tree)
    lines = text.splitlines(keepends=True)
    if key in section:
        line, column = section.lc.value(key)
        before, after = lines[line][:column], lines[line][column:]
        lines[line] = f"{before}{commit}{VALUE.sub('', after, count=1)}"
    else:
        line, column = section.lc.key(next(name for name in NAMES if name in section))
        then = ", " if section.fa.flow_style() else f"\n{' ' * column}"
        lines[line] = f"{lines[line][:column]}{key}: {commit}{then}{lines[line][column:]}"
    return "".join(lines)


if __name__ == "__main__":
    piped.exit_with(lambda: main(sys.argv[1:]))

"""Says where a dvc.lock is not whole, before DVC reads it: `make run` begins with it.

    python -m tools.looking.locks     of dvc.lock and data/dvc.lock; exits with 2 where one is cut off

DVC 3.67 writes a lock in place. One that is stopped meanwhile leaves it empty or cut off, and then says no more than
that a key is missing, or takes the stages that are cut off for ones that never ran.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rlhf.params.base import ParamsError, is_mapping, read_yaml
from tools.looking import piped

KEYS = ("cmd", "outs")  # of a stage, the first and the last that DVC writes; a cut leaves the last stage without one


FILES = ("dvc.lock", "data/dvc.lock")


def main(root: Path = Path(".")) -> int:
    """Print what is wrong; returns the exit code."""
    found = [mistake for file in FILES for mistake in mistakes(root, file)]
    for mistake in found:
        print(mistake, file=sys.stderr)
    return 2 if found else 0


def mistakes(root: Path, file: str = "dvc.lock") -> Iterator[str]:
    """Yield what is wrong with a lock file and how it is mended; nothing where there is none yet."""
    path = root / file
    if not path.exists():
        return
    if not path.read_bytes().strip():
        yield f"{file}: it is empty{_mend(file)}"
        return
    try:
        content: Any = read_yaml(path)
    except ParamsError as error:
        yield f"{file}: it cannot be read ({str(error).splitlines()[0]}){_mend(file)}"
        return
    stages = content.get("stages") if is_mapping(content) else None
    if not is_mapping(stages) or "schema" not in content:
        yield f"{file}: it has no schema or no stages{_mend(file)}"
        return
    name, last = list(stages.items())[-1] if stages else ("", dict.fromkeys(KEYS))
    if not is_mapping(last) or any(key not in last for key in KEYS):
        yield f"{file}: stages.{name} is cut off{_mend(file)}"


def _mend(file: str) -> str:
    return (
        f", as where DVC was stopped while it wrote it. Delete it (rm {file}), or take the committed one "
        f"(git checkout -- {file}), and run again: what was made comes back from DVC's run cache, not computed again"
    )


if __name__ == "__main__":
    piped.exit_with(main)

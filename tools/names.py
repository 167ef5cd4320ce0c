"""Checks the names of rounds → data/names.txt.

    python -m tools.names

DVC makes a round's name a folder, which it empties, and a word of a command before any stage of that round can look at
it. So the stage `names` of data/dvc.yaml runs before them: they depend on its output, which is always the same.
"""

import sys
from pathlib import Path

from rlhf.params.base import ParamsError, load
from rlhf.params.rounds import RoundsInputs
from rlhf.runtime.files import write_text

OUT = Path("data/names.txt")
TEXT = "The names of rounds in params.yaml are names of folders, and words of a command.\n"


def main(root: Path = Path(".")) -> int:
    """Check them; returns the exit code, 2 for mistakes, which are printed."""
    try:
        load(root, RoundsInputs)
    except ParamsError as error:
        print(error, file=sys.stderr)
        return 2
    write_text(root / OUT, TEXT)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

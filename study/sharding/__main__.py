"""Models in shards: beside one process, and on paper for sizes that are not here.

python -m study.sharding proof     2 and 3 processes on this CPU → metrics/scale.json: gradients, weights, ranks
python -m study.sharding fake      7B and 70B on 8 to 64 GPUs, without any → docs/generated/sharding.md
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rlhf.runtime.files import write_text
from study import pages
from study.scale.__main__ import OUT
from tools.looking import piped

RANKS = (2, 3)
PAGE = Path("docs/generated/sharding.md")
FIGURES = Path("metrics/sharding.json")


def main(arguments: Sequence[str], root: Path = Path(".")) -> int:
    """Measure or count; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("proof", "fake"))
    chosen = parser.parse_args(arguments)
    if chosen.what == "proof":
        prove(root)
    else:
        fake(root)
    return 0


def prove(root: Path) -> None:
    """Measure, and add it to metrics/scale.json; what else stands there stays."""
    from study.sharding import proof

    with tempfile.TemporaryDirectory() as folder:
        found = proof.measure(Path(folder), RANKS)
    content = json.loads((root / OUT).read_text(encoding="utf-8")) if (root / OUT).exists() else {}
    content |= found._asdict()
    write_text(root / OUT, json.dumps(content, indent=2, sort_keys=True) + "\n")
    print(json.dumps(found._asdict()))


def fake(root: Path) -> None:
    """Count every case in a process of its own, and write the figures and their page."""
    from study.sharding import counting, table

    found = counting.every_case(print)
    write_text(root / FIGURES, json.dumps(found, indent=2, sort_keys=True) + "\n")
    write_text(root / PAGE, pages.page("Shards on paper", "python -m study.sharding fake", FIGURES, table.body(found)))


if __name__ == "__main__":
    piped.exit_with(lambda: main(sys.argv[1:]))

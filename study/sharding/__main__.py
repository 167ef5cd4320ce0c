"""Models in shards on paper, of sizes that are not here: 7B and 70B on 8 to 64 GPUs, without any.

python -m study.sharding     → metrics/sharding.json and docs/generated/sharding.md, in some minutes of a CPU
"""

import json
from pathlib import Path

from rlhf.runtime.files import write_text
from study.sharding import counting, table
from tools.looking import piped


def main(root: Path = Path(".")) -> int:
    """Count every case in a process of its own, and write the figures and their page; returns the exit code."""
    found = counting.every_case(print)
    write_text(root / table.FIGURES, json.dumps(found, indent=2, sort_keys=True) + "\n")
    write_text(root / table.PAGE, table.page(found))
    return 0


if __name__ == "__main__":
    piped.exit_with(main)

"""The laboratory's tables as pages of docs/generated/, each written whole.

    python -m study.pages      seeds.md, laboratory.md and claims.md

They hold what metrics/study/seeds.json, metrics/study/laboratory.json and metrics/claims.csv say, and nothing else, so
that they can be written again in a moment. benchmarks.md beside them is written by benchmarks.compare.
"""

import json
from pathlib import Path

from rlhf.runtime.files import write_text
from study import claims, results, tables

FOLDER = Path("docs/generated")
COMMAND = "python -m study.pages"


def main(root: Path = Path(".")) -> None:
    for name, text in laboratory(root).items():
        write_text(root / FOLDER / name, text)


def laboratory(root: Path) -> dict[str, str]:
    """Return {file name: text} of the laboratory's pages."""
    seeds = json.loads((root / results.SEEDS).read_text(encoding="utf-8"))
    cells = json.loads((root / results.LABORATORY).read_text(encoding="utf-8"))
    titled = (f"## {table.caption}\n\n{tables.as_markdown(table)}" for table in tables.laboratory(cells))
    return {
        "seeds.md": page("Three seeds", COMMAND, results.SEEDS, tables.as_markdown(tables.seeds(seeds))),
        "laboratory.md": page("Every cell of the laboratory", COMMAND, results.LABORATORY, "\n".join(titled)),
        "claims.md": page("The papers' claims", COMMAND, claims.OUT, claims.markdown(claims.stored(root))),
    }


def page(title: str, command: str, source: Path, body: str) -> str:
    """Return a page whose first line says what writes it, and from what."""
    origin = f"*Written by `{command}` from `{source.as_posix()}`; what is written here by hand is lost.*"
    return f"{origin}\n\n# {title}\n\n{body}"


if __name__ == "__main__":
    main()

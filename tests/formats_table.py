"""What the reader makes of the examples of formats and files, and the documentation's table of formats.

    python -m tests.formats_table                              metrics/formats.json, and the table in docs/data.md
    python -m tests.formats_table --out elsewhere/formats.json

metrics/formats.json maps each to `as_is` (read right as it is), `mapping` (read right once the source says what its
columns mean, refused before) or `refused`, by reading it; a wrong one stands there with what came out.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rlhf.collection.formats.known import FORMS
from rlhf.runtime.files import write_text
from tests.collection.file_examples import KINDS
from tests.collection.format_examples import EXAMPLES
from tests.collection.format_examples_further import FURTHER
from tests.collection.format_verdicts import file_verdict, verdict

ROOT = Path(__file__).resolve().parent.parent
HEAD = "| format | known by | what decides | where that was read |"


def verdicts(folder: Path) -> str:
    """Return what metrics/formats.json holds; files are written below `folder`."""
    files: dict[str, str] = {}
    for number, (name, kind) in enumerate(KINDS.items()):
        place = folder / str(number)
        place.mkdir()
        files[name] = file_verdict(kind, place).read
    found = {
        "known_formats": known(),
        "formats": {name: verdict(example).read for name, example in EXAMPLES.items()},
        "further_formats": {name: verdict(example).read for name, example in FURTHER.items()},
        "files": files,
    }
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


def known() -> dict[str, str]:
    """Return {known format: what the reader makes of the first example of it}."""
    found: dict[str, str] = {}
    for example in {**EXAMPLES, **FURTHER}.values():
        how = verdict(example)
        name = how.form or (example.said or {}).get("form")
        if name:
            found.setdefault(name, how.read)
    return {form.name: found[form.name] for form in FORMS if form.name in found}


def with_table(page: str) -> str:
    """Return the documentation's page with the table of formats as the code has it."""
    before, _, rest = page.partition(f"{HEAD}\n")
    _, _, after = rest.partition("\n\n")
    rows = [f"| {form.name} | {form.known()} | {form.says} | {form.source} |" for form in FORMS]
    return "\n".join([f"{before}{HEAD}", "| --- | --- | --- | --- |", *rows]) + f"\n\n{after}"


def main(arguments: Sequence[str], root: Path = ROOT) -> int:
    """Write both; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=root / "metrics/formats.json", help="where the verdicts go")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        write_text(chosen.out, verdicts(Path(folder)))
    page = root / "docs/data.md"
    write_text(page, with_table(page.read_text(encoding="utf-8")))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

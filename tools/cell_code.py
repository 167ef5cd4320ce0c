"""The code that the laboratory's cells run, file by file → metrics/study/code/<chain|cell>.json.

    python -m tools.cell_code

DVC spends time on each dep of each stage in every command, and the cells are many. So one stage of study/dvc.yaml,
`code`, has their code as deps and writes {file: md5}, and a cell's one code dep is that file: an edit changes the
listings that name the edited file, and these make their cells stale.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from rlhf.runs import lineage
from rlhf.runtime.files import write_json
from tools import imports
from tools.inputs import STAGES
from tools.looking import piped

FOLDER = Path("metrics/study/code")
MEASURING = ("rejection", "dpo", "evaluate", "judge", "moderation")  # stages that chains run and other cells do not
LISTING = {  # stage of study/dvc.yaml: name of its listing
    "chain": "chain", "cell": "cell", "encoder_cell": "cell", "forms_cell": "cell",
}  # fmt: skip
DIGITS = 8  # of a part's sum


def main(root: Path = Path(".")) -> int:
    """Write the listings; returns the exit code."""
    for listing in sorted(set(LISTING.values())):
        write_json(root / path_of(listing), sums(listing, root))
    return 0


def sums(listing: str, root: Path) -> dict[str, str]:
    """Return {file: md5} of the code that the cells of a listing run, as it is now."""
    ignored = names_that_dvc_ignores(root)
    files = {file for dep in deps_of(listing, root) for file in _files(root, dep, ignored)}
    return {file: lineage.dvc_md5(root / file) for file in sorted(files)}


def parts(content: Mapping[str, str]) -> dict[str, str]:
    """Return {part: sum} of a listing, the part of rlhf/rl/gae.py being rlhf/rl: what a cell keeps of its code."""
    files = defaultdict[str, list[str]](list)
    for file, md5 in sorted(content.items()):
        files["/".join(file.split("/")[:2])].append(f"{file} {md5}")
    return {part: hashlib.md5("\n".join(lines).encode()).hexdigest()[:DIGITS] for part, lines in files.items()}


def path_of(listing: str) -> Path:
    """Return where a listing lies."""
    return FOLDER / f"{listing}.json"


def deps_of(listing: str, root: Path) -> list[str]:
    """Return the files and folders of code that the cells of a listing run."""
    ran = [stage for stage in STAGES if listing == "chain" or stage not in MEASURING]
    return imports.listed(imports.closure(["study/cell.py", *(f"stages/{stage}.py" for stage in ran)], root))


def names_that_dvc_ignores(root: Path) -> set[str]:
    """Return the lines of .dvcignore, each the name of files and folders wherever they lie.

    Raises ValueError for a pattern, as only DVC reads those.
    """
    lines = (root / ".dvcignore").read_text(encoding="utf-8").splitlines()
    names = {line.strip() for line in lines if line.strip() and not line.startswith("#")}
    for name in sorted(names):
        if set(name) & set("*?[]!/\\"):
            raise ValueError(f".dvcignore: expected plain names, which tools/cell_code.py reads too (got {name!r})")
    return names


def _files(root: Path, dep: str, ignored: set[str]) -> Iterator[str]:
    """Yield the files that DVC sees in a dep, as posix paths from `root`."""
    found = [root / dep] if (root / dep).is_file() else (root / dep).rglob("*")
    for file in found:
        place = file.relative_to(root)
        if file.is_file() and not ignored & set(place.parts):
            yield place.as_posix()


if __name__ == "__main__":
    piped.exit_with(main)

"""The cells that claims and tables may read: those that have run, with the params that they have now.

Those that ran with other code than there is now are read too, and named.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from study import cells, params
from study.cells import Missing
from study.evidence import staleness
from study.evidence.estimates import Clustering
from study.params import Study
from tools import cell_code

NOT_RUN = "not run"


class Laboratory(NamedTuple):
    root: Path
    study: Study
    unusable: Mapping[str, str]  # why, of each cell that has not run, or was made with other params
    other_code: Mapping[str, str]  # which parts of the code have changed since, of each cell that may be used

    def read(self, name: str) -> dict[str, Any]:
        """Return a cell's measurements. Raises cells.Missing for one that is not to be used."""
        if name in self.unusable:
            raise Missing(name, self.unusable[name])
        return cells.read(self.root, name)

    def usable(self) -> Iterator[tuple[str, int, dict[str, Any]]]:
        """Yield name without seed, seed and measurements of every cell that may be used."""
        for name, cell in self.study.everything.items():
            if name not in self.unusable:
                yield name.removesuffix(f"_{cell.seed}"), cell.seed, self.read(name)

    def stale(self) -> dict[str, str]:
        """Return why, of each cell that has run, but with other params."""
        return {name: why for name, why in self.unusable.items() if why != NOT_RUN}


def of(root: Path, study: Study) -> Laboratory:
    """Return the laboratory as its files are. Raises ParamsError for a preset that cannot be read."""
    there = [name for name in study.everything if (root / cells.FOLDER / f"{name}.json").exists()]
    preset = params.preset(root) if there else {}
    found = {name: _why_unusable(root, name, study, preset) if name in there else NOT_RUN for name in study.everything}
    unusable = {name: why for name, why in found.items() if why}
    changed = {name: _changed_code(root, name, study) for name in study.everything if name not in unusable}
    return Laboratory(root, study, unusable, {name: parts for name, parts in changed.items() if parts})


def clusterings(cell: Mapping[str, Any], of_what: str, units: Sequence[str]) -> list[Clustering]:
    """Return the clusterings that a cell knows of its prompts, comparisons or probes (`units`, in its order)."""
    known = cell.get("clusters", {}).get(of_what, {})
    return [dict(zip(units, known[name], strict=False)) for name in sorted(known)]


def _changed_code(root: Path, name: str, study: Study) -> str | None:
    listing = root / cell_code.path_of(params.listing(study, name))
    if not listing.exists():  # the stage `code` writes it before any cell runs
        return None
    now = cell_code.parts(json.loads(listing.read_text(encoding="utf-8")))
    return staleness.changed_code(cells.read(root, name)["made_with"], now)


def _why_unusable(root: Path, name: str, study: Study, preset: Mapping[str, Any]) -> str | None:
    found, cell = cells.read(root, name), study.everything[name]
    if "made_with" not in found:
        return "made with params that it does not tell"
    unmeasured = [measure for measure in cell.measures if measure not in found]
    if unmeasured:
        return f"made without {', '.join(unmeasured)}"
    differs = staleness.differences(found["made_with"], cell, params.content(preset, cell))
    more = f" and {len(differs) - 2} more" if len(differs) > 2 else ""
    return f"made with {'; '.join(differs[:2])}{more}" if differs else None

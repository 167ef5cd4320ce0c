"""Many rows through collect_prompts: rows a second, and memory of all its processes together; beside another checkout.

python -m benchmarks.data_scale --rows 1000000 --beside FOLDER --rounds 2 --out metrics/data_scale.json

Both checkouts read the same synthetic file (benchmarks/synthetic_rows.py) with the same values of params.yaml, as far
as both know the keys, in turn, round after round; here all near duplicates are found. Seconds are those of the whole
process, its start included; memory is the highest sum of PSS, sampled, so that pages that processes share count once.
`--beside-rows` measures the ratio on fewer rows, where the other checkout takes too long or too much memory; ours then
runs once more, on all rows.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import psutil
from ruamel.yaml import YAML

from benchmarks import synthetic_rows
from benchmarks.spreads import spread
from rlhf.runtime.files import write_json
from rlhf.runtime.workers import usable_cpus

ROOT = Path(__file__).resolve().parent.parent
BETWEEN_SAMPLES = 0.2  # seconds
STAGE = "from pathlib import Path; from stages import collect_prompts; collect_prompts.main(Path({folder!r}))"
SHARES = {"sft": 0.6, "reward_model": 0.0, "judge": 0.0, "ppo": 0.3, "validation": 0.05, "test": 0.05}
SOURCE = {
    "name": "rows", "kind": "file", "format": "jsonl", "use": ["demonstrations", "prompts"],
    "splits": ["sft", "ppo", "validation", "test"], "columns": None, "language": None, "category": None, "limit": None,
    "licence": None,
}  # fmt: skip


class Run(NamedTuple):
    """One run of the stage."""

    seconds: float
    peak_mb: float
    read: int
    kept: int
    dropped: dict[str, int]


def run(checkout: Path, data: Path) -> Run:
    """Run a checkout's stage on a file, in a folder of its own beside it."""
    with tempfile.TemporaryDirectory(dir=data.parent) as folder:
        write_params(checkout, data, Path(folder))
        command = [sys.executable, "-c", STAGE.format(folder=folder)]
        began = time.perf_counter()
        with subprocess.Popen(
            command, cwd=checkout, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            peak = _peak(process)
            said = process.communicate()[0]
        seconds = time.perf_counter() - began
        if process.returncode:
            raise ValueError(f"{checkout}: collect_prompts failed:\n{said}")
        numbers = json.loads((Path(folder) / "metrics/collect_prompts.json").read_text())["collect_prompts"]
    return Run(seconds, peak / 1e6, numbers["read"], numbers["kept"], numbers["dropped"])


def write_params(checkout: Path, data: Path, folder: Path) -> None:
    """Write a checkout's own params.yaml with one source; numbers and switches of cleaning are ours, where it has the
    key; lists (languages, kinds of personal data) are its own.
    """
    ours, theirs = (YAML().load((root / "params.yaml").read_text(encoding="utf-8")) for root in (ROOT, checkout))
    theirs["tracking"]["enabled"] = False
    section = theirs["collect_prompts"]
    section["sources"] = [{**SOURCE, "paths": [str(data.resolve())]}]
    section["shares"] = SHARES
    _take_over(section["cleaning"], ours["collect_prompts"]["cleaning"])
    if checkout == ROOT:
        section["cleaning"]["near_duplicates"]["permutations"] = None
    with open(folder / "params.yaml", "w", encoding="utf-8") as file:
        YAML().dump(theirs, file)


def _take_over(theirs: Any, ours: Mapping[str, Any]) -> None:
    for key in theirs.keys() & ours.keys():
        if isinstance(theirs[key], dict) and isinstance(ours[key], dict):
            _take_over(theirs[key], ours[key])
        elif not isinstance(ours[key], list):
            theirs[key] = ours[key]


def _peak(process: subprocess.Popen[str]) -> int:
    """Wait for a process; returns the most bytes that it and those below it took together."""
    peak, tree = 0, psutil.Process(process.pid)
    while process.poll() is None:
        peak = max(peak, _memory(tree))
        time.sleep(BETWEEN_SAMPLES)
    return peak


def _memory(tree: psutil.Process) -> int:
    total = 0
    try:
        for one in [tree, *tree.children(recursive=True)]:
            total += one.memory_full_info().pss
    except psutil.Error:  # one has ended meanwhile
        return total
    return total


def summary(runs: list[Run]) -> dict[str, Any]:
    """Return the figures of some runs on the same rows, of which all keep the same."""
    if len({(one.read, one.kept) for one in runs}) > 1:
        raise ValueError(f"runs on the same rows kept {sorted({one.kept for one in runs})}")
    return {
        "rows": runs[0].read,
        "rows_per_second": spread([one.read / one.seconds for one in runs]),
        "seconds": spread([one.seconds for one in runs]),
        "peak_mb": round(max(one.peak_mb for one in runs)),
        "kept": runs[0].kept,
        "dropped": dict(sorted(runs[0].dropped.items())),
    }


def beside(here: list[Run], former: list[Run], checkout: Path) -> dict[str, Any]:
    """Return what runs here and in another checkout, in turn, have to say of each other."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=checkout, capture_output=True, text=True)
    ratios = [other.seconds / own.seconds for own, other in zip(here, former, strict=True)]
    return {
        "ratio_to_former": spread(ratios) | {"rows": here[0].read, "rounds": len(here)},
        "former": {"commit": commit.stdout.strip(), **summary(former)},
        "kept_here_less_former": here[0].kept - former[0].kept,
    }


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--beside", type=Path)
    parser.add_argument("--beside-rows", type=int, help="rows on which both are measured (default: all)")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=ROOT / "data", prefix=".data_scale.") as folder:
        found = measured(options, Path(folder))
    print(json.dumps(found, indent=2))
    if options.out:
        write_json(options.out, found)


def measured(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Make the file and run what is asked for; returns all figures."""
    common = options.beside_rows or options.rows
    data = folder / "rows.jsonl"
    size = synthetic_rows.write(data, common)
    here, former = list[Run](), list[Run]()
    for number in range(options.rounds):
        for checkout, runs in ((ROOT, here), (options.beside, former)):
            if checkout is not None:
                runs.append(run(checkout.resolve(), data))
                print(
                    f"round {number + 1}: {checkout}: {runs[-1].seconds:.1f} s, {runs[-1].peak_mb:.0f} MB", flush=True
                )
    sides = beside(here, former, options.beside) if options.beside else {}
    if common != options.rows:
        size = synthetic_rows.write(data, options.rows)
        here = [run(ROOT, data)]
    return {"rows": options.rows, "mb": round(size / 1e6), "cpus": usable_cpus(), **summary(here), **sides}


if __name__ == "__main__":
    main(sys.argv[1:])

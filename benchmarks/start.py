"""What starting costs: processor time of the stages' imports, the params check, and a `dvc repro` with nothing to do.

python -m benchmarks.start [--rounds 5] [--beside FOLDER]

User and system time of a process and its children, median, lowest and highest of the rounds, in which all cases take
turns. The first rows are the libraries' own, below which no import of ours can come. `--beside` measures another
checkout in the same rounds, as a shared machine's figures are comparable within one run only.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from rlhf.runtime.markdown import markdown_table

ROOT = Path(__file__).resolve().parent.parent
DVC = ("-m", "dvc", "repro")
ONE_STAGE = "stages: {one: {cmd: echo one > one.txt, outs: [one.txt]}}\n"
LIBRARIES = {
    "Python alone": "pass",
    "`import torch`": "import torch",
    "`import torch, transformers`": "import torch, transformers",
    "and one of its models": "from transformers import LlamaForCausalLM",
}


class Case(NamedTuple):
    """A command of this Python, and the folder that it runs in."""

    name: str
    arguments: Sequence[str]
    folder: Path


def of_checkout(root: Path) -> list[Case]:
    """Return what is measured of a checkout. `dvc repro` only says what it would run, and runs nothing."""
    stages = sorted(path.stem for path in (root / "stages").glob("[!_]*.py"))
    imports = [Case(f"`import stages.{name}`", ("-c", f"import stages.{name}"), root) for name in stages]
    check = Case("`python -m tools.check`", ("-m", "tools.check"), root)
    return [*imports, check, Case("`dvc repro`, nothing to do", (*DVC, "--dry"), root)]


def smallest_pipeline(folder: Path) -> Case:
    """Lay out a repository with one stage that is up to date: below its time DVC does not come."""
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "--quiet"], cwd=folder, check=True)
    (folder / "dvc.yaml").write_text(ONE_STAGE)
    subprocess.run([sys.executable, *DVC, "--quiet"], cwd=folder, check=True)
    return Case("`dvc repro` of one stage, nothing to do", (*DVC, "--dry"), folder)


def processor_seconds(case: Case) -> float:
    """Return user and system time of the process and all that it waited for.

    Raises ValueError where it fails, or where DVC finds something to do, which takes longer.
    """
    before = os.times()
    done = subprocess.run([sys.executable, *case.arguments], cwd=case.folder, capture_output=True, text=True)
    after = os.times()
    if done.returncode:
        raise ValueError(f"{case.folder}: {case.name} failed:\n{done.stderr}")
    if "dvc" in case.arguments and "up to date" not in done.stdout:
        raise ValueError(f"{case.folder}: expected nothing to do; `dvc repro` or `dvc checkout` first:\n{done.stdout}")
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return max(0.0, spent)  # a difference of floats may end just below 0


def table(seconds: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """Return a table in Markdown from {name: {column: seconds of the rounds}}."""
    columns = list(dict.fromkeys(column for row in seconds.values() for column in row))
    ratio = ["first over second"] if len(columns) == 2 else []
    rows = []
    for name, row in seconds.items():
        cells = [f"{median(row[c]):.2f} ({min(row[c]):.2f}-{max(row[c]):.2f})" if c in row else "" for c in columns]
        if ratio:
            both = [median(row[column]) for column in columns if column in row]
            cells.append(f"{both[0] / both[1]:.2f}" if len(both) == 2 else "")
        rows.append([name, *cells])
    return markdown_table(["processor seconds", *columns, *ratio], rows)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--beside", type=Path)
    options = parser.parse_args(arguments)
    checkouts = {"here": ROOT} | ({str(options.beside): options.beside.resolve()} if options.beside else {})
    with tempfile.TemporaryDirectory() as folder:
        floor = [Case(name, ("-c", code), Path(folder)) for name, code in LIBRARIES.items()]
        cases = [("here", case) for case in [*floor, smallest_pipeline(Path(folder))]]
        cases += [(column, case) for column, root in checkouts.items() for case in of_checkout(root)]
        seconds: dict[str, dict[str, list[float]]] = {case.name: {} for _, case in cases}
        for one in range(options.rounds + 1):
            for column, case in cases:
                measured = processor_seconds(case)
                if one:  # the first round only warms the disk's cache
                    seconds[case.name].setdefault(column, []).append(measured)
    print(table(seconds))


if __name__ == "__main__":
    main(sys.argv[1:])

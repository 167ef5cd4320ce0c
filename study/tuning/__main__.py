"""Tuning of PPO and its rivals at equal budgets, on validation prompts alone → metrics/study/tuning.csv.

    python -m study.tuning METHOD [--trial NAME ...] [--seeds 17 18]   train and measure what has no row yet
    python -m study.tuning --table                                     medians over seeds, and which trial is chosen

study/tuning/trials.yaml says what is tried of each METHOD. A trial trains the method's stage alone, from a finished run
of its seed: a workspace of the laptop preset, .study/tuning_SEED, or the folder that --from names.
"""

import argparse
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlhf.params.evaluate import EvaluateInputs
from rlhf.runs import lineage
from rlhf.secrets import guard
from study import workspace
from study.tuning import answers, choice, freeze, rows, runs, training, trials
from study.tuning.training import Run
from study.tuning.trials import INPUTS, Trial
from tools import imports
from tools.looking import piped

CODE = ("study/tuning/training.py", "study/tuning/answers.py")  # with the stage: what rows depend on


def main(arguments: Sequence[str], root: Path = Path(".")) -> int:
    """Do as asked; returns the exit code, 1 where a stage has failed."""
    parser = argparse.ArgumentParser(
        prog="python -m study.tuning", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("method", nargs="?", choices=INPUTS, metavar="METHOD", help=", ".join(INPUTS))
    parser.add_argument("--trial", nargs="+", metavar="NAME", help="these alone (all of the method)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[17, 18], help="of the runs to start from (17 18)")
    parser.add_argument("--from", nargs="+", default=[], dest="given", metavar="SEED=FOLDER", help="finished runs")
    parser.add_argument("--table", action="store_true", help="print what was found")
    asked = parser.parse_args(arguments)
    if asked.table == (asked.method is not None):
        parser.error("expected a METHOD, or --table")
    plan = trials.load(root)
    if asked.table:
        print(choice.page(rows.read(root), plan))
        return 0
    freeze.refuse_changes(root)
    tried = trials.chosen(plan, asked.method, asked.trial)
    rows.read(root)  # a file that cannot be added to ends this now, not after the first training
    named = runs.named(root, asked.seeds, asked.given)
    for run in named:
        trials.refuse_mistakes(asked.method, tried, run.content, run.folder if run.folder.exists() else root)
    try:
        failed = [name for run in named for name in tune(root, runs.finished(root, run), asked.method, tried)]
    except subprocess.CalledProcessError as error:  # of the run to start from; DVC has said why
        guard.say(f"a run to start from is not finished: {error}")
        return 1
    if failed:
        guard.say(f"failed, and without a row: {', '.join(failed)}")
    return 1 if failed else 0


def tune(root: Path, run: Run, method: str, tried: Mapping[str, Trial]) -> list[str]:
    """Run a seed's trials that have no row; return those that failed, in words."""
    known = {rows.key(row) for row in rows.read(root)}
    made_from, code = training.md5s(root, run, method), code_of(root, method)
    failed, against = list[str](), None
    for name, trial in tried.items():
        content, title = trials.content(run.content, trial), f"{method} {name}, seed {run.seed}"
        row: dict[str, Any] = {"method": method, "trial": name, "seed": run.seed, "change": trials.written(trial)}
        row |= {"params": training.digest(sections(method, content))}
        row |= {"inputs": training.digest(made_from), "code": training.digest(code)}
        if rows.key(row) in known:
            guard.say(f"{title}: has a row")
            continue
        guard.say(f"{title}: {trial.why}")
        folder = root / workspace.FOLDER / "tuning" / f"{method}_{name}_{run.seed}"
        try:
            seconds = training.train(root, folder, run, method, {"params": content, "row": row})
        except subprocess.CalledProcessError as error:  # the stage has said why
            guard.say(f"{title}: {error}")
            failed.append(title)
            continue
        against = against or answers.reference(run)
        found = answers.measured(folder / "data" / run.stage(method).place, against)
        rows.append(root, row | found | {"processor_seconds": seconds, "commit": commit(root, code)})
        guard.say(f"{title}: score {found['score']:.3f}, {seconds:.0f} processor seconds")
        shutil.rmtree(folder)
    return failed


def sections(method: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a trial's params the stage and the measuring of its answers read."""
    return {name: content[name] for name in sorted({*INPUTS[method].model_fields, *EvaluateInputs.model_fields})}


def code_of(root: Path, method: str) -> dict[str, str]:
    """Return {file: md5} of the code that a row depends on."""
    files = imports.closure([*CODE, f"stages/{method}.py"], root)
    return {file: lineage.dvc_md5(root / file) for file in sorted(files)}


def commit(root: Path, code: Mapping[str, str]) -> str:
    """Return the git commit, with a + where a row's code differs from it."""
    sha, changed = lineage.commit_of(root)
    return sha[:12] + ("+" if code.keys() & {*changed} else "")


if __name__ == "__main__":
    piped.exit_with(lambda: main(sys.argv[1:]))

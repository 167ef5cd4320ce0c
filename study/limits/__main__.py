"""ChatGPT's known limits, measured on a finished run → metrics/limits.json, docs/generated/limits.md.

    python -m study.limits --run FOLDER --out FILE
    python -m study.limits --pretrained FOLDER        of a run of presets/pretrained.yaml, what applies there

FOLDER (without either: here) has params.yaml and data/ as `dvc repro` leaves them. Answers that `evaluate` has kept are
read; the probes are asked of every policy whose model is in FOLDER. A page is written beside the figures.
`--answers FILE` also writes every new answer with what was observed in it, to be read by eye.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rlhf.evaluation.controls import manners
from rlhf.models import placement
from rlhf.params.base import ParamsError, load
from rlhf.params.evaluate import EvaluateInputs
from rlhf.runtime.files import write_text
from study import params
from study.limits import answers, figures, measuring, observations, page, pretrained
from study.workspace import Finished

TASKS = 16


def main(arguments: Sequence[str], root: Path = Path(".")) -> int:
    """Measure and write; returns the exit code, 2 where a run folder is not finished."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, metavar="FOLDER", help="a finished run")
    parser.add_argument("--out", type=Path, default=root / page.OUT, metavar="FILE", help=f"({page.OUT})")
    parser.add_argument("--page", type=Path, default=root / page.PAGE, metavar="FILE", help=f"({page.PAGE})")
    parser.add_argument("--pretrained", type=Path, metavar="FOLDER", help="a finished run of presets/pretrained.yaml")
    parser.add_argument("--tasks", type=int, default=TASKS, help=f"of each probe, three wordings each ({TASKS})")
    parser.add_argument("--answers", type=Path, metavar="FILE", help="write the new answers as JSON lines")
    chosen = parser.parse_args(arguments)
    run = root if not (chosen.run or chosen.pretrained) else chosen.run
    found = json.loads(chosen.out.read_text(encoding="utf-8")) if chosen.out.exists() else {}
    try:
        if chosen.pretrained:
            found["pretrained"] = pretrained.of_samples(answers.samples(chosen.pretrained))
        if run:
            found["world"] = of_world(run, root, chosen.tasks, chosen.answers)
    except ParamsError as error:
        print(error, file=sys.stderr)
        return 2
    write_text(chosen.out, json.dumps(found, indent=1) + "\n")
    write_text(chosen.page, page.text(found))
    return 0


def of_world(folder: Path, root: Path, tasks: int, kept: Path | None) -> dict[str, Any]:
    """Return the figures of a finished run; `kept` names the file of new answers, if they are to be read.

    Raises ParamsError for a folder that has no run, or a run on other prompts than the world's.
    """
    study = params.load(root)
    done = Finished(folder, load(folder, EvaluateInputs), study.settings, folder, study.forms)
    placement.prepare(done.params.runtime, done.params.seed)
    run = measuring.answered(done, tasks)
    if not run.probes["test"]:
        raise ParamsError(
            f"{folder / answers.SAMPLES}: no prompt has a task of the embedded world, which reads the answers; of "
            "a run on instructions give the folder as --pretrained"
        )
    if run.not_asked:
        print(f"not asked anew: {', '.join(run.not_asked)}; no model below {done.data}", file=sys.stderr)
    if kept:
        write_text(kept, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines(run)))
    return figures.of_run(measuring.found_in(run))


def lines(run: measuring.Run) -> Iterator[dict[str, Any]]:
    """Yield every new answer with its prompt and what was observed."""
    for probe, own in run.probes["asked"].items():
        for (policy, decoding), texts in own.answers.items():
            for prompt, text in zip(own.prompts, texts, strict=True):
                found = observations.observed(probe, manners.task_of(prompt), text)
                yield {
                    "probe": probe, "policy": policy, "decoding": decoding, "asked": prompt["messages"][-1]["content"],
                    "answer": text, "observed": [name for name, is_seen in found.items() if is_seen],
                }  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

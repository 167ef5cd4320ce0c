"""Whether the best learning rate stays as a model grows wider → metrics/mup.json, docs/generated/mup.md, figures.

    python -m study.mup            say what is left to train and how long it takes, train it, write figures and page
    python -m study.mup --cost     say it, and no more
    python -m study.mup --muon     the same with Muon on hidden matrices; its figures stand beside AdamW's

Small models of four widths at twelve rates, with three seeds, in the standard parametrisation and in μP (Yang et al.
2022, figure 1): study/mup/params.yaml. Stopped at any time, it goes on with what is not known yet.
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlhf.models import placement
from rlhf.params.base import ParamsError
from rlhf.runtime.files import write_json, write_text
from stages import pretrain
from study import params
from study.mup import coordinates, page, trials
from study.mup.trials import PARAMETRISATIONS, Known, Optimiser, Sizes, Texts, Trial


def main(arguments: Sequence[str], root: Path = Path(".")) -> int:
    """Do as asked; returns the exit code: 2 for mistakes in params."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cost", action="store_true")
    parser.add_argument("--muon", action="store_true")
    chosen = parser.parse_args(arguments)
    optimiser: Optimiser = "muon" if chosen.muon else "adamw"
    try:
        sizes = params.typed(Sizes, root, trials.FILE)
        planned = [*trials.plan(sizes, optimiser)]
        runtime = trials.inputs(root, sizes, planned[0]).runtime
        found = trials.texts(root, sizes)
    except ParamsError as error:
        print(error, file=sys.stderr)
        return 2
    placement.prepare(runtime, sizes.seed)
    known = Known(root, sizes, found)
    left = [trial for trial in planned if trial not in known]
    print(f"{len(left)} of {len(planned)} trainings are left: {cost(root, sizes, left, found)}", flush=True)
    if chosen.cost:
        return 0
    run(root, sizes, left, found, known)
    write(root, optimiser, page.figures(sizes, known, optimiser), slopes(root, sizes, found))
    return 0


def cost(root: Path, sizes: Sizes, left: Sequence[Trial], found: Texts) -> str:
    """Return in words how long trainings take, by a few updates of each width now."""
    seconds = 0.0
    for width, count in Counter(trial.width for trial in left).items():
        first = next(trial for trial in left if trial.width == width)
        seconds += count * sizes.updates * trials.seconds_an_update(trials.inputs(root, sizes, first), found)
    return f"about {seconds / 3600:.1f} hours at the speed of this moment"


def run(root: Path, sizes: Sizes, left: Sequence[Trial], found: Texts, known: Known) -> None:
    """Train what is left, and say each loss."""
    started = time.monotonic()
    for number, trial in enumerate(left, start=1):
        loss = trials.loss_of(trials.inputs(root, sizes, trial), found)
        known.add(trial, loss)
        minutes = (time.monotonic() - started) / 60
        what = "broke down" if loss is None else f"{loss:.3f} nats a token"
        named = f"{trial.parametrisation}, width {trial.width}, rate {trial.rate:.3g}, seed {trial.seed}"
        print(f"{number}/{len(left)} after {minutes:.1f} minutes: {named}: {what}", flush=True)


def slopes(root: Path, sizes: Sizes, found: Texts) -> dict[str, dict[str, float]]:
    """Return the slopes of the coordinate check by parametrisation, by AdamW."""
    ids = found.validation[: sizes.batch_size]
    made: dict[str, dict[str, float]] = {}
    for name in PARAMETRISATIONS:
        measured: dict[int, list[dict[str, float]]] = {}
        for width in sizes.widths:
            for seed in sizes.seeds:
                trial = Trial("adamw", name, width, sizes.coordinates.learning_rate, seed)
                chosen = trials.inputs(root, sizes.model_copy(update={"warmup_steps": 0}), trial)
                model, section = trials.untrained(chosen, found)
                points = pretrain.train(model, found.training, section, chosen.runtime, seed)
                after = coordinates.trained(model, points, sizes.coordinates.updates, ids)
                measured.setdefault(width, []).append(after)
        made[name] = coordinates.slopes(measured)
    return made


def write(root: Path, optimiser: Optimiser, found: dict[str, Any], slopes: dict[str, dict[str, float]]) -> None:
    """Write figures, pictures and page; what is known of the other optimiser stays."""
    before = json.loads((root / page.OUT).read_text(encoding="utf-8")) if (root / page.OUT).exists() else {}
    measured = before | {optimiser: found, "coordinates": slopes}
    if "adamw" in measured:
        measured |= {name: measured["adamw"][name] for name in ("best_rate", "octaves")}
    write_json(root / page.OUT, dict(sorted(measured.items())))
    for name, svg in page.drawings(found, optimiser).items():
        write_text(root / page.PICTURES / name, svg)
    write_text(root / page.PAGE, page.page(measured))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

"""study/tuning/trials.yaml: what is tried of each method, equally much, checked before anything is trained."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from rlhf.params.base import Name, Params, ParamsError, listed
from rlhf.params.feedme import FeedmeInputs
from rlhf.params.ppo import PpoInputs
from rlhf.params.training.dpo import DpoInputs
from rlhf.params.training.rejection import RejectionInputs
from study.params import typed
from tools import check
from tools.overlays import laying

FILE = Path("study/tuning/trials.yaml")
INPUTS: dict[str, type[Params]] = {
    "ppo": PpoInputs, "feedme": FeedmeInputs, "rejection": RejectionInputs, "dpo": DpoInputs,
}  # fmt: skip
SHARED = ("seed", "runtime")  # sections that stages read, and that no trial changes


class Trial(Params):
    change: dict[str, Any] = Field(min_length=1)  # an overlay (tools/overlays/laying.py) over a default run's params
    why: str = Field(min_length=1)


class Trials(Params):
    ppo: dict[Name, Trial]
    feedme: dict[Name, Trial]
    rejection: dict[Name, Trial]
    dpo: dict[Name, Trial]

    def of(self, method: str) -> dict[str, Trial]:
        return getattr(self, method)


def load(root: Path) -> Trials:
    """Raises ParamsError for unequal numbers of trials, for two that change the same, and for every other mistake."""
    found = typed(Trials, root, FILE)
    counts = {method: len(found.of(method)) for method in INPUTS}
    if len({*counts.values()}) > 1:
        told = ", ".join(f"{method} {count}" for method, count in counts.items())
        raise ParamsError(f"{FILE}: expected equally many trials of each method (got {told}): add or remove some")
    for method in INPUTS:
        names: dict[str, str] = {}
        for name, trial in found.of(method).items():
            same = names.setdefault(written(trial), name)
            if same != name:
                raise ParamsError(f"{FILE}: {method}.{name}: it changes the same as {same}; remove one")
    return found


def chosen(found: Trials, method: str, names: Sequence[str] | None) -> dict[str, Trial]:
    """Return the trials of a method that are asked for, all where none is named. Raises ParamsError."""
    known = found.of(method)
    unknown = [name for name in names or [] if name not in known]
    if unknown:
        raise ParamsError(f"{FILE}: {method} has no trial {unknown[0]!r}; it has {listed(known)}")
    return {name: known[name] for name in names or known}


def written(trial: Trial) -> str:
    """Return what a trial changes as one text, the same however it is nested or ordered."""
    return json.dumps(laying.nested(trial.change), sort_keys=True)


def content(base: dict[str, Any], trial: Trial) -> dict[str, Any]:
    """Return a run's params with what a trial changes; a trial keeps no states, so that its costs are those of one try,
    and is no run in MLflow.
    """
    untracked = {"tracking.enabled": False, "checkpoints.every_seconds": None}
    return laying.laid_over(laying.laid_over(base, trial.change), untracked)


def refuse_mistakes(method: str, tried: dict[str, Trial], base: dict[str, Any], folder: Path) -> None:
    """Raise ParamsError naming every mistake of trials over a run's params; `folder`: where their files lie."""
    own = [section for section in INPUTS[method].model_fields if section not in SHARED]
    found = []
    for name, trial in tried.items():
        place = f"{FILE}: {method}.{name}"
        strange = [key for key in laying.nested(trial.change) if key not in own]
        if strange:
            found.append(f"{place}: a trial changes what stage {method} alone reads: {listed(own)} (got {strange[0]})")
            continue
        whole = content(base, trial)
        if whole[method].get("train") is False:
            found.append(f"{place}: {method}.train is false, so nothing would be trained")
        found += [line.replace("params.yaml", place, 1) for line in check.mistakes_in(whole, folder)]
    if found:
        raise ParamsError("\n".join(dict.fromkeys(found)))

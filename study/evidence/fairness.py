"""What is refused before anything is measured: cells that are not there, and two sides trained for unequal length."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rlhf.params.base import ParamsError
from study import params
from study.cells import Place
from study.evidence.effect import Effect, Pair
from study.params import Study


def check(file: Path, effects: Mapping[str, Effect], study: Study, preset: Mapping[str, Any]) -> None:
    """Raises ParamsError naming every effect (by its place in `file`) with unknown cells or sides of unequal length."""
    mistakes = [
        f"{file}: {place}: {mistake}"
        for place, effect in effects.items()
        for mistake in [*_unknown(effect, study), *_unequal(effect, study, preset)]
    ]
    if mistakes:
        raise ParamsError("\n".join(mistakes))


def _unknown(effect: Effect, study: Study) -> list[str]:
    return [f"no cell {name!r} in {params.FILE}" for name in effect.cells() if name not in study.everything]


def _unequal(effect: Effect, study: Study, preset: Mapping[str, Any]) -> list[str]:
    """Return a mistake for every seed whose two policies PPO trains for different numbers of iterations."""
    found = []
    for seed in effect.seeds if isinstance(effect, Pair) else []:
        lengths = {
            place.cell: _iterations(place, study, preset)
            for place in effect.sides(seed)
            if place.policy in (None, "ppo") and place.cell in study.everything
        }
        if len(set(lengths.values())) > 1:
            each = ", ".join(f"{name} for {count} iterations" for name, count in lengths.items())
            found.append(
                f"the two sides differ in length: PPO trains {each}; give both one ppo.iterations in {params.FILE}"
            )
    return found


def _iterations(place: Place, study: Study, preset: Mapping[str, Any]) -> int:
    return params.content(preset, study.everything[place.cell])["ppo"]["iterations"]

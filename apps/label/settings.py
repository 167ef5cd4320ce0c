"""What people are asked for, by params.yaml, and the round whose answers they judge."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rlhf.params.base import ParamsError, is_mapping, parse, read_yaml
from rlhf.params.labelers.kinds import Simulated
from rlhf.people.judgements import Pool

PEOPLE, SECTION = "people", "collect_comparisons"
POOLS: dict[Pool, str] = {"train": "labelers", "judge": "judge_labelers"}  # and the param that says who ranks it


class TaskSettings(NamedTuple):
    """What people are asked for."""

    folder: Path  # of labels, below the repository
    pools: tuple[Pool, ...]  # those that people rank
    flags: tuple[str, ...]
    scale: tuple[int, int] | None  # of ratings; None: none are asked for
    overlap_share: float
    overlap_labelers: int
    training: Path | None  # answered prompts with `ranks`, which labelers learn on
    simulated: Simulated | None  # labelers that people are compared with where a prompt has a task


def read(root: Path) -> TaskSettings:
    """Return the settings of `root`/params.yaml. Raises ParamsError where no people label."""
    section = read_yaml(root / "params.yaml").get(SECTION)
    if not is_mapping(section):
        raise ParamsError(f"params.yaml: section '{SECTION}' is missing; presets/laptop.yaml shows it")
    return of_section(section, root)


def of_section(section: Mapping[str, Any], root: Path) -> TaskSettings:
    """Return the settings of collect_comparisons as it stands in params.yaml."""
    own, judges = section.get("labelers"), section.get("judge_labelers") or section.get("labelers")
    people = {pool: one for pool, one in (("train", own), ("judge", judges)) if _kind(one) == PEOPLE}
    if not people:
        raise ParamsError(
            f"params.yaml: {SECTION}.labelers.kind: people label where it is 'people' (got {_kind(own)!r}); "
            "docs/people.md shows all keys"
        )
    chosen = next(iter(people.values()))
    if any(one != chosen for one in people.values()):
        raise ParamsError(
            f"params.yaml: {SECTION}: labelers and judge_labelers are both people and differ; one page serves both "
            "pools: leave judge_labelers out"
        )
    return _of_people(chosen, tuple(pool for pool in POOLS if pool in people), section, root)


def _of_people(
    people: Mapping[str, Any], pools: tuple[Pool, ...], section: Mapping[str, Any], root: Path
) -> TaskSettings:
    place = f"params.yaml: {SECTION}.labelers"
    missing = [key for key in ("folder", "flags", "overlap_share", "overlap_labelers") if key not in people]
    if missing:
        raise ParamsError(f"{place}.{missing[0]}: missing; docs/people.md shows a value")
    scale, training = people.get("scale"), people.get("training")
    return TaskSettings(
        folder=root / people["folder"],
        pools=pools,
        flags=tuple(people["flags"]),
        scale=(int(scale["low"]), int(scale["high"])) if scale else None,
        overlap_share=float(people["overlap_share"]),
        overlap_labelers=int(people["overlap_labelers"]),
        training=root / training if training else None,
        simulated=_simulated(section, root),
    )


def _simulated(section: Mapping[str, Any], root: Path) -> Simulated | None:
    """Return the simulated labelers of these params, or else those of the preset; None where there is neither."""
    candidates = [(f"{SECTION}.{key}", section.get(key)) for key in POOLS.values()]
    preset = root / "presets/laptop.yaml"
    if preset.exists():
        candidates.append((f"{preset.name}: {SECTION}.labelers", read_yaml(preset).get(SECTION, {}).get("labelers")))
    for place, one in candidates:
        if is_mapping(one) and _kind(one) == "simulated":
            return parse(Simulated, {"kind": "simulated", **one}, place)
    return None


def _kind(labelers: Any) -> str | None:
    return labelers.get("kind", "simulated") if is_mapping(labelers) else None


def round_of(root: Path, asked: str | None) -> str:
    """Return the round that was asked for, or the last one of params.yaml that has answers. Raises ValueError."""
    rounds = read_yaml(root / "params.yaml").get("rounds")
    names = [str(name) for name in rounds] if is_mapping(rounds) else []
    if asked is not None and asked not in names:
        raise ParamsError(f"--round {asked}: params.yaml has the rounds {', '.join(names) or '(none)'}")
    with_answers = [name for name in names if (root / "data/collect_answers" / name).is_dir()]
    found = [name for name in with_answers if asked in (None, name)]
    if not found:
        name = asked or (names[0] if names else "r1")
        raise ValueError(f"data/collect_answers/{name} is missing: dvc repro collect_answers@{name} samples the answers")
    return found[-1]

"""What people are asked for, by params.yaml, and the round whose answers they judge."""

from pathlib import Path
from typing import NamedTuple

from rlhf.params.base import Params, ParamsError, expanded, is_mapping, load, parse, read_yaml
from rlhf.params.collect_comparisons import CollectComparisons
from rlhf.params.labelers.kinds import Simulated
from rlhf.params.labelers.people import People
from rlhf.params.rounds import Rounds
from rlhf.people import standing
from rlhf.people.judgements import Pool

PRESET = Path("presets/laptop.yaml")  # whose simulated labelers people are compared with, where params name none


class LabelInputs(Params):
    """What the page reads of params.yaml."""

    rounds: Rounds
    collect_comparisons: CollectComparisons


class TaskSettings(NamedTuple):
    """What people are asked for."""

    folder: Path  # of labels
    pools: tuple[Pool, ...]  # those that these people rank
    group: str | None  # the pool by which these people are known; None: there are no others
    flags: tuple[str, ...]
    scale: tuple[int, int] | None  # of ratings; None: none are asked for
    overlap_share: float
    overlap_labelers: int
    training: Path | None  # prompts with known answers, on which labelers train
    simulated: Simulated | None  # labelers that people are compared with where a prompt has a task


def read(root: Path, pool: str | None = None) -> TaskSettings:
    """Return the settings of `root`/params.yaml, of one pool where several are ranked by different people.

    Raises ParamsError where no people label.
    """
    params = load(root, LabelInputs).collect_comparisons
    everybody = standing.people_of(params)
    groups = [(people, pools) for people, pools in everybody if pool in (None, *pools)]
    if not groups:
        which = "labelers" if pool is None else params.labelers_of(pool)[1]
        raise ParamsError(
            f"params.yaml: collect_comparisons.{which}: nobody has anything to label, unless its kind is 'people': "
            "examples/people.yaml shows all keys"
        )
    if len(groups) > 1:
        raise ParamsError(
            "params.yaml: collect_comparisons: labelers and judge_labelers are different people, who have a page each: "
            "--pool train, or --pool judge"
        )
    people, pools = groups[0]
    group = pools[0] if len(everybody) > 1 else None
    return _settings(people, tuple(name for name in ("train", "judge") if name in pools), group, params, root)


def _settings(
    people: People, pools: tuple[Pool, ...], group: str | None, params: CollectComparisons, root: Path
) -> TaskSettings:
    return TaskSettings(
        folder=root / expanded(people.folder),
        pools=pools,
        group=group,
        flags=tuple(people.flags),
        scale=None if people.scale is None else (people.scale.low, people.scale.high),
        overlap_share=people.overlap_share,
        overlap_labelers=people.overlap_labelers,
        training=None if people.training is None else root / expanded(people.training),
        simulated=_simulated(params, root),
    )


def _simulated(params: CollectComparisons, root: Path) -> Simulated | None:
    """Return the simulated labelers of these params, or else the preset's; None where there is neither."""
    for one in (params.labelers, params.judge_labelers):
        if isinstance(one, Simulated):
            return one
    if not (root / PRESET).exists():
        return None
    labelers = read_yaml(root / PRESET).get("collect_comparisons", {}).get("labelers")
    if not is_mapping(labelers) or labelers.get("kind", "simulated") != "simulated":
        return None
    return parse(Simulated, {"kind": "simulated", **labelers}, f"{PRESET}: collect_comparisons.labelers")


def round_of(root: Path, asked: str | None) -> str:
    """Return the round that was asked for, or the last one of params.yaml that has answers. Raises ValueError."""
    names = list(load(root, LabelInputs).rounds)
    if asked is not None and asked not in names:
        raise ParamsError(f"--round {asked}: params.yaml has the rounds {', '.join(names)}")
    found = [name for name in names if asked in (None, name) and (root / "data/collect_answers" / name).is_dir()]
    if not found:
        name = asked or names[0]
        raise ValueError(
            f"data/collect_answers/{name} is missing: dvc repro collect_answers@{name} samples the answers"
        )
    return found[-1]

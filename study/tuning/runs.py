"""The finished runs that trials start from, one a seed: folders that are given, or workspaces of the laptop preset."""

from collections.abc import Sequence
from pathlib import Path

from rlhf.params.base import ParamsError, read_yaml
from study import params, workspace
from study.tuning.training import Run

UP_TO = "reward_model@{round}", "feedme"  # the stages that a workspace runs; what the cache has is not made again


def named(root: Path, seeds: Sequence[int], given: Sequence[str]) -> list[Run]:
    """Return the run of each seed, which may still have to be made; given: `SEED=FOLDER` of runs that lie elsewhere.

    Raises ParamsError.
    """
    folders = dict(_given(text) for text in given)
    unused = [seed for seed in folders if seed not in seeds]
    if unused:
        raise ParamsError(f"--from {unused[0]}={folders[unused[0]]}: this seed is not among --seeds {_words(seeds)}")
    return [_named(root, seed, folders.get(seed)) for seed in dict.fromkeys(seeds)]


def finished(root: Path, run: Run) -> Run:
    """Return a run whose artifacts are there: a workspace of ours is made, as far as the cache has it not."""
    if run.folder != _own(root, run.seed):
        return run
    folder = workspace.prepare(root, run.folder.name, run.content)
    workspace.reproduce(folder, [stage.format(round=run.last_round) for stage in UP_TO])
    return Run(folder, read_yaml(folder / "params.yaml"))


def _named(root: Path, seed: int, folder: Path | None) -> Run:
    if folder is None:
        return Run(_own(root, seed), params.preset(root) | {"seed": seed})
    found = Run(folder, read_yaml(folder / "params.yaml"))
    if found.content.get("seed") != seed:
        raise ParamsError(f"{folder / 'params.yaml'}: seed: expected {seed}, as --from says (got {found.seed})")
    return found


def _own(root: Path, seed: int) -> Path:
    return root / workspace.FOLDER / f"tuning_{seed}"


def _given(text: str) -> tuple[int, Path]:
    seed, _, folder = text.partition("=")
    if not seed.isdecimal() or not folder:
        raise ParamsError(f"--from: expected SEED=FOLDER, such as 17=. (got {text})")
    return int(seed), Path(folder)


def _words(seeds: Sequence[int]) -> str:
    return " ".join(map(str, seeds))

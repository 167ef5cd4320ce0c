"""Runs ablations as DVC experiments, and shows what each changed, with intervals.

    python -m tools.ablate ablations/*.yaml              one after another
    python -m tools.ablate ablations/*.yaml --queue      only put them into DVC's queue
    python -m tools.ablate ablations/*.yaml -j 2         through the queue, two at a time
    python -m tools.ablate ablations/*.yaml --table      only show those that have run

An ablation is an overlay (tools/overlays/laying.py): a file of changed keys, nested as in params.yaml or dotted, laid
over it, or over the preset that the file names (preset: stiennon). Its name is the experiment's in `dvc exp show` and
the parent run's in MLflow; an experiment of that name on this commit is removed first. All are checked before the first
one runs; each runs in a copy, so that this folder stays as it is, and there only the stages that it changes.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rlhf.evaluation import statistics
from rlhf.evaluation.verdicts import Judged
from rlhf.params.base import ParamsError, read_yaml, shown
from rlhf.runs import changes, lineage
from rlhf.secrets import guard
from tools import check, dvc_yaml, inputs, presets
from tools.looking import piped

SHOWN = ("ppo_sampled", "ppo_greedy")
INTERVALS = statistics.Bootstrap(resamples=2000, coverage=0.95, seed=0)
BEFORE_QUOTE = re.compile(r"""(\\*)("|\Z)""")
NAME = re.compile(r"(?!.*\.\.)[A-Za-z0-9_][\w.-]{0,99}(?<!\.)(?<!\.lock)", re.ASCII)  # git takes it as part of a ref
SAMPLES = "data/evaluate/samples.jsonl"


class Change(NamedTuple):
    sign: str  # of `dvc exp run --set-param`: nothing sets, + adds a key that params.yaml does not have, ~ removes one
    key: str  # dotted
    value: Any


class Ablation(NamedTuple):
    name: str
    changes: tuple[Change, ...]  # of params.yaml


class Experiment(NamedTuple):
    """What ran under a name: its commit, the one that it was run on if that is not checked out, its params.yaml."""

    commit: str
    base: str
    params: Mapping[str, Any]


def main(arguments: list[str], root: Path = Path(".")) -> int:
    """Do as asked; returns the exit code: 2 for mistakes in the files, else that of the first command to fail."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--queue", action="store_true", help="only queue them; `dvc exp run --run-all` runs the queue")
    parser.add_argument("-j", "--jobs", type=int, default=1, help="how many run at once")
    parser.add_argument("--table", action="store_true", help="run nothing")
    chosen = parser.parse_args(arguments)
    try:
        ablations = [read(root, file) for file in chosen.files]
        _refuse_equal_names(chosen.files)
    except ParamsError as error:
        guard.say(str(error))
        return 2
    environment = os.environ | {"PATH": dvc_yaml.path_with_this_python()}
    for words in [] if chosen.table else commands(root, ablations, chosen.queue, chosen.jobs):
        code = subprocess.run(words, cwd=root, env=environment, check=False).returncode
        if code:
            lacking = inputs.untracked(check.whole(read_yaml(root / "params.yaml")), root)
            for line in lacking:  # DVC names a path in the copy
                guard.say(line)
            return code
    if chosen.queue:
        return 0
    guard.say("\n".join(table(root, ablations)), sys.stdout)
    return 0


def read(root: Path, file: Path) -> Ablation:
    """Return an ablation. Raises ParamsError naming the file and all mistakes of what it would make of params.yaml."""
    if not NAME.fullmatch(file.stem):
        raise ParamsError(
            f"{shown(str(file))}: the file's name is the experiment's; expected letters, digits, _, - and . (got "
            f"{shown(file.stem)})"
        )
    overlay = read_yaml(file)
    preset = overlay.pop(presets.PRESET, None)
    current = read_yaml(root / "params.yaml")
    base = current if preset is None else read_yaml(presets.path_of(root, preset, f"{file}: preset"))
    if not overlay and preset is None:
        raise ParamsError(f"{file}: changes nothing; write the keys to change, nested as in params.yaml")
    changed = presets.applied(root, file, base, overlay)
    changes = tuple(differences(current, changed))
    if not changes:
        raise ParamsError(f"{file}: params.yaml has these values already; change one, or choose another base")
    if _named(root, changed) != _named(root, current):
        raise ParamsError(
            f"{file}: names other files or models than params.yaml; DVC reads dvc.yaml before it changes params.yaml. "
            f"Write the whole params.yaml (python -m tools.presets), then {inputs.MEND} and dvc exp run -n {file.stem}"
        )
    return Ablation(file.stem, changes)


def _refuse_equal_names(files: Sequence[Path]) -> None:
    """Raise ParamsError where two files would be one experiment: the second would take the place of the first."""
    first: dict[str, Path] = {}
    for file in files:
        if first.setdefault(file.stem, file) is not file:
            raise ParamsError(f"{file}: {first[file.stem]} has its name, which is the experiment's; rename one")


def _named(root: Path, content: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return {stage: the files and folders that params name for it}."""
    params = check.whole(content)
    return {stage: inputs.dependencies(named) for stage, named in inputs.of_stages(params, root).items()}


def differences(before: Mapping[str, Any], after: Mapping[str, Any], prefix: str = "") -> Iterator[Change]:
    """Yield what is changed, added or removed to come from `before` to `after`."""
    for key in [*before, *(key for key in after if key not in before)]:
        place, old, new = f"{prefix}{key}", before.get(key), after.get(key)
        if key not in after:
            yield Change("~", place, None)
        elif key not in before:
            yield Change("+", place, new)
        elif isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from differences(old, new, f"{place}.")
        elif old != new:
            yield Change("", place, new)


def commands(root: Path, ablations: list[Ablation], queue: bool, jobs: int) -> Iterator[list[str]]:
    """Yield what runs them: each by itself, or all in the queue and then, unless only that is asked for, the queue.

    DVC's own --force would replace an experiment of the same name, but also run every stage.
    """
    queued = queue or jobs > 1
    where = ["--queue" if queued else "--temp"]
    if inputs.untracked(check.whole(read_yaml(root / "params.yaml")), root):
        where.append("--allow-missing")  # the copy lacks them, and a stage that reads them may have run already
    for ablation in ablations:
        if exists(root, ablation.name):
            yield ["dvc", "exp", "remove", ablation.name]
        yield command(ablation, where)
    if queued and not queue:
        yield ["dvc", "exp", "run", "--run-all", "--jobs", str(jobs)]


def exists(root: Path, name: str) -> bool:
    """Return whether the commit that is checked out has an experiment of that name."""
    return lineage.git(root, "show-ref", "--verify", "--quiet", _ref(root, name)) is not None


def _ref(root: Path, name: str) -> str:
    head = lineage.git(root, "rev-parse", "HEAD") or ""
    return f"refs/exps/{head[:2]}/{head[2:].strip()}/{name}"


def command(ablation: Ablation, where: list[str]) -> list[str]:
    """Return the `dvc exp run` of an ablation."""
    words = ["dvc", "exp", "run", *where, "--name", ablation.name]
    for sign, key, value in ablation.changes:
        words += ["--set-param", f"{sign}{key}" if sign == "~" else f"{sign}{key}={_hydra(value)}"]
    return words


def _hydra(value: Any) -> str:
    """Return a value in the grammar of `--set-param`, Hydra's: JSON, but that keys of mappings stand without quotes,
    and that within quotes all but backslashes before a quote is meant as it stands.
    """
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_hydra(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_hydra, value)) + "]"
    if isinstance(value, str):
        return '"' + BEFORE_QUOTE.sub(lambda found: 2 * found[1] + found[2].replace('"', '\\"'), value) + '"'
    return json.dumps(value, ensure_ascii=False)


def table(root: Path, ablations: list[Ablation]) -> Iterator[str]:
    """Yield one line an ablation: its mean gold (or judge) score, and by how much it differs on the same prompts."""
    baseline = scores(_read_file(root / SAMPLES))
    stale = changes.in_a_line(root, ["metrics/evaluate.json"]) if baseline else None
    if stale:
        yield f"The line of params.yaml: {stale}"
    yield "Mean score on the same prompts; difference from params.yaml with a 95% interval (paired bootstrap)"
    yield f"{'':<24}" + "".join(f"{name.replace('_', ' '):>36}" for name in SHOWN)
    if baseline:
        yield f"{'params.yaml':<24}" + f"{'':>26}".join(f"{_mean(baseline[name]):>10.3f}" for name in SHOWN)
    else:
        yield f"{'params.yaml':<24}has no answers here ({SAMPLES}): dvc checkout evaluate, or dvc repro"
    for ablation in ablations:
        ran = experiment(root, ablation.name)
        found = scores(_of_experiment(root, ran.commit)) if ran else None
        if not ran or not found:
            yield f"{ablation.name:<24}has not run: dvc exp show"
            continue
        other = baseline or {name: {} for name in SHOWN}
        cells = [f"{_mean(found[name]):>10.3f}{difference(found[name], other[name]):>26}" for name in SHOWN]
        own = tuple(differences(read_yaml(root / "params.yaml"), ran.params))
        changed = ", ".join(f"{key}={value}" for _, key, value in own[:4]) or "nothing"
        is_same = {one.key: one for one in own} == {one.key: one for one in ablation.changes}
        doubts = [*doubts_of(root, ran, is_same), *doubt_of_prompts(found[SHOWN[0]], (baseline or found)[SHOWN[0]])]
        yield f"{ablation.name:<24}" + "".join(cells) + f"  {changed}" + "".join(f"  ({doubt})" for doubt in doubts)


def doubts_of(root: Path, ran: Experiment, is_same: bool) -> Iterator[str]:
    """Yield what else than the params shown separates an experiment from this folder's pipeline.

    `is_same`: it ran with what its file says now.
    """
    if not is_same:
        yield "params.yaml or its file has changed since it ran"
    if ran.base:
        yield f"of commit {ran.base[:7]}, with its code"
    ours, own = read_from_outside(lineage.locked(root)), read_from_outside(locked_of(root, ran.commit))
    others = sorted(path for path in ours.keys() & own.keys() if ours[path] != own[path])
    if others:
        more = f" and {len(others) - changes.SHOWN} more" if len(others) > changes.SHOWN else ""
        yield f"with another {', '.join(others[: changes.SHOWN])}{more}"


def doubt_of_prompts(found: Collection[str], baseline: Collection[str]) -> list[str]:
    """Return that an experiment answered other prompts than the baseline, if so: then its mean is over its own."""
    both = {*found} & {*baseline}
    if len(both) == len(found) == len(baseline):
        return []
    return [f"its mean is over {len(found)} prompts, the difference over the {len(both)} in common"]


def locked_of(root: Path, commit: str) -> dict[str, Any]:
    """Return the stages of an experiment's dvc.lock; none where it has none."""
    return (lineage.content_of(root, "dvc.lock", commit) or {}).get("stages", {})


def read_from_outside(stages: Mapping[str, Any]) -> dict[str, str]:
    """Return {path: md5} of what stages of dvc.lock read and none of them made: code, files and models of one's own."""
    outs = [out["path"] for stage in stages.values() for out in stage.get("outs", [])]
    deps = {dep["path"]: dep.get("md5", "") for stage in stages.values() for dep in stage.get("deps", [])}
    return {path: md5 for path, md5 in deps.items() if not any(lineage.overlap(path, out) for out in outs)}


def scores(samples: str | None) -> dict[str, dict[str, float]] | None:
    """Return {policy: {prompt's id: its answer's verdict, gold or else the judge}} of the text of samples.jsonl."""
    if samples is None:
        return None
    found: dict[str, dict[str, float]] = {name: {} for name in SHOWN}
    for line in samples.splitlines():
        record = json.loads(line)
        for name in SHOWN:
            found[name][record["id"]] = Judged(**record["answers"][name]).verdict
    return found


def difference(found: Mapping[str, float], baseline: Mapping[str, float]) -> str:
    """Return the mean difference over prompts that both answered, and its interval; nothing without a baseline."""
    if not baseline:
        return ""
    both = sorted(found.keys() & baseline.keys())
    if not both:
        return "no prompt in common"
    interval = statistics.mean_interval([found[prompt] - baseline[prompt] for prompt in both], INTERVALS)
    return f"{interval.mean:+.3f} ({interval.low:+.3f} to {interval.high:+.3f})"


def experiment(root: Path, name: str) -> Experiment | None:
    """Return the experiment of that name, that of the commit that is checked out before those of others; None where
    there is none. A branch or a tag of the name is none.
    """
    commit, base = lineage.git(root, "rev-parse", "--verify", "--quiet", _ref(root, name)), ""
    if commit is None:
        commit = lineage.experiment(root, name)
        base = (lineage.git(root, "rev-parse", f"{commit}^") or "").strip() if commit else ""
    if commit is None:
        return None
    return Experiment(commit.strip(), base, lineage.content_of(root, "params.yaml", commit.strip()) or {})


def _of_experiment(root: Path, commit: str) -> str | None:
    """Return an experiment's samples out of DVC's cache; None where it has not run to its end."""
    import dvc.api

    try:
        return dvc.api.read(SAMPLES, repo=str(root.resolve()), rev=commit)
    except Exception as error:  # noqa: BLE001 - DVC has no common class for what is not there
        guard.say(f"{commit[:7]}: {(str(error) or type(error).__name__).splitlines()[0]}")
        return None


def _read_file(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


def _mean(values: Mapping[str, float]) -> float:
    return sum(values.values()) / len(values)


if __name__ == "__main__":
    piped.exit_with(lambda: main(sys.argv[1:]))

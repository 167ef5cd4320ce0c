"""Runs the committed pipeline anew in fresh clones and says which artifacts have the same bytes, and which differ.

    python -m tools.reproduce                    one clone against the committed dvc.lock
    python -m tools.reproduce --clones 2         two clones at different paths, with one another and with dvc.lock
    python -m tools.reproduce --preset tiny      a preset: clones with one another (two of them)

Writes metrics/reproducibility.json, with a description of this machine: bytes are the same on machines of one kind
(processor flags, torch build, threads). Exits with 1 where an artifact differs.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rlhf.params.base import ParamsError
from rlhf.runs import lineage, machine
from rlhf.runtime.files import write_json
from rlhf.secrets import guard
from tools import dvc_yaml, presets
from tools.looking import piped

OUT = Path("metrics/reproducibility.json")


def main(arguments: list[str], root: Path = Path(".")) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", help="name of a file of presets/, in place of the committed params.yaml")
    parser.add_argument(
        "--clones", type=int, choices=(1, 2), help="how many times it is run (default: 1; 2 of a preset)"
    )
    chosen = parser.parse_args(arguments)
    try:
        name = presets.path_of(root, chosen.preset, "--preset").stem if chosen.preset else presets.name_of(root)
    except ParamsError as error:
        guard.say(str(error))
        return 2
    num_clones = chosen.clones or (2 if chosen.preset else 1)
    if chosen.preset and num_clones < 2:
        print("a preset has no committed dvc.lock to compare with: leave --clones out, or say 2", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        runs = {} if chosen.preset else {"dvc.lock": flat_outs(root, "HEAD")}
        for number in range(num_clones):
            clone = Path(folder) / ("deeper/" * number + "clone")
            runs[f"clone {number + 1}"] = remade(root, clone, chosen.preset)
    found = compared(runs)
    content = {"preset": name, "commit": lineage.commit_of(root).sha, **found}
    write_json(root / OUT, content | {"machine": machine.describe()})
    for path, md5s in found["differing"].items():
        print(f"differs: {path}: " + ", ".join(f"{name} {md5}" for name, md5 in md5s.items()))
    print(f"{len(found['artifacts'])} artifacts, of which {len(found['differing'])} differ between {', '.join(runs)}")
    return 0 if found["byte_identical"] else 1


def remade(root: Path, clone: Path, preset: str | None) -> dict[str, str]:
    """Clone HEAD to `clone`, run every stage there, and return {path: md5} of all outputs."""
    clone.parent.mkdir(parents=True, exist_ok=True)
    _run("git", "clone", "--quiet", "--no-hardlinks", str(root.resolve()), str(clone))
    if preset:
        shutil.copy(clone / f"presets/{preset}.yaml", clone / "params.yaml")
    print(f"running every stage in {clone}", flush=True)
    environment = lineage.environment_outside_dvc()
    environment["PATH"] = dvc_yaml.path_with_this_python()
    _run("dvc", "repro", "--force", "--no-run-cache", cwd=clone, env=environment)
    return flat_outs(clone)


def flat_outs(root: Path, rev: str | None = None) -> dict[str, str]:
    """Return {path: md5} of all outs in dvc.lock."""
    return {path: md5 for outs in lineage.locked_outs(root, rev).values() for path, md5 in outs.items()}


def compared(runs: dict[str, dict[str, str]]) -> dict:
    """Return artifacts with their md5 in the last run, whether all runs agree, and each run's md5 where they do not."""
    paths = sorted(set().union(*runs.values()))
    differing = {
        path: {name: outs.get(path, "missing") for name, outs in runs.items()}
        for path in paths
        if len({outs.get(path) for outs in runs.values()}) > 1
    }
    last = list(runs.values())[-1]
    artifacts = {path: last.get(path, "missing") for path in paths}
    return {"runs": list(runs), "byte_identical": not differing, "differing": differing, "artifacts": artifacts}


def _run(*command: str, **options: Any) -> None:
    answer = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if answer.returncode:
        raise ValueError(f"{' '.join(command)} failed:\n{answer.stdout[-3000:]}{answer.stderr[-3000:]}")


if __name__ == "__main__":
    piped.exit_with(lambda: main(sys.argv[1:]))

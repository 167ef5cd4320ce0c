"""What must not change once tuning has begun: gold and the measure, file by file, and the prompts that decide.

    python -m study.tuning.freeze             write study/frozen.json anew; only before anything is tuned
    python -m study.tuning.freeze --check     exit with 2, naming each file that differs

Trials and cells call `refuse_changes` first. It takes seconds: held-out sources are read before all others, so test and
validation prompts follow from them alone, and no document is made.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rlhf.collection.sets.arranging import Writer
from rlhf.collection.table.spill import Spill
from rlhf.params.base import ParamsError, listed, parse, read_yaml
from rlhf.params.collect_prompts import CollectPromptsInputs, Source, WorldSource
from rlhf.runs import lineage
from rlhf.runtime.files import write_text
from stages import collect_prompts

FROZEN = Path("study/frozen.json")
PARAMS = Path("presets/laptop.yaml")  # the default
CODE = (
    "rlhf/world", "rlhf/grading",  # prompts, demonstrations, gold
    "rlhf/evaluation/controls", "rlhf/evaluation/phrases.py", "rlhf/evaluation/statistics.py",
    "rlhf/evaluation/verdicts.py",
)  # fmt: skip
SEEDS = (17, 18, 19)
PROMPTS = ("prompts.test", "prompts.validation")
AGAIN = "python -m study.tuning.freeze"


def main(arguments: Sequence[str], root: Path = Path(".")) -> int:
    """Do as asked; returns the exit code, 2 where something changed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing")
    if parser.parse_args(arguments).check:
        try:
            refuse_changes(root)
        except ParamsError as error:
            print(error, file=sys.stderr)
            return 2
        return 0
    write_text(root / FROZEN, json.dumps(hashes(root), indent=2) + "\n")
    return 0


def refuse_changes(root: Path = Path(".")) -> None:
    """Raise ParamsError, naming what differs, where code or prompts are not as they were frozen."""
    if not (root / FROZEN).exists():
        raise ParamsError(f"{FROZEN}: missing; freeze gold, measure and prompts before anything is tuned: {AGAIN}")
    changed = differences(json.loads((root / FROZEN).read_text(encoding="utf-8")), hashes(root))
    if changed:
        raise ParamsError(
            f"{FROZEN}: not as frozen before tuning: {listed(changed)}. Take these back (git diff), or begin anew and "
            f"run every trial again: {AGAIN}"
        )


def differences(frozen: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return what was changed, added or removed since, in words."""
    found = []
    for name in sorted({*frozen, *now}):
        if name not in now:
            found.append(f"{name} (removed)")
        elif name not in frozen:
            found.append(f"{name} (added)")
        elif frozen[name] != now[name]:
            found.append(f"{name} (changed)")
    return found


def hashes(root: Path) -> dict[str, str]:
    """Return the MD5 of each file of code, and of each set of prompts of the default by seed."""
    return code(root) | prompts(read_yaml(root / PARAMS)["collect_prompts"], root)


def code(root: Path) -> dict[str, str]:
    """Return the MD5 of each file of CODE, as DVC has it."""
    return {path.relative_to(root).as_posix(): lineage.dvc_md5(path) for path in _files(root)}


def prompts(section: Mapping[str, Any], root: Path) -> dict[str, str]:
    """Return the MD5 of test and validation prompts of a section collect_prompts for each of SEEDS."""
    found: dict[str, str] = {}
    for seed in SEEDS:
        params = parse(CollectPromptsInputs, {"seed": seed, "collect_prompts": section}, "")
        settings = params.collect_prompts
        few = settings.model_copy(update={"sources": [_held_out_alone(source) for source in settings.sources]})
        with tempfile.TemporaryDirectory() as name, Spill(Path(name) / "spill") as spill:
            alone = params.model_copy(update={"collect_prompts": few})
            collected = collect_prompts.collect(alone, root, spill, lambda *_: None)
            writer = Writer(collected.gathered, spill, collected.kept_categories)
            for own in PROMPTS:
                file = Path(name) / f"{own}.jsonl"
                writer.write(file, own, collected.files[own])
                found[f"{own}.jsonl, seed {seed}"] = lineage.dvc_md5(file)
    return found


def _held_out_alone(source: Source) -> Source:
    """Return a source as it is if it is held out, else a world with hardly a record: it takes none from the others."""
    if not isinstance(source, WorldSource) or {*source.splits} <= {"test", "validation"}:
        return source
    return source.model_copy(update={"documents": 0, "prompts": 1})


def _files(root: Path) -> Iterator[Path]:
    for name in CODE:
        path = root / name
        yield from [path] if path.is_file() else sorted(path.rglob("*.py"))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

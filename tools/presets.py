"""Presets: whole params.yaml files, and what each changes of another.

    python -m tools.presets                               render presets/*.yaml from their overlays
    python -m tools.presets --check                       only say which of them differ from that; exits with 1 then
    python -m tools.presets my.yaml --out params.yaml     lay a file of your own over the preset that it names
    python -m tools.presets my.yaml                       print the same

presets/laptop.yaml is the base, whole and written by hand. presets/overlays/NAME.yaml holds what NAME changes of the
preset that it names (`preset: laptop`), and the comments on that; a file of your own is written likewise:
examples/own_project.yaml. Keys are nested or dotted; mappings merge, lists and values are replaced, and so is the whole
section `pretrain` where its `source` changes.
"""

import argparse
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rlhf.params.base import ParamsError, read_yaml, shown
from rlhf.runtime.files import write_text
from rlhf.secrets import guard
from tools import check, inputs, pin
from tools.looking import piped
from tools.overlays import laying, texts
from tools.overlays.texts import PRESET

FOLDER = Path("presets")
OVERLAYS = FOLDER / "overlays"
BASE = "laptop"


def main(arguments: list[str], root: Path = Path(".")) -> int:
    """Do as asked; returns the exit code: 1 where a preset is not what its overlay makes, 2 for mistakes in a file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", type=Path, help="an overlay of your own")
    parser.add_argument("--out", type=Path, help="where its params are written; else they are printed")
    parser.add_argument("--check", action="store_true", help="write nothing")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.file is None:
            return render(root, chosen.check)
        text = own(root, chosen.file)
    except ParamsError as error:
        guard.say(str(error))
        return 2
    if chosen.out:
        write_text(chosen.out, text)
    else:
        print(text, end="")
    return 0


def render(root: Path, only_check: bool) -> int:
    """Write the presets that differ from what their overlays make, or name them; returns the exit code."""
    differing = False
    for name in names(root):
        path, text = root / FOLDER / f"{name}.yaml", text_of(root, name)
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        differing = True
        if not only_check:
            write_text(path, text)
        print(f"{path}: {'differs; write it with: python -m tools.presets' if only_check else 'written'}")
    return 1 if differing and only_check else 0


def names(root: Path) -> list[str]:
    """Return the presets that have an overlay."""
    return sorted(path.stem for path in (root / OVERLAYS).glob("*.yaml"))


def text_of(root: Path, name: str, above: tuple[str, ...] = ()) -> str:
    """Return a preset's text as its overlays make it. Raises ParamsError, also for one that lies above itself."""
    if name == BASE:
        path = root / FOLDER / f"{BASE}.yaml"
        read_yaml(path)  # names what is wrong with it
        return path.read_text(encoding="utf-8")
    file = OVERLAYS / f"{name}.yaml"
    if name in above or not (root / file).exists():
        told = ", ".join([BASE, *(other for other in names(root) if other not in above)])
        raise ParamsError(f"{OVERLAYS / above[-1]}.yaml: preset: expected one of {told} (got {name!r})")
    beneath = read_overlay(root / file)[0]
    title = f"# Rendered from {FOLDER / beneath}.yaml and {file} by `python -m tools.presets`."
    return _laid_over(text_of(root, beneath, (*above, name)), root / file, title)


def own(root: Path, file: Path) -> str:
    """Return the params that a file makes of the preset it names. Raises ParamsError naming all mistakes."""
    preset, changes = read_overlay(file)
    path = path_of(root, preset, f"{file}: {PRESET}")
    base = read_yaml(path)
    try:
        applied(root, file, base, changes)
    except ParamsError as error:
        raise ParamsError(_pinned_where(str(error), base, path, root)) from None
    title = f"# Rendered from {FOLDER / path.name} and {file} by `python -m tools.presets {file}`."
    return _laid_over(path.read_text(encoding="utf-8"), file, title)


def read_overlay(file: Path) -> tuple[str, dict[str, Any]]:
    """Return the preset that an overlay names, and what it changes. Raises ParamsError, also where it names none."""
    changes = read_yaml(file)
    preset = changes.pop(PRESET, None)
    if preset is None:
        raise ParamsError(f"{file}: names nothing to be laid over; add a line such as {PRESET}: {BASE}")
    return preset, changes


def applied(root: Path, file: Path, base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with the changes of an overlay. Raises ParamsError naming the file and all mistakes."""
    try:
        target = laying.laid_over(base, changes)
    except ParamsError as error:
        raise ParamsError(_of_file(str(error), file)) from None
    mistakes = check.mistakes_in(target, root)
    for place in laying.replaced(base, changes):
        if any(re.match(rf"params\.yaml: {place}\.\S+: missing", mistake) for mistake in mistakes):
            key = laying.WHOLE[place]
            mistakes.append(f"params.yaml: {place}: another {key} replaces the section whole; write all its keys")
    if mistakes:
        raise ParamsError("\n".join(_of_file(mistake, file) for mistake in mistakes))
    return target


def path_of(root: Path, name: object, asked_by: str) -> Path:
    """Return a preset's file. Raises ParamsError, naming the place that asked for it, where there is none."""
    there = {path.stem: path for path in sorted((root / FOLDER).glob("*.yaml"))}
    if not isinstance(name, str) or name not in there:
        raise ParamsError(f"{asked_by}: expected one of {', '.join(there)} (got {shown(name)})")
    return there[name]


def name_of(root: Path) -> str:
    """Return the name of the preset that params.yaml is; "params.yaml" where it is none."""
    content = (root / "params.yaml").read_bytes()
    return next((path.stem for path in (root / FOLDER).glob("*.yaml") if path.read_bytes() == content), "params.yaml")


def _laid_over(base: str, file: Path, title: str) -> str:
    try:
        return texts.laid_over(base, file.read_text(encoding="utf-8"), title)
    except ParamsError as error:
        raise ParamsError(_of_file(str(error), file)) from None


def _pinned_where(mistakes: str, base: Mapping[str, Any], path: Path, root: Path) -> str:
    """Say of each hub's id without a commit where its commit belongs: into the preset beneath, or into the overlay."""
    beneath = pin.without_commit(check.whole(base), root) if inputs.PIN in mistakes else []
    lines = mistakes.splitlines()
    for number, line in enumerate(lines):
        if any(f": {one.place}: " in line and f"{one.id!r}" in line for one in beneath):
            lines[number] = line.replace(inputs.PIN, f"{inputs.PIN} {path}")
        else:
            lines[number] = re.sub(
                f"{re.escape(inputs.PIN)} (asks the hub and )?writes it", "write it into this file", line
            )
    return "\n".join(lines)


def _of_file(mistake: str, file: Path) -> str:
    return mistake.replace("params.yaml", str(file), 1)


if __name__ == "__main__":
    piped.exit_with(lambda: main(sys.argv[1:]))

"""Puts small faults into the code, one at a time, and counts how many the tests see (mutmut) → metrics/mutants.json.

    python -m tools.mutants                          all packages of [tool.mutants] in pyproject.toml
    python -m tools.mutants evaluation runs          some of them; the others' results stay
    python -m tools.mutants --sample 10 --seed 2     fewer mutants a package, others

A package has thousands of mutants, so a seeded sample of each is tried, in a copy of the repository below .mutants.
Against a mutant run those tests of the package's own list that call the mutated function, in a process forked from one
that has imported everything, with a time limit. tests/explained_mutants.yaml says why some may survive.
"""

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rlhf.params.base import read_yaml
from rlhf.runtime import seeds
from rlhf.runtime.files import write_json, write_text
from rlhf.runtime.markdown import markdown_table

OUT, PAGE = Path("metrics/mutants.json"), Path("docs/generated/mutants.md")
EXPLAINED = Path("tests/explained_mutants.yaml")
EVERYWHERE = "everywhere"
WORKSPACES = Path(".mutants")
CODE = ("rlhf", "stages", "study", "tools")
PYTEST = ["-p", "no:cacheprovider", "-m", "not process"]
SURVIVED, TIMED_OUT = (0, 33), (-24, -9, 24, 36, 152)  # exit codes of mutmut's children; 33: no test calls the function


class Package(NamedTuple):
    name: str
    code: str  # folder
    tests: list[str]


class Settings(NamedTuple):
    seed: int
    sample: int  # mutants a package
    packages: list[Package]


class Change(NamedTuple):
    """A mutant as a person sees it."""

    file: str
    line: int
    before: str
    after: str


class Reason(NamedTuple):
    """Why a change of a file's line, or of a part of any line, may go unseen."""

    file: str  # or EVERYWHERE
    before: str
    after: str
    why: str

    def fits(self, change: Mapping[str, Any]) -> bool:
        before, after = change["before"], change["after"]
        if self.file != EVERYWHERE:
            return (self.file, self.before, self.after) == (change["file"], before, after)
        places = [found.span() for found in re.finditer(re.escape(self.before), before)]
        return any(before[:start] + self.after + before[end:] == after for start, end in places)


def main(arguments: list[str], root: Path = Path(".")) -> int:
    """Try the mutants and write what was found; returns 1 where a package's tests cannot run."""
    settings = read(root)
    known = [package.name for package in settings.packages]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", nargs="*", metavar="package", help=", ".join(known))
    parser.add_argument("--sample", type=int, default=settings.sample, help="mutants a package")
    parser.add_argument("--seed", type=int, default=settings.seed)
    parser.add_argument("--children", type=int, default=os.cpu_count(), help="how many run at once")
    chosen = parser.parse_args(arguments)
    if unknown := set(chosen.packages) - set(known):
        parser.error(f"expected some of {', '.join(known)} (got {', '.join(sorted(unknown))})")
    found = json.loads((root / OUT).read_text(encoding="utf-8")) if (root / OUT).exists() else {}
    for package in settings.packages:
        if package.name in (chosen.packages or known):
            one = tried(root, package, chosen.sample, chosen.seed, chosen.children)
            if one is None:
                return 1
            found[package.name] = one
            write(root, {name: found[name] for name in known if name in found})
            print(line(package.name, explained(found[package.name], reasons(root))))
    return 0


def read(root: Path) -> Settings:
    """Return [tool.mutants] of pyproject.toml."""
    content = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mutants"]
    packages = [Package(name, one["code"], one["tests"]) for name, one in content["packages"].items()]
    return Settings(content["seed"], content["sample"], packages)


def tried(root: Path, package: Package, sample: int, seed: int, children: int) -> dict[str, Any] | None:
    """Return what became of a sample of the package's mutants; None, with a word, where mutmut could not run."""
    folder = workspace(root, package)
    with contextlib.chdir(folder):  # mutmut reads its configuration there
        names = list(mutants(Path(package.code)))
    chosen = drawn(names, sample, seed)
    print(f"{package.name}: {len(chosen)} of {len(names)} mutants", flush=True)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with open(folder / "mutmut.log", "w", encoding="utf-8") as log:
        command = [program(), "run", "--max-children", str(children), *chosen]
        ended = subprocess.run(command, cwd=folder, env=environment, stdout=log, stderr=log, check=False)
    codes = exit_codes(folder)
    if ended.returncode or any(codes.get(name) is None for name in chosen):
        print(f"mutmut ended with {ended.returncode}: {folder / 'mutmut.log'}", file=sys.stderr)
        return None
    changes = [
        change(root, folder, name)._asdict() | {"called": codes[name] == 0}
        for name in chosen
        if codes[name] in SURVIVED
    ]
    return {
        "mutants": len(names),
        "sampled": len(chosen),
        "seed": seed,
        "timed_out": sum(codes[name] in TIMED_OUT for name in chosen),
        "survivors": sorted(changes, key=lambda one: (one["file"], one["line"], one["after"])),
    }


def workspace(root: Path, package: Package) -> Path:
    """Return a copy of the files that git knows, with mutmut's configuration for one package."""
    folder = root / WORKSPACES / package.name
    shutil.rmtree(folder, ignore_errors=True)
    words = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(words, cwd=root, capture_output=True, text=True, check=True).stdout.split("\0")
    for name in filter(None, listed):
        if (root / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / name, folder / name)
    others = sorted({name.split("/")[0] for name in listed if name} - {*CODE, "tests", "pyproject.toml"})
    chosen = {
        "source_paths": [*CODE], "only_mutate": [f"{package.code}/*"], "also_copy": others,
        "pytest_add_cli_args_test_selection": package.tests, "pytest_add_cli_args": PYTEST,
        "process_isolation": "forkserver", "timeout_multiplier": 4.0, "timeout_constant": 15.0,
    }  # fmt: skip
    lines = [f"{key} = {json.dumps(value)}" for key, value in chosen.items()]
    with open(folder / "pyproject.toml", "a", encoding="utf-8") as file:
        file.write("\n".join(["", "[tool.mutmut]", *lines, ""]))
    return folder


def mutants(code: Path) -> Iterator[str]:
    """Yield the names of all mutants of the modules below `code`."""
    # installed by `make mutants` alone
    from mutmut.configuration import reset_config  # pyright: ignore[reportMissingImports]
    from mutmut.mutation.file_mutation import mutate_file_contents  # pyright: ignore[reportMissingImports]
    from mutmut.utils.format_utils import get_mutant_name  # pyright: ignore[reportMissingImports]

    reset_config()
    for file in sorted(code.rglob("*.py")):
        for name in mutate_file_contents(str(file), file.read_text(encoding="utf-8")).mutant_names:
            yield get_mutant_name(file, name)


def drawn(names: Sequence[str], count: int, seed: int) -> list[str]:
    """Return at most `count` of the names; other code leaves those of unchanged functions in their order."""
    return sorted(names, key=lambda name: seeds.derive(seed, name))[:count]


def program() -> str:
    """Return mutmut as it is called: beside the Python that runs this."""
    return str(Path(sys.executable).absolute().parent / "mutmut")


def exit_codes(folder: Path) -> dict[str, int | None]:
    """Return how the tests ended against each mutant; None where they did not run."""
    codes: dict[str, int | None] = {}
    for file in (folder / "mutants").rglob("*.py.meta"):
        codes |= json.loads(file.read_text(encoding="utf-8"))["exit_code_by_key"]
    return codes


def change(root: Path, folder: Path, name: str) -> Change:
    """Return where a mutant differs from the code, and how."""
    shown = subprocess.run([program(), "show", name], cwd=folder, capture_output=True, text=True, check=True).stdout
    header, _, body = shown.partition("\n@@")
    file = header.partition("--- ")[2].splitlines()[0]
    before, after = ([line[1:] for line in body.splitlines()[1:] if line.startswith(sign)] for sign in "-+")
    place = line_of(root / file, name, before[0] if before else "")
    return Change(file, place, *(" ".join(line.strip() for line in some) for some in (before, after)))


def line_of(file: Path, name: str, text: str) -> int:
    """Return the number of the first line that is `text`, from the start of the mutant's function on."""
    function = re.split(r"ǁ|\.x_", name.partition("__mutmut_")[0])[-1]
    lines = file.read_text(encoding="utf-8").splitlines()
    starts = [number for number, line in enumerate(lines) if re.match(rf"\s*(async )?def {function}\b", line)]
    after = [number for number in range(starts[0], len(lines)) if lines[number].strip() == text.strip()]
    return (after or starts)[0] + 1


def reasons(root: Path) -> list[Reason]:
    """Return why some mutants may survive."""
    content = read_yaml(root / EXPLAINED)
    return [Reason(file, one["before"], one["after"], one["why"]) for file, some in content.items() for one in some]


def explained(found: Mapping[str, Any], known: Sequence[Reason]) -> dict[str, Any]:
    """Return a package's results with the reason beside each survivor that has one, and the counts."""
    survivors = [one | {"why": next((why.why for why in known if why.fits(one)), None)} for one in found["survivors"]]
    unexplained = sum(one["why"] is None for one in survivors)
    killed = found["sampled"] - found["timed_out"] - len(survivors)
    return {**found, "survivors": survivors, "killed": killed, "unexplained": unexplained}


def line(name: str, one: Mapping[str, Any]) -> str:
    return (
        f"{name}: {one['killed']} killed, {one['timed_out']} timed out, {len(one['survivors'])} of {one['sampled']} "
        f"survived ({len(one['survivors']) / one['sampled']:.0%}), {one['unexplained']} of them unexplained"
    )


def write(root: Path, found: Mapping[str, Any]) -> None:
    """Write the results, and the page that shows them beside the reasons."""
    write_json(root / OUT, found)
    write_text(root / PAGE, page(found, reasons(root)))


def page(results: Mapping[str, Mapping[str, Any]], known: Sequence[Reason]) -> str:
    """Return the results as Markdown, with the reasons of `reasons`."""
    found = {name: explained(one, known) for name, one in results.items()}
    columns = ["package", "mutants", "tried", "killed", "timed out", "survived", "share", "unexplained"]
    rows = [
        [name, one["mutants"], one["sampled"], one["killed"], one["timed_out"], len(one["survivors"]),
         f"{len(one['survivors']) / one['sampled']:.0%}", one["unexplained"]]
        for name, one in found.items()
    ]  # fmt: skip
    lines = [
        f"*Written by `make mutants` from `{OUT}` and `{EXPLAINED}`; what is written here by hand is lost.*", "",
        "# What the tests see", "",
        "Small faults are put into the code one at a time (mutmut); a seeded sample of each package is tried against",
        "those tests of its folder and its stages that call the mutated function. No test sees a survivor.", "",
        markdown_table(columns, rows),
    ]  # fmt: skip
    for name, one in found.items():
        if one["survivors"]:
            lines += ["", f"## {name}: survivors", "", *map(survivor, one["survivors"])]
    return "\n".join(lines) + "\n"


def survivor(one: Mapping[str, Any]) -> str:
    called = "" if one["called"] else " No test of the package calls the function."
    why = one["why"] or "**unexplained**"
    return f"- `{one['file']}:{one['line']}` `{one['before']}` → `{one['after']}`:{called} {why}"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

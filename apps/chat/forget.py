"""Delete what a user said in the chat, for good, and keep copies of it out of the data.

    python -m apps.chat.forget NAME

Deletes the user's journal below data/feedback, what moderation.files of params.yaml hold of it (`apps.chat.appeals`),
and the user's traces in MLflow with what of them lies among the artifacts. It notes a salted sum of the name: the next
`dvc repro` leaves out what was said before, also in copies of the journal.
Says what it cannot delete: outputs of earlier runs in DVC's cache, models that were trained on them, copies elsewhere.
"""

import argparse
import shutil
import sqlite3
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from apps.chat import appeals
from apps.chat.books import FOLDER
from apps.chat.traces import USER
from rlhf.moderation import own_files
from rlhf.params.base import Params, ParamsError, load
from rlhf.params.collect_prompts import matches
from rlhf.params.moderation.section import Moderation
from rlhf.params.tracking import Tracking, TrackingInputs
from rlhf.people import forgetting, journal
from rlhf.people.names import checked
from rlhf.runs import mlflow_store
from rlhf.secrets import guard
from rlhf.secrets.masking import masked
from tools.looking import piped

LOCATION = "mlflow.artifactLocation"  # tag of a trace
COLLECTED = Path("data/collect_prompts")
LEFT = (
    "What this cannot delete: {collected}earlier outputs in DVC's cache and remotes, models trained on them, runs' "
    "artifacts, copies and backups.\n"
    "  dvc repro -f collect_prompts && dvc repro     the data, and all models, without this user\n"
    "  dvc gc --workspace                            then: what no present output needs leaves the cache\n"
    "                                                (--cloud: the remote, too)"
)


class ModerationAlone(Params):
    moderation: Moderation


def main(arguments: Sequence[str], root: Path = Path(".")) -> int:
    """Delete a user's records; returns the exit code: 1 where something could not be reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("user", metavar="NAME")
    user = checked(parser.parse_args(arguments).user)
    settings = load(root, TrackingInputs).tracking
    forgetting.remember(root / FOLDER, user, forgetting.now())
    for line in _journals(root / FOLDER, user):
        guard.say(line, sys.stdout)
    code = 0
    for line, is_done in _appeals(root, user):
        guard.say(line, sys.stdout if is_done else sys.stderr)
        code = code if is_done else 1
    try:
        for line in _traces(root, settings, user):
            guard.say(line, sys.stdout)
    except Exception as error:  # noqa: BLE001 - a database's driver has errors of its own
        guard.say(f"MLflow: {error}\n  its traces of {user} may be there still: run this again when it can be reached")
        code = 1
    in_data = _mentions(root / COLLECTED, user)
    guard.say(LEFT.format(collected=f"{in_data} lines below {COLLECTED}; " if in_data else ""), sys.stdout)
    return code


def _journals(folder: Path, user: str) -> Iterator[str]:
    """Delete the user's journal, and the user's lines in other files there, such as copies; yield what was done."""
    for file in sorted(folder.glob("*.jsonl")):
        is_own = file.stem == user
        count = journal.take_out(file, lambda content, is_own=is_own: is_own or content.get("user") == user)
        if is_own and file.exists():  # torn lines are left, which may be anything
            file.unlink()
        if not file.exists():
            (file.parent / journal.LOCKS / f"{file.name}.lock").unlink(missing_ok=True)  # its name is the user's
        if count:
            yield f"{file}: {f'{count} lines taken out' if file.exists() else f'deleted, {count} lines'}"


def _appeals(root: Path, user: str) -> Iterator[tuple[str, bool]]:
    """Take what came from the user's chats out of moderation's own examples; yield what was done, or could not be."""
    try:
        patterns = load(root, ModerationAlone).moderation.files
    except ParamsError as error:
        yield f"{error}\n  moderation.files were not looked at: mend it, and run this again", False
        return
    files = list[Path]()
    for pattern in patterns:
        with suppress(FileNotFoundError):  # what is not there holds nothing
            files += matches(pattern, root)
    for file in dict.fromkeys(files):
        try:
            yield from _taken_out(file, user)
        except (ValueError, OSError) as error:
            yield f"{file}: {user}'s chats may be there still: {error}", False


def _taken_out(file: Path, user: str) -> Iterator[tuple[str, bool]]:
    if file.suffix == ".jsonl":
        count = journal.take_out(file, lambda content: _is_from_chat(content, user))
        file.touch()  # params name it
        if count:
            yield f"{file}: {count} lines taken out", True
    left = sum(_is_from_chat(row.fields, user) for row in own_files.rows_of(file)) if file.stat().st_size else 0
    if left:  # in a table, or in another encoding
        yield f"{file}: holds {left} rows from this user's chats: take them out by hand", False


def _is_from_chat(content: Mapping[str, Any], user: str) -> bool:
    return content.get("user") == user and content.get("source") in appeals.SOURCES


def _traces(root: Path, settings: Tracking, user: str) -> Iterator[str]:
    """Delete the user's traces with their artifacts; yield what was done."""
    home = mlflow_store.anchor(root)
    uri = mlflow_store.resolve_uri(settings.uri, home)
    database = Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None
    if database is not None and not database.exists():
        yield f"MLflow: {masked(uri)} is not there, so it has no traces"
        return
    store = mlflow_store.open_store(settings, home)
    query = mlflow_store.equals(f"metadata.{USER}", user)
    everywhere = [one.experiment_id for one in store.client.search_experiments()]
    count, artifacts = 0, 0
    while found := store.client.search_traces(
        locations=everywhere, filter_string=query, max_results=100, include_spans=False
    ):
        for trace in found:
            artifacts += _without_artifacts(trace.info)
            store.client.delete_traces(str(trace.info.experiment_id), trace_ids=[trace.info.trace_id])
            count += 1
    yield f"MLflow: {count} traces deleted ({masked(uri)}), with {artifacts} folders of artifacts"
    if database is not None:
        with closing(sqlite3.connect(database, timeout=30)) as connection:
            connection.execute("PRAGMA secure_delete = ON")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.execute("VACUUM")  # pages that are free no longer hold what stood in them
        yield f"{database}: rewritten without what was deleted"


def _without_artifacts(info: Any) -> int:
    """Delete what MLflow's background writer may have left of a trace among the artifacts; returns whether it did."""
    parts = urlsplit(info.tags.get(LOCATION, ""))
    folder = Path(url2pathname(parts.path))
    if parts.scheme not in ("", "file") or info.trace_id not in folder.parts:
        return 0
    folder = folder if folder.name == info.trace_id else folder.parent
    existed = folder.is_dir()
    shutil.rmtree(folder, ignore_errors=True)
    return int(existed)


def _mentions(folder: Path, user: str) -> int:
    """Return how many lines of collected data name the user."""
    mark = f'"user": "{user}"'
    return sum(
        mark in line
        for file in sorted(folder.glob("*.jsonl"))
        for line in file.open(encoding="utf-8", errors="replace")
    )


if __name__ == "__main__":
    piped.exit_with(lambda: main(sys.argv[1:]))

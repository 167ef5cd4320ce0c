"""The `dvc` command that a stage belongs to, and what else works on the same files at the same time."""

import json
import os
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import psutil
from filelock import FileLock, Timeout

from rlhf.runs import mlflow_store
from rlhf.runs.recording import endings
from rlhf.runs.stage_name import StageName
from rlhf.secrets import guard
from rlhf.secrets.masking import masked, without_credentials

SECONDS_BETWEEN_LOOKS = 1.0
BOOT = Path("/proc/sys/kernel/random/boot_id")  # another at each start of the machine
PIDS, PIDS_OF_THE_HOST = Path("/proc/self/ns/pid"), "pid:[4026531836]"  # the same number in every Linux
LOCK = "running.lock"  # in a stage's folder below .checkpoints: held while it runs
PATIENCE = 20.0  # seconds for another process of the same stage: an orphan's last step and its end


def session_key(session: str) -> str:
    """Return the name of a session, given its process: one `dvc` may run several experiments.

    Of an experiment's name, quotes are written as in an address: queries to MLflow hold it.
    """
    experiment = re.sub(r"""["'`\\%]""", lambda found: quote(found[0]), os.environ.get("DVC_EXP_NAME", ""))
    return without_credentials(f"{session} {experiment}".strip())


def own_process() -> str:
    """Return `host pid boot/seconds` of this process, with the seconds since that boot until it began: unlike a pid
    alone never used twice, and the same after the clock was set (on waking from sleep, say).
    """
    return _identity(psutil.Process())


def dvc_process() -> str:
    """Return the identity of the `dvc` process that this stage runs under, or of this process if it runs by hand."""
    return _identity(_dvc() or psutil.Process())


def is_by_hand() -> bool:
    """Say whether no dvc started this process: its session is the process itself."""
    return _dvc() is None


def began(identity: str) -> int:
    """Return when a process of this host began, in milliseconds since the epoch as the clock stands now."""
    return int(1000 * (psutil.boot_time() + float(re.split("[ /]", identity)[-1])))


def command_of(identity: str) -> list[str]:
    """Return the words of a living process's command; none of one that has ended, or of another host or user."""
    process = _living(identity)
    try:
        return process.cmdline() if process else []
    except psutil.Error:
        return []


def is_gone(identity: str) -> bool:
    """Return whether a process of this host has ended; False for processes of other hosts, which cannot be seen."""
    return not is_elsewhere(identity) and _living(identity) is None


def is_elsewhere(identity: str) -> bool:
    """Say whether a process is, or was, of another host or container: it cannot be seen from here."""
    return identity.rsplit(" ", 2)[0] != _host()


def is_held(root: Path, place: str) -> bool:
    """Say whether a process, of whatever host or container, holds a stage's outputs in this folder, see `alone`."""
    file = root / ".checkpoints" / place / LOCK
    if not file.exists():
        return False
    try:
        FileLock(file).acquire(timeout=0).lock.release()
    except (Timeout, OSError):  # or another user's, of which nothing can be told
        return True
    return False


def has_ended(identity: str, seconds: float) -> bool:
    """Wait so long for the end of a process of this host, and return whether it has ended."""
    process = _living(identity)
    if process is None:
        return True
    try:
        process.wait(seconds)
    except psutil.TimeoutExpired:
        return _living(identity) is None  # a zombie, whose parent has not asked for it
    return True


@contextmanager
def ending_with_dvc() -> Iterator[None]:
    """End as by SIGTERM when the dvc that started this stage is gone: nobody would record its outputs.

    Raises ProcessLookupError where it is gone at the beginning.
    """
    if "DVC_STAGE" not in os.environ:
        yield
        return
    dvc = _dvc()
    if dvc is None:
        raise ProcessLookupError(
            f"the dvc command that started {os.environ['DVC_STAGE']} has ended, and would not record its outputs: "
            "start it again with dvc repro (or unset DVC_STAGE to run the stage by hand)"
        )
    identity, left = _identity(dvc), threading.Event()
    ended = "WARNING: dvc has ended and would not record this stage: it ends too"

    def watch() -> None:
        while not left.wait(SECONDS_BETWEEN_LOOKS):
            if is_gone(identity):
                guard.say(ended)
                os.kill(os.getpid(), signal.SIGTERM)
                return

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        left.set()


@contextmanager
def noted(root: Path, name: StageName) -> Iterator[None]:
    """Note on the disk that a stage begins, and how it ends: the block is all that it does."""
    with endings.noted(mlflow_store.anchor(root), own_process(), session_key(dvc_process()), name.place):
        yield


@contextmanager
def alone(root: Path, name: StageName) -> Iterator[None]:
    """Hold a stage's outputs for the block, so that no other process makes them too.

    Raises ValueError for outputs behind links, at once, and BlockingIOError naming the process that does, after
    PATIENCE; and at once, where this stage runs by hand, the dvc command that reads or writes them.
    """
    out = root / "data" / name.place
    _refuse_links(root, out, root / "metrics" / name.place)
    if is_by_hand():
        _refuse_beside_dvc(root, out)
    folder = root / ".checkpoints" / name.place
    folder.mkdir(parents=True, exist_ok=True)
    lock, note = FileLock(folder / LOCK), folder / "running.txt"
    try:
        lock.acquire(timeout=0)
    except Timeout:
        other = note.read_text(encoding="utf-8") if note.exists() else "another process"
        guard.say(f"{name.title}: {other} makes {out} too; waiting {PATIENCE:g} s for its end")
        try:
            lock.acquire(timeout=PATIENCE)
        except Timeout:
            raise BlockingIOError(f"{out} is being made by {other}: wait until it ends, or end it") from None
    try:
        began = time.strftime("%H:%M:%S")
        words = masked(" ".join(sys.argv))
        note.write_text(f"process {os.getpid()} ({words}, since {began})", encoding="utf-8")
        yield
    finally:
        lock.release()


def _refuse_links(root: Path, out: Path, metrics: Path) -> None:
    """Raise ValueError where an output is a link, or lies behind one where DVC would not find it: after the work."""
    if out.is_symlink():
        raise ValueError(
            f"{out} is a link to {os.readlink(out)}: a stage replaces its output as a whole, and removes nothing "
            f"behind a link. Remove the link (rm {out}; what it points to stays); to keep outputs on another disk, "
            "let DVC keep its cache there: dvc cache dir --local FOLDER && dvc config --local cache.type symlink"
        )
    if is_by_hand():
        return
    for place in (out, metrics):
        if not place.resolve().is_relative_to(root.resolve()):
            raise ValueError(
                f"{place} lies behind a link, at {place.resolve()}: DVC records nothing outside of its repository. "
                "Make a folder of it; to keep outputs on another disk, let DVC keep its cache there: "
                "dvc cache dir --local FOLDER && dvc config --local cache.type symlink"
            )


def _refuse_beside_dvc(root: Path, out: Path) -> None:
    """Raise BlockingIOError where a living dvc says in its table of locks that it reads or writes `out`."""
    table = root / ".dvc/tmp/rwlock"
    try:
        locks = json.loads(table.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # none, or one that is just being written
        return
    for mode in ("read", "write"):
        for path, found in locks.get(mode, {}).items():
            if not (Path(path).is_relative_to(out.resolve()) or out.resolve().is_relative_to(path)):
                continue
            for process in found if isinstance(found, list) else [found]:
                if process and psutil.pid_exists(process["pid"]):
                    who = masked(f"{process['cmd']} (process {process['pid']})")
                    raise BlockingIOError(f"{out}: {who} {mode}s it at this moment; wait until it ends")


def _dvc() -> psutil.Process | None:
    """Return the process of the dvc command above this one; None where it is gone, or never was.

    DVC sets DVC_STAGE for a stage's processes, so the nearest Python without it is DVC's own. An orphan's new parent,
    an init of whatever name, is none, and may be another user's, whose environment cannot be read.
    """
    if "DVC_STAGE" not in os.environ:
        return None
    for ancestor in psutil.Process().parents():
        try:
            if "DVC_STAGE" in ancestor.environ():
                continue
            words = [Path(word).name for word in ancestor.cmdline()[:2]]
        except psutil.Error:
            return None
        return ancestor if any(word.startswith(("python", "dvc")) for word in words) else None
    return None


def _living(identity: str) -> psutil.Process | None:
    """Return the process of this host that has this identity and has not ended."""
    if is_elsewhere(identity):
        return None
    try:
        process = psutil.Process(int(identity.rsplit(" ", 2)[1]))
        same = _identity(process) == identity
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None


def _identity(process: psutil.Process) -> str:
    boot = BOOT.read_text(encoding="ascii")[:8] if BOOT.exists() else ""
    since_boot = process.create_time() - psutil.boot_time()  # both move with the clock
    return f"{_host()} {process.pid} {boot}/{since_boot:.2f}"


def _host() -> str:
    """Return this host's name, and in a container of the same name (`docker run --net=host`) that of its pids too."""
    pids = os.readlink(PIDS) if PIDS.is_symlink() else PIDS_OF_THE_HOST
    return socket.gethostname() if pids == PIDS_OF_THE_HOST else f"{socket.gethostname()} {pids}"

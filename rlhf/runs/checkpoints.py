"""States of a training loop on disk, from which a stage goes on after a kill, to the same bytes as without one.

    states = checkpoints.opened(root, "sft", params, [root / "data/pretrain"])
    with tracking.stage_run(root, "sft", states=states):
        parts = {"weights": model, "optimiser": optimiser}   # in the loop: what a step changes
        states.restore(parts)                                # they go on from where the state was kept
        yield from states.points                             # what was already done
        for step in range(len(states.points), num_steps):
            ...
            states.keep(point, parts, last=step + 1 == num_steps)
            yield point

They lie in .checkpoints/<stage>[/<round>]/<key>/ of the main repository, outside DVC's outs, which DVC removes before a
stage runs. The key names everything that the bytes depend on, so that no state of other params, data, code or versions
is taken. A state is a file of torch.save whose name holds its step and its checksum: it is there whole, or not at all.
Loading one runs no code that it may hold.
"""

import hashlib
import json
import os
import pickle
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import torch
import transformers
from filelock import FileLock, Timeout
from torch import Tensor, nn

from rlhf.params.base import load
from rlhf.params.tracking import CheckpointsInputs
from rlhf.runs import lineage, mlflow_store
from rlhf.runs.stage_name import StageName
from rlhf.runtime import distributed
from rlhf.secrets import guard

KEPT = 2  # states: if the newest is damaged, the one before it is used
REPOSITORY = Path(__file__).resolve().parents[2]
CODE = ("rlhf", "stages")  # packages whose files count in the key

# What a training loop's step changes, by name: models, optimisers, generators, and dicts of numbers and tensors.
Parts = Mapping[str, nn.Module | torch.optim.Optimizer | torch.Generator | dict[str, Any]]


class KeyParams(Protocol):
    """The params that a key depends on, such as all that a stage reads."""

    def model_dump(self, *, mode: str) -> dict[str, Any]: ...


class States:
    """The states of one stage with one key. Without a folder nothing is kept."""

    def __init__(self, folder: Path | None, every_seconds: float):
        self.folder, self.every_seconds = folder, every_seconds
        self.points: list[dict[str, Any]] = []  # of the loop, up to the state that was found
        self.stopping = False  # SIGTERM came: a state is saved after this step, and the stage ends
        self.lock: FileLock | None = None  # held as long as this object lives
        self.steps_kept = 0  # of the newest state on the disk
        self._tree: Any = None
        self._saved_at = time.monotonic()
        if folder is not None:
            self._find()
            distributed.wait()  # until all have read: the first process removes old states

    @property
    def key(self) -> str:
        """What the bytes depend on, in 16 hexadecimal digits; empty where nothing is kept."""
        return self.folder.name if self.folder else ""

    def restore(self, parts: "Parts") -> None:
        """Give the parts the state that was kept with the last of `points`; leave them where the loop begins anew."""
        tree, self._tree = self._tree, None
        if tree is not None:
            tree = self._whole_tree(tree)
            for name, part in parts.items():
                _load(part, tree[name])

    def keep(self, point: dict[str, Any], parts: "Parts", last: bool) -> None:
        """Take in a step's point; keep the parts' state if it is time: now and then, at the end, or told to stop.

        Where the disk refuses, say so and go on. Raises KeyboardInterrupt after the state is kept where a signal came.
        """
        if self.folder is None:
            return
        self.points.append(point)
        if not self._is_time(last):
            return
        self._write({name: _state_of(part) for name, part in parts.items()})
        self._saved_at = time.monotonic()
        if self.stopping:
            raise KeyboardInterrupt(f"told to stop after step {len(self.points)}")

    def _is_time(self, last: bool) -> bool:
        due = last or self.stopping or time.monotonic() - self._saved_at >= self.every_seconds
        return due and distributed.is_first()

    def _whole_tree(self, tree: Any) -> Any:
        """Return what was kept, with all that lies beside it."""
        return tree

    def discard(self) -> None:
        """Remove all of them: the stage has ended well."""
        if self.folder is not None and distributed.is_first():
            shutil.rmtree(self.folder, ignore_errors=True)

    def _write(self, tree: Any) -> None:
        """Write a state and remove all but the last KEPT."""
        assert self.folder
        temporary = self.folder / f".{os.getpid()}.partial"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with open(temporary, "wb") as file:
                _save({"points": self.points, "tree": tree}, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.folder / f"{len(self.points):08d}.{digest(temporary)}.pt")
            fsync_folder(self.folder)
            self.steps_kept = len(self.points)
            for old in self._files()[KEPT:]:
                old.unlink()
        except OSError as error:
            temporary.unlink(missing_ok=True)
            warn(f"{self.folder}: the state of step {len(self.points)} could not be kept ({error}); training goes on")

    def _files(self) -> list[Path]:
        """All states, newest first."""
        assert self.folder
        return sorted(self.folder.glob("*.pt"), reverse=True)

    def _find(self) -> None:
        for file in self._files():
            try:
                if file.name.split(".")[1] != digest(file):
                    raise ValueError("its checksum is not the one in its name")
                content = loaded(file)
                self._tree, self.points = content["tree"], content["points"]
                self.steps_kept = len(self.points)
                return
            except (OSError, ValueError, KeyError, IndexError, TypeError, RuntimeError) as error:
                warn(f"{file}: a damaged state ({error}); the one before it is used, if there is one")
                if distributed.is_first():  # so that it does not count among the last KEPT
                    file.rename(file.with_suffix(".damaged"))


NONE = States(None, 0.0)


def opened(root: Path, stage: str, params: KeyParams, inputs: Sequence[Path], round_name: str | None = None) -> States:
    """Return the states of this stage with these params and inputs, code and versions, and hold them until it ends.

    Raises ParamsError for a broken section `checkpoints`. Where another process holds them, nothing is kept.
    """
    settings = load(root, CheckpointsInputs).checkpoints
    if settings.every_seconds is None:
        return States(None, 0.0)
    place = mlflow_store.anchor(root) / ".checkpoints" / StageName(stage, round_name).place
    folder = place / _key(stage, round_name, params, inputs)
    lock = _locked(place, folder.name) if distributed.is_first() else None
    if not distributed.gathered(lock is not None)[0]:
        if distributed.is_first():
            warn(f"{stage}: another process runs the same training; this one keeps no states")
        return States(None, 0.0)
    kind = States
    if _in_shards(params):
        from rlhf.runs.sharded_states import ShardedStates as kind  # which builds on this module
    found = kind(folder, settings.every_seconds)
    found.lock = lock
    if distributed.is_first():
        others = [other.name for other in place.iterdir() if other.is_dir() and other != folder]
        if others and not found.points:
            print(f"{stage}: states of other params, data, code or versions are not used: {place}/{', '.join(others)}")
    return found


def _in_shards(params: KeyParams) -> bool:
    """Say whether what is trained lies in shards among the processes: any number of them goes on from its states."""
    return params.model_dump(mode="json").get("runtime", {}).get("sharding") is not None


def _locked(place: Path, key: str) -> FileLock | None:
    """Return the lock on a training's states, held; None where another process holds it."""
    place.mkdir(parents=True, exist_ok=True)
    lock = FileLock(place / f"{key}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return None
    return lock


def _state_of(part: Any) -> Any:
    if isinstance(part, nn.Module):
        return weights(part)
    if isinstance(part, torch.Generator):
        return part.get_state()
    return part if isinstance(part, dict) else part.state_dict()


def _load(part: Any, found: Any) -> None:
    if isinstance(part, nn.Module):
        load_weights(part, found)
    elif isinstance(part, torch.Generator):
        part.set_state(found)
    elif isinstance(part, dict):
        part.update(found)
    else:
        part.load_state_dict(found)


def weights(model: nn.Module) -> dict[str, Tensor]:
    """Return the weights that the model learns, by name, tied ones once; with LoRA adapters and heads alone."""
    return {name: weight.detach() for name, weight in model.named_parameters() if weight.requires_grad}


@torch.no_grad()
def load_weights(model: nn.Module, found: Mapping[str, Tensor]) -> None:
    """Give the model the weights that `weights` returned."""
    for name, weight in weights(model).items():
        weight.copy_(found[name])


def _key(stage: str, round_name: str | None, params: KeyParams, inputs: Sequence[Path]) -> str:
    code = hashlib.sha256()
    for file in sorted(file for package in CODE for file in (REPOSITORY / package).rglob("*.py")):
        code.update(file.relative_to(REPOSITORY).as_posix().encode() + b"\0" + file.read_bytes())
    told, num_processes = params.model_dump(mode="json"), distributed.count()
    if _in_shards(params):
        told["runtime"]["processes"] = num_processes = 0
    known = {
        "stage": stage,
        "round": round_name,
        "params": told,
        "inputs": [lineage.dvc_md5(path) for path in inputs],
        "code": code.hexdigest(),
        "versions": [torch.__version__, transformers.__version__, torch.backends.cpu.get_cpu_capability()],
        "processes": num_processes,
    }
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:16]


def _save(content: Any, file: BinaryIO) -> None:
    """torch.save, which hides the disk's OSError behind a RuntimeError of its own: raises the former."""
    try:
        torch.save(content, file)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


def loaded(file: Path) -> Any:
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise ValueError("it holds more than tensors and plain values; no code in it was run") from None


def digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]


def fsync_folder(folder: Path) -> None:
    opened_folder = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened_folder)
    finally:
        os.close(opened_folder)


def warn(text: str) -> None:
    guard.say(f"WARNING: {text}")

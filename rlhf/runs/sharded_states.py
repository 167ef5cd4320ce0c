"""States of trainings whose models lie in shards: each process writes its own, and any number of them goes on.

A state is a folder: what torch.distributed.checkpoint writes of all tensors that lie as weights do (weights, moments,
averages, copies), `rest.pt` with all else, and last of all `whole.json` with every file's checksum. It takes its name
when it is whole: a kill leaves a `.partial` folder, which nobody reads. What one process keeps here, three go on from,
and the other way round: where nothing lies in shards, tensors are whole.
"""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.checkpoint import state_dict_loader, state_dict_saver
from torch.distributed.checkpoint.api import CheckpointException

from rlhf.runs import checkpoints
from rlhf.runtime import distributed
from rlhf.sharding import shards

REST, WHOLE = "rest.pt", "whole.json"
PLACE = "tensor of weights"  # stands in the rest where a tensor lies beside it


class ShardedStates(checkpoints.States):
    """The states of one stage with one key; all processes call all that they are asked."""

    _found: Path  # the state that is gone on from

    def _is_time(self, last: bool) -> bool:
        return distributed.any_says(super()._is_time(last))

    def _files(self) -> list[Path]:
        """All whole states, newest first, as the first process sees them."""
        assert self.folder
        own = sorted((file.parent for file in self.folder.glob(f"*/{WHOLE}")), reverse=True)
        named = [folder.name for folder in own if not folder.name.endswith((".partial", ".damaged"))]
        return [self.folder / name for name in distributed.gathered(named)[0]]

    def _write(self, tree: Any) -> None:
        assert self.folder
        temporary = self.folder / f"{len(self.points):08d}.partial"
        problem = None
        try:
            if distributed.is_first():
                shutil.rmtree(temporary, ignore_errors=True)
                temporary.mkdir(parents=True)
            distributed.wait()
            self._write_into(temporary, tree)
        except (OSError, CheckpointException) as error:
            problem = error
        if distributed.any_says(problem is not None):
            if distributed.is_first():
                shutil.rmtree(temporary, ignore_errors=True)
                checkpoints.warn(f"{self.folder}: the state of step {len(self.points)} could not be kept ({problem})")
            return
        if distributed.is_first():
            os.replace(temporary, self.folder / f"{len(self.points):08d}")
        self.steps_kept = len(self.points)
        distributed.wait()
        for old in self._files()[checkpoints.KEPT :]:
            if distributed.is_first():
                shutil.rmtree(old)

    def _write_into(self, folder: Path, tree: Any) -> None:
        tensors: dict[str, Tensor] = {}
        rest = _without_tensors(tree, "", tensors)
        state_dict_saver.save(tensors, checkpoint_id=folder, no_dist=distributed.count() == 1)
        if distributed.is_first():
            with open(folder / REST, "wb") as file:
                torch.save({"points": self.points, "tree": rest}, file)
                file.flush()
                os.fsync(file.fileno())
        distributed.wait()
        digests = _digests(folder)
        if distributed.is_first():
            with open(folder / WHOLE, "w", encoding="utf-8") as file:
                json.dump(digests, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            checkpoints.fsync_folder(folder)

    def _find(self) -> None:
        for folder in self._files():
            try:
                wanted = json.loads((folder / WHOLE).read_text(encoding="utf-8"))
                if _digests(folder) != wanted:
                    raise ValueError("a file's checksum is not the one that was kept beside it")
                content = checkpoints.loaded(folder / REST)
                self._tree, self.points, self.steps_kept = content["tree"], content["points"], len(content["points"])
                self._found = folder
                return
            except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
                checkpoints.warn(f"{folder}: a damaged state ({error}); the one before it is used, if there is one")
                distributed.wait()
                if distributed.is_first():
                    folder.rename(folder.with_name(f"{folder.name}.damaged"))

    def _whole_tree(self, tree: Any) -> Any:
        places = dict(_places(tree))
        tensors: dict[str, Tensor] = {}
        for key, (shape, dtype, device) in places.items():
            kind = getattr(torch, dtype)
            alone = distributed.count() == 1
            tensors[key] = torch.zeros(shape, dtype=kind) if alone else shards.zeros(shape, kind, device)
        state_dict_loader.load(tensors, checkpoint_id=self._found, no_dist=distributed.count() == 1)
        return _with_tensors(tree, tensors)


def _without_tensors(tree: Any, key: str, tensors: dict[str, Tensor]) -> Any:
    """Return a tree with a place for each tensor of one or more dimensions, which is put beside it under its key.

    Generators' states are none: they are bytes.
    """
    if isinstance(tree, Tensor) and tree.ndim and tree.is_floating_point():
        tensors[key] = tree
        return {PLACE: [key, [*tree.shape], str(tree.dtype).removeprefix("torch."), tree.device.type]}
    if isinstance(tree, dict):
        return {name: _without_tensors(one, f"{key}/{name}", tensors) for name, one in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(_without_tensors(one, f"{key}/{number}", tensors) for number, one in enumerate(tree))
    return tree


def _places(tree: Any) -> Iterator[tuple[str, tuple[list[int], str, str]]]:
    if isinstance(tree, dict) and PLACE in tree:
        key, shape, dtype, device = tree[PLACE]
        yield key, (shape, dtype, device)
    elif isinstance(tree, dict | list | tuple):
        for one in tree.values() if isinstance(tree, dict) else tree:
            yield from _places(one)


def _with_tensors(tree: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(tree, dict):
        if PLACE in tree:
            return tensors[tree[PLACE][0]]
        return {name: _with_tensors(one, tensors) for name, one in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(_with_tensors(one, tensors) for one in tree)
    return tree


def _digests(folder: Path) -> dict[str, str]:
    """Return every file's checksum but that of the list itself; the processes share the reading."""
    files = sorted(file for file in folder.iterdir() if file.name != WHOLE)
    own = {file.name: checkpoints.digest(file) for file in files[distributed.number() :: distributed.count()]}
    return {name: digest for found in distributed.gathered(own) for name, digest in found.items()}

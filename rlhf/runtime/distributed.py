"""The processes that compute one run together: who this one is, and what they tell one another.

`launch.run`, torchrun or `accelerate launch` starts them; each then runs the whole stage, but for the parts of batches,
which `parallel` and `optimisation` share out, and holds all weights, or its shards (`rlhf.sharding`). All must call the
collective functions, in the same order. Alone, a process imports and sends nothing here.
"""

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:  # stages without tensors import this module too
    from torch import Tensor

Value = TypeVar("Value")

SUMMED_AT_ONCE = 1 << 26  # numbers: more in one message would only take memory

_num_processes = 1


def join(device: str) -> None:
    """Meet the processes that were started with this one, if any; on "cuda" each takes a GPU of its own.

    Raises ValueError where this machine has too few GPUs. `placement.prepare` calls it.
    """
    global _num_processes
    if os.environ.get("WORLD_SIZE", "1") == "1":
        return
    import torch
    from accelerate import PartialState

    if device == "cuda" and int(os.environ["LOCAL_RANK"]) >= torch.cuda.device_count():
        raise ValueError(
            f"{os.environ['LOCAL_WORLD_SIZE']} processes on a machine with {torch.cuda.device_count()} GPUs: start at "
            "most one a GPU (params.yaml: runtime.processes, or accelerate's --num_processes)"
        )
    _num_processes = PartialState(cpu=device == "cpu").num_processes


def leave() -> None:
    """End the meeting, if there is one."""
    if _num_processes > 1:
        from accelerate import PartialState

        PartialState().destroy_process_group()


def count() -> int:
    """Return how many processes compute together."""
    return _num_processes


def number() -> int:
    """Return this process's place among them, from 0."""
    return int(os.environ["RANK"]) if _num_processes > 1 else 0


def is_first() -> bool:
    """Say whether this process speaks for all: it alone writes files and records runs."""
    return os.environ.get("RANK", "0") == "0"


def wait() -> None:
    """Go on when all processes have come here. Collective."""
    if _num_processes > 1:
        import torch

        torch.distributed.barrier()


def gathered(value: Value) -> list[Value]:
    """Return what each process gives, in the processes' order, tensors on this process's device. Collective.

    Values are those that `messages` can hold.
    """
    if _num_processes == 1:
        return [value]
    import torch
    from accelerate import PartialState

    from rlhf.runtime import messages

    device: Any = PartialState().device  # declared as none, where nobody has joined
    own = messages.packed(value)
    lengths = [torch.zeros(1, dtype=torch.long, device=device) for _ in range(_num_processes)]
    torch.distributed.all_gather(lengths, torch.tensor([len(own)], device=device))
    longest = max(int(length) for length in lengths)
    room = [torch.empty(longest, dtype=torch.uint8, device=device) for _ in range(_num_processes)]
    torch.distributed.all_gather(room, torch.nn.functional.pad(own, (0, longest - len(own))).to(device))
    return [messages.unpacked(found[: int(length)].cpu(), device) for found, length in zip(room, lengths, strict=True)]


def any_says(flag: bool) -> bool:
    """Return whether any of the processes says so. Collective."""
    if _num_processes == 1:
        return flag
    import torch
    from accelerate import PartialState

    said = torch.tensor([int(flag)], device=PartialState().device)
    torch.distributed.all_reduce(said, torch.distributed.ReduceOp.MAX)
    return bool(said.item())


def told_by_first(value: Value) -> Value:
    """Return what the first process gives, of whatever type: it is pickled, as no tensor is in it. Collective."""
    if _num_processes == 1:
        return value
    import torch
    from accelerate import PartialState

    found: list[Any] = [value if is_first() else None]
    torch.distributed.broadcast_object_list(found, src=0, device=PartialState().device)
    return found[0]


def summed(tensors: Sequence["Tensor"]) -> list["Tensor"]:
    """Return the sums of all processes' tensors, to the same bits everywhere; shapes are alike. Collective."""
    if _num_processes == 1:
        return list(tensors)
    import torch

    totals: list[Tensor] = []
    for some in _messages(tensors):
        message = torch.cat([tensor.flatten() for tensor in some])
        torch.distributed.all_reduce(message)
        pieces = message.split([tensor.numel() for tensor in some])
        totals += [piece.view(tensor.shape) for piece, tensor in zip(pieces, some, strict=True)]
    return totals


def _messages(tensors: Sequence["Tensor"]) -> Iterator[list["Tensor"]]:
    """Yield the tensors in lists of about SUMMED_AT_ONCE numbers."""
    waiting: list[Tensor] = []
    for tensor in tensors:
        waiting.append(tensor)
        if sum(other.numel() for other in waiting) >= SUMMED_AT_ONCE:
            yield waiting
            waiting = []
    if waiting:
        yield waiting

"""Results as bytes, for tensors' collectives: plain values, lists, tuples, named tuples, mappings, and tensors in them.

A message is a JSON text, and behind it the tensors' own bytes. Unlike a pickle it cannot hold code, and what it cannot
hold is refused where it is sent.
"""

import json
import struct
import sys
from typing import Any

import torch
from torch import Tensor

HEAD = struct.Struct("<Q")  # bytes of the text
PLAIN = (bool, int, float, str)


def packed(value: Any) -> Tensor:
    """Return a value as a message [bytes]. Raises TypeError for what a message cannot hold."""
    tensors: list[Tensor] = []
    text = json.dumps(_told(value, tensors)).encode()
    parts = [torch.frombuffer(bytearray(HEAD.pack(len(text)) + text), dtype=torch.uint8)]
    parts += [tensor.reshape(-1).view(torch.uint8) for tensor in tensors if tensor.numel()]
    return torch.cat(parts)


def unpacked(message: Tensor, device: str | torch.device) -> Any:
    """Return what was packed into a message on a CPU, tensors on this device."""
    (length,) = HEAD.unpack(message[: HEAD.size].numpy().tobytes())
    text = message[HEAD.size : HEAD.size + length].numpy().tobytes()
    return _read(json.loads(text), [HEAD.size + length], message, device)


def _told(value: Any, tensors: list[Tensor]) -> Any:
    """Return a value's form for JSON, and append its tensors."""
    if value is None or type(value) in PLAIN:
        return ["v", value]
    if isinstance(value, Tensor):
        tensors.append(value.detach().cpu().contiguous())
        return ["t", str(value.dtype).removeprefix("torch."), list(value.shape)]
    if isinstance(value, tuple | list):
        items = [_told(one, tensors) for one in value]
        if hasattr(value, "_fields"):
            return ["n", type(value).__module__, type(value).__qualname__, items]
        return ["l" if isinstance(value, list) else "u", items]
    if isinstance(value, dict):
        return ["d", [[_told(key, tensors), _told(one, tensors)] for key, one in value.items()]]
    raise TypeError(f"a message between processes holds plain values and tensors, not {type(value).__name__}")


def _read(told: Any, at: list[int], message: Tensor, device: str | torch.device) -> Any:
    """Return the value of a form; `at`: where in the message the next tensor begins."""
    kind = told[0]
    if kind == "v":
        return told[1]
    if kind == "t":
        dtype, shape = getattr(torch, told[1]), told[2]
        length = torch.Size(shape).numel() * dtype.itemsize
        own = message[at[0] : at[0] + length].clone()  # whose bytes begin where the dtype may
        at[0] += length
        return own.view(dtype).view(shape).to(device)
    if kind == "d":
        return {_read(key, at, message, device): _read(one, at, message, device) for key, one in told[1]}
    items = [_read(one, at, message, device) for one in told[-1]]
    if kind == "n":
        named: Any = sys.modules[told[1]]
        for part in told[2].split("."):
            named = getattr(named, part)
        return named(*items)
    return items if kind == "l" else tuple(items)

"""Models whose weights, gradients and optimiser lie in shards among the processes: torch's FSDP2 (`fully_shard`).

Each block (an item of the model's outermost lists of layers) is gathered while it is computed, forward and backward,
and so is the root, which has all else: embeddings, tied heads, last norm. Nothing stays gathered between two calls: an
optimiser, a norm or a state sees shards and nothing else. Gradients are sums over the processes, not means: each
process adds its share of a batch, weighted by the whole batch.

Every process must call a sharded model as often as the others: `parallel` deals the parts of a batch so.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeGuard, TypeVar

import torch
from torch import Tensor, nn

from rlhf.engine import gathering
from rlhf.params.runtime import Runtime
from rlhf.runtime import distributed, parallel

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh
    from torch.distributed.fsdp import MixedPrecisionPolicy
    from torch.distributed.tensor import DTensor

Result = TypeVar("Result")

_meshes: dict[str, "DeviceMesh"] = {}


def shard(model: nn.Module, runtime: Runtime) -> None:
    """Put a model in place into shards where the params ask for it and there are several processes. Collective."""
    if runtime.sharding is None or distributed.count() == 1 or is_sharded(model):
        return
    over(model, mesh(runtime.device), precision(runtime))
    parallel.walk_in_step()


def over(model: nn.Module, among: "DeviceMesh", policy: "MixedPrecisionPolicy") -> None:
    """Put a model in place into shards among the processes of a mesh."""
    for block in blocks(model):
        _shard(block, among, policy)
    _shard(model, among, policy)


def blocks(model: nn.Module) -> Iterator[nn.Module]:
    """Yield the items with weights of the outermost lists of a model's parts: its layers."""
    for part in model.children():
        if isinstance(part, nn.ModuleList):
            yield from (item for item in part if any(True for _ in item.parameters()))
        else:
            yield from blocks(part)


def _shard(module: nn.Module, among: "DeviceMesh", policy: "MixedPrecisionPolicy") -> None:
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    fully_shard(module, mesh=among, reshard_after_forward=True, mp_policy=policy)  # the root's default is to stay whole
    sharded: Any = module  # its class has changed in place
    sharded.set_gradient_divide_factor(1.0)
    sharded.set_force_sum_reduction_for_comms(True)  # gloo knows no other reduction with a factor
    sharded.set_reduce_scatter_unused_params(True)  # what one part of a batch does not use, another may
    setattr(module, gathering.METHOD, _called)
    register_fsdp_forward_method(module, gathering.METHOD)


def _called(function: Callable[..., Result], *given: Any) -> Result:
    return function(*given)


def precision(runtime: Runtime) -> "MixedPrecisionPolicy":
    """Return what is gathered: on a GPU the low weights that products are computed with, in a half of the messages.

    On a CPU weights stay float32 and are lowered product by product, as in one process. Sums are always float32.
    """
    from torch.distributed.fsdp import MixedPrecisionPolicy

    low = torch.bfloat16 if (runtime.dtype, runtime.device) == ("bfloat16", "cuda") else None
    return MixedPrecisionPolicy(param_dtype=low, reduce_dtype=torch.float32, cast_forward_inputs=False)


def mesh(device: str) -> "DeviceMesh":
    """Return the mesh of all started processes."""
    from torch.distributed.device_mesh import init_device_mesh

    if device not in _meshes:
        _meshes[device] = init_device_mesh(device, (distributed.count(),))
    return _meshes[device]


def is_sharded(model: nn.Module) -> bool:
    """Say whether a model's weights lie in shards."""
    return hasattr(model, gathering.METHOD)


def kind_of(model: nn.Module) -> type[nn.Module]:
    """Return a model's class as it was before it was put into shards."""
    kind = type(model)
    return kind.__bases__[-1] if is_sharded(model) else kind


def within(models: Sequence[nn.Module], function: Callable[[], Result]) -> Result:
    """Return function(), called while what the models have beside their blocks is whole. Collective in shards."""
    if not models:
        return function()
    first, *others = models
    return gathering.within(first, lambda: within(others, function))


@contextmanager
def whole(model: nn.Module) -> Iterator[None]:
    """Gather a model once for all calls of the block, which learn nothing and may differ between processes.

    Each process holds all its weights meanwhile. Collective on both sides.
    """
    parts: list[Any] = [module for module in model.modules() if is_sharded(module)]
    if parts:
        within([model], lambda: None)  # torch finds the root by its first call
    for part in parts:
        part.set_reshard_after_forward(False, recurse=False)
        part.unshard()
    try:
        yield
    finally:
        for part in parts:
            part.set_reshard_after_forward(True, recurse=False)
            part.reshard()


def gathered(tensor: Tensor) -> Tensor:
    """Return a tensor whole, itself where it is. Collective in shards."""
    return tensor.full_tensor() if lies_in_shards(tensor) else tensor


def lies_in_shards(tensor: Tensor) -> TypeGuard["DTensor"]:
    """Say whether a tensor is in shards among the processes."""
    return hasattr(tensor, "full_tensor")


def like(tensor: Tensor, values: Tensor) -> Tensor:
    """Return whole values as `tensor` lies: in shards, where it does; every process must have the same values."""
    if not lies_in_shards(tensor):
        return values
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(values, tensor.device_mesh, tensor.placements, src_data_rank=None)


def zeros(shape: Sequence[int], dtype: torch.dtype, device: str) -> "DTensor":
    """Return zeros that lie in shards as weights of this shape do."""
    from torch.distributed.tensor import Shard
    from torch.distributed.tensor import zeros as made

    return made(*shape, dtype=dtype, device_mesh=mesh(device), placements=[Shard(0)])

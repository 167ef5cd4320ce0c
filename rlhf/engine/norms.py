"""RMSNorm (Zhang & Sennrich 2019) with its gradient written out, in place of transformers' on a CPU.

There every operator on a small model's activations costs a pass over memory and an allocation; the derived gradient of
the library's five operators takes three times the passes of the formula's.
"""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

if TYPE_CHECKING:
    from transformers import PreTrainedModel

REPLACED = {"Qwen2RMSNorm", "LlamaRMSNorm", "MistralRMSNorm", "Qwen3RMSNorm"}  # y = w x / sqrt(mean(x^2) + eps)


class RMSNorm(nn.Module):
    """Root-mean-square normalisation of the last dimension, times a learned weight [D]; any leading shape."""

    def __init__(self, weight: nn.Parameter, eps: float):
        super().__init__()
        self.weight = weight
        self.variance_epsilon = eps

    def forward(self, hidden_states: Tensor) -> Tensor:
        return rms_norm(hidden_states, self.weight, self.variance_epsilon)


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Return weight * x / sqrt(mean(x^2) + eps) over the last dimension, in x's shape."""
    return _Normalised.apply(x, weight, eps)


class _Normalised(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        mean_square = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_().div_(x.shape[-1])
        inverse = mean_square.add_(eps).rsqrt_()  # [..., 1]
        direction = x * inverse
        ctx.save_for_backward(direction, inverse, weight)
        return direction * weight

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]  # one output, one gradient
        direction, inverse, weight = ctx.saved_tensors
        both = gradient * direction
        along = (both @ weight).div_(weight.shape[0]).unsqueeze(-1)  # [..., 1] the part that leaves x's length alone
        to_x = (gradient * weight).addcmul_(direction, along, value=-1).mul_(inverse)
        return to_x, both.flatten(0, -2).sum(0), None


def replace(model: "PreTrainedModel") -> None:
    """Put RMSNorm in place of the model's own where it is the same function; names and values of weights stay."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child).__name__ in REPLACED:
                theirs: Any = child  # nn.Module declares no attributes
                setattr(parent, name, RMSNorm(theirs.weight, theirs.variance_epsilon))

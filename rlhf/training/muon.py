"""Muon (Jordan et al. 2024): hidden matrices move along their momentum made orthogonal, all other weights by AdamW.

A gradient's few strong directions drown the others; with every singular value near 1, what is rare in text is learned
from far fewer tokens. Steps are scaled to AdamW's usual size (Liu et al. 2025, "Muon is scalable for LLM training"), so
that both take the same learning rate and weight decay. torch.optim.Muon computes the same in bfloat16, one by one:
half the time where the CPU has AVX512-BF16, twelve times as long where it has AVX2 alone (docs/decisions.md).

So scaled, a step's singular values grow with the root of the width; in μP its rate is divided by that
(rlhf/models/mup/rates.py).
"""

import torch
from torch import Tensor, nn

from rlhf.models.mup import rates
from rlhf.params.optimisation import Optimisation
from rlhf.runtime import parallel
from rlhf.sharding import shards
from rlhf.training import optimisation

ITERATIONS = 5
COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic (Jordan et al. 2024)
ADAM_STEP = 0.2  # root mean square of AdamW's step in units of the learning rate (Liu et al. 2025, section 2.2)


class Muon(torch.optim.AdamW):
    """AdamW, but for the hidden matrices of `model`, which take Muon's step with Nesterov momentum `momentum`.

    Hidden are all matrices but embeddings and the head. Their "step" is kept only for AdamW's way of loading. A matrix
    that lies in shards is gathered for its step, those of one shape at a time, and every process computes it.
    """

    def __init__(self, model: nn.Module, params: Optimisation, momentum: float):
        embeddings = {module.weight for module in model.modules() if isinstance(module, nn.Embedding)}
        head = getattr(model, "get_output_embeddings", lambda: None)()
        embeddings |= {head.weight} if head is not None else set()
        trained = [weight for weight in model.parameters() if weight.requires_grad]
        hidden = [weight for weight in trained if weight.ndim == 2 and weight not in embeddings]
        chosen = set(hidden)
        groups = optimisation.groups_of(model, [weight for weight in trained if weight not in chosen], params)
        betas = (params.adam_beta1, params.adam_beta2)
        super().__init__(groups, lr=params.learning_rate, betas=betas, eps=params.adam_eps, fused=True)
        scaled = rates.of_muon(model, params.learning_rate, params.weight_decay)
        group = {"params": hidden, "weight_decay": params.weight_decay, "momentum": momentum}
        self.add_param_group(group | scaled)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # noqa: ARG002  # torch's signature
        """Update all weights. The gradients of hidden matrices are used up."""
        group = self.param_groups[-1]
        alike: dict[tuple[int, ...], list[nn.Parameter]] = {}
        for weight in group["params"]:
            if weight.grad is not None:
                alike.setdefault(tuple(sorted(weight.shape)), []).append(weight)
        parts = [part for weights in alike.values() for part in parallel.cut(weights, len(weights))]
        for _ in parallel.here(lambda part: self._move(part, group), parts):
            pass
        super().step()  # leaves weights without a gradient alone

    def _move(self, weights: list[nn.Parameter], group: dict) -> None:
        """Move weights of one shape, some of them transposed."""
        directions = []
        for weight in weights:
            if weight not in self.state:
                self.state[weight] = {"step": torch.tensor(0.0), "momentum": torch.zeros_like(weight)}
            momentum, gradient = self.state[weight]["momentum"], weight.grad
            assert gradient is not None  # `step` takes no others
            momentum.lerp_(gradient, 1 - group["momentum"])
            direction = shards.gathered(gradient.lerp(momentum, group["momentum"]))
            directions.append(direction if direction.shape[0] <= direction.shape[1] else direction.T)
        rate = group["lr"] * ADAM_STEP * max(weights[0].shape) ** 0.5
        for weight, direction in zip(weights, orthogonalised(torch.stack(directions)), strict=True):
            weight.mul_(1 - group["lr"] * group["weight_decay"])
            turned = direction if direction.shape == weight.shape else direction.T
            weight.add_(shards.like(weight, turned), alpha=-rate)
            weight.grad = None


def orthogonalised(matrices: Tensor) -> Tensor:
    """Return matrices [N, R, C], R <= C, with their singular vectors and singular values of about 0.7 to 1.2."""
    first, second, third = COEFFICIENTS
    found = matrices / (matrices.norm(dim=(-2, -1), keepdim=True) + 1e-7)  # no singular value above 1
    for _ in range(ITERATIONS):
        gram = found @ found.mT
        found = torch.baddbmm(found, torch.baddbmm(gram, gram, gram, beta=second, alpha=third), found, beta=first)
    return found

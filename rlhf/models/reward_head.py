"""The scalar head of reward and value models, and what a reward is: pooling, likelihood, activation, shift, gain."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from rlhf.engine import logprobs
from rlhf.models import classifiers
from rlhf.models.forward import completion_states, hidden_states, spread, tied_head
from rlhf.models.loading import load_classifier
from rlhf.models.mup import scaling
from rlhf.params.runtime import Runtime
from rlhf.sharding import shards
from rlhf.tokens.batching import Forked, position_ids, predecessors

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel


class RewardMeaning(NamedTuple):
    """How a score is read off a reward model; its folder's config.json keeps it.

    raw = scalar pooled over the answer + likelihood_coef * the answer's mean log-likelihood (`sequence_rewards`)
    score = (activation(raw) - shift) * gain
    """

    pooling: str  # "last" | "mean"
    likelihood_coef: float
    activation: str = "identity"  # | "sigmoid", of direct scores
    shift: float = 0.0  # mean of the activated scores of the demonstrations (Ouyang et al. 2022, App. C.2)
    gain: float = 1.0

    @classmethod
    def of(cls, config: "PretrainedConfig") -> "RewardMeaning":
        """Return what a folder's config says."""
        return cls(*(getattr(config, f"reward_{name}") for name in cls._fields))

    def write_into(self, config: "PretrainedConfig") -> None:
        """Put it into a config, which is saved with the model."""
        for name, value in self._asdict().items():
            setattr(config, f"reward_{name}", value)

    def scores(self, raw: Tensor) -> Tensor:
        """Return scores of raw rewards, of any shape."""
        activated = raw.sigmoid() if self.activation == "sigmoid" else raw
        return (activated - self.shift) * self.gain


def fold(model: "PreTrainedModel", meaning: RewardMeaning) -> RewardMeaning:
    """Put shift and gain into the weights, so that the head's logit is the score; return what is left to be done.

    The gain scales the head. The shift goes where a bias can hold it exactly: the head's own, or that of the norm
    before it. Where there is neither, it stays: a constant changes no ranking. `unfold` takes both out again.
    """
    head = scalar_head(model)
    config: Any = model.config
    config.reward_folded_shift, config.reward_folded_gain = meaning.shift, meaning.gain
    with torch.no_grad():
        head.weight.mul_(meaning.gain)
        left = 0.0
        if head.bias is not None:
            head.bias.sub_(meaning.shift).mul_(meaning.gain)
            config.reward_folded_into = "head"
        elif (norm := _last_norm(model)) is not None:
            norm.bias.sub_(shards.like(norm.bias, _shifting(head, meaning.shift * meaning.gain)))
            config.reward_folded_into = "norm"
        else:
            config.reward_folded_into, left = "none", meaning.shift * meaning.gain
    return meaning._replace(shift=left, gain=1.0)


def unfold(model: "PreTrainedModel") -> None:
    """Take out of a model's weights what `fold` put there; its config then says shift and gain.

    A value model starts so: it learns at the head's own scale, as if nothing had been folded.
    """
    config: Any = model.config
    into = getattr(config, "reward_folded_into", None)
    if into is None:
        return
    head, shift, gain = scalar_head(model), config.reward_folded_shift, config.reward_folded_gain
    with torch.no_grad():
        if into == "head":
            head.bias.div_(gain).add_(shift)
        elif into == "norm" and (norm := _last_norm(model)) is not None:
            norm.bias.add_(shards.like(norm.bias, _shifting(head, shift * gain)))
        head.weight.div_(gain)
    RewardMeaning.of(config)._replace(shift=shift, gain=gain).write_into(config)
    for name in ("shift", "gain", "into"):
        delattr(config, f"reward_folded_{name}")


def folded_parts(model: "PreTrainedModel") -> list[nn.Module]:
    """Return the parts whose weights `unfold` would change."""
    into = getattr(model.config, "reward_folded_into", None)
    norm = _last_norm(model) if into == "norm" else None
    return [part for part in (scalar_head(model) if into else None, norm) if part is not None]


def _shifting(head: nn.Linear, shift: float) -> Tensor:
    """Return the states [D] that the head takes for `shift`."""
    weight = shards.gathered(head.weight)[0]
    return weight * (shift / weight.square().sum())


def _keeping(made: dict[nn.LayerNorm, Tensor], norm: nn.LayerNorm) -> Any:
    """Return a hook that keeps what a norm has made."""
    return lambda _own, _given, output: made.update([(norm, output)])


def _last_norm(model: "PreTrainedModel") -> nn.LayerNorm | None:
    """Return the norm with a bias whose output is what the head reads; None where there is none."""
    head, read, made = scalar_head(model), [], dict[nn.LayerNorm, Tensor]()
    norms = [module for module in model.modules() if isinstance(module, nn.LayerNorm) and module.bias is not None]
    hooks = [head.register_forward_pre_hook(lambda _, given: read.append(given[0]))]
    hooks += [norm.register_forward_hook(_keeping(made, norm)) for norm in norms]
    try:
        ids = torch.arange(4, device=model.device).remainder(model.config.get_text_config().vocab_size)[None]
        with torch.no_grad():
            model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()
    (states,) = read
    return next((norm for norm, output in made.items() if torch.equal(output, states)), None)


def new_reward_model(
    path: Path | str,
    runtime: Runtime,
    generator: torch.Generator,
    revision: str | None = None,
    longest: int | None = None,
) -> "PreTrainedModel":
    """Return a classifier on the backbone in `path`, its scalar head drawn from N(0, 1 / (d + 1)) (Stiennon 2020).

    On a backbone in μP d is the base width: the states that it reads are divided by m already.

    `revision`: the commit, where `path` is a hub id; `longest`: tokens of the longest row that it will read.
    """
    model = load_classifier(path, runtime, revision, new_head=True, longest=longest)
    head = scalar_head(model)
    width = scaling.base_width(model) or head.in_features
    draws = torch.randn(head.weight.shape, generator=generator) / (width + 1) ** 0.5
    with torch.no_grad():
        head.weight.copy_(draws)
        if head.bias is not None:
            head.bias.zero_()
    return model


def scalar_head(model: "PreTrainedModel") -> nn.Linear:
    """Return the linear layer that makes the scalar: `score` of decoders, `classifier` of encoders."""
    head = getattr(model, "score", None) or getattr(model, "classifier", None)
    if not isinstance(head, nn.Linear):
        raise ValueError(f"{type(model).__name__} has no linear scalar head; adopt a decoder or a BERT-shaped encoder")
    return head


def sequence_rewards(
    model: "PreTrainedModel",
    ids: Tensor,
    mask: Tensor,
    num_answer: Tensor | None = None,
    pooling: str = "last",
    likelihood_coef: float = 0.0,
) -> Tensor:
    """Return the raw reward of each row's answer: [B, T] -> [B]; not yet a score: see `RewardMeaning`.

    An answer is the `num_answer` [B] last real tokens (None: the last one). `pooling` takes the scalar at the last of
    them ("last") or the mean of theirs ("mean"); encoders have one of the whole sequence. To it comes likelihood_coef
    times the mean log-likelihood of the answer's tokens, in nats, by the language model that the backbone and its tied
    embeddings are: the implicit reward of SimPO (Meng et al. 2024, equation 4).
    """
    if classifiers.is_encoder(model):
        return model(input_ids=ids, attention_mask=mask.long()).logits.squeeze(-1).float()
    left = mask.flip(1).cumsum(dim=1).flip(1)  # [B, T] real tokens from here to the end
    answer = mask & (left <= (1 if num_answer is None else num_answer[:, None]))
    owners = torch.arange(len(ids), device=ids.device)[:, None].masked_fill(~answer, -1)  # [B, T]
    pooled = answer if pooling == "mean" else mask & (left == 1)
    rows = _Rows(ids, position_ids(mask), mask.long(), "plain")
    return _pooled_rewards(model, rows, owners, pooled, likelihood_coef, len(ids))


def forked_rewards(model: "PreTrainedModel", forked: Forked, pooling: str, likelihood_coef: float = 0.0) -> Tensor:
    """Return what sequence_rewards gives for each answer, [N], from one pass over every prompt; decoders only."""
    if pooling == "mean":
        pooled = forked.owners >= 0
    else:
        pooled = torch.zeros_like(forked.owners, dtype=torch.bool)
        pooled.view(-1)[forked.lasts] = True
    rows = _Rows(forked.ids, forked.position_ids, forked.segments, "forked")
    return _pooled_rewards(model, rows, forked.owners, pooled, likelihood_coef, len(forked.lasts))


class _Rows(NamedTuple):
    """Rows as `hidden_states` reads them."""

    ids: Tensor  # [B, T]
    positions: Tensor  # [B, T]
    segments: Tensor  # [B, T]
    kind: str


def _pooled_rewards(
    model: "PreTrainedModel", rows: _Rows, owners: Tensor, pooled: Tensor, likelihood_coef: float, num_answers: int
) -> Tensor:
    """Return raw rewards [N]; owners [B, T]: whose token this is, -1 for no answer's; pooled: scalars that count."""
    head = scalar_head(model)
    if not likelihood_coef:
        hidden = hidden_states(model, rows.ids, rows.positions, rows.segments, pooled, rows.kind)  # [M, D]
        return _means(head(hidden).squeeze(-1).float(), owners[pooled], num_answers)
    before = predecessors(rows.segments)  # [B T]
    known = (owners.flatten() >= 0) & (before >= 0)  # the first token of a row that has no prompt follows nothing
    wanted = pooled.flatten().index_fill(0, before[known], True).view_as(pooled)
    hidden = hidden_states(model, rows.ids, rows.positions, rows.segments, wanted, rows.kind)  # [M, D]
    rewards = _means(head(hidden[pooled[wanted]]).squeeze(-1).float(), owners[pooled], num_answers)
    number = wanted.flatten().cumsum(0) - 1  # which of the M a place's state is
    states = hidden[number[before[known]]]
    likelihoods = logprobs.of_hidden(states, tied_head(model), rows.ids.flatten()[known])
    return rewards + likelihood_coef * _means(likelihoods, owners.flatten()[known], num_answers)


def _means(values: Tensor, owners: Tensor, num_owners: int) -> Tensor:
    """Return the mean of each owner's values: two [M] -> [N]."""
    sums = values.new_zeros(num_owners).index_add(0, owners, values)
    return sums / torch.bincount(owners, minlength=num_owners).clamp(min=1)


def token_values(model: "PreTrainedModel", ids: Tensor, mask: Tensor, completion_mask: Tensor) -> Tensor:
    """Return the scalar at the position before each real completion token: [B, T], [B, R] -> [B, R], 0 on padding.

    Position t holds V(s_t): what the value model says before the t-th completion token is chosen.
    """
    hidden = completion_states(model, ids, mask, completion_mask)
    return spread(scalar_head(model)(hidden).squeeze(-1).float(), completion_mask)

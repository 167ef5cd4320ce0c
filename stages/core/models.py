"""Loading, saving and reading models: causal LMs as policies, one-label classifiers as reward and value models.

Folders are what `from_pretrained` reads: safetensors, config, tokenizer with its chat template.
"""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
)
from transformers.utils import logging

from stages.core import allocator, distributed, lean, logprobs, norms, parallel
from stages.core.batching import Forked, position_ids, predecessors, segment_attention
from stages.params.runtime import Runtime


def prepare(runtime: Runtime, seed: int) -> None:
    """Join the other processes; set threads, workers, seeds and determinism; call it once, before any tensor is made.

    Raises ValueError when the params ask for a GPU that is not there.
    """
    if runtime.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("params.yaml: runtime.device is 'cuda' but torch sees no GPU; set it to 'cpu'")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "256")  # of about 2 MB each; see products.num_rows
    allocator.keep_freed_memory()
    distributed.join(runtime.device)
    parallel.set_workers(runtime.workers)
    torch.set_num_threads(runtime.threads // runtime.workers)
    torch.use_deterministic_algorithms(True, warn_only=runtime.device == "cuda")  # CUDA has no deterministic cumsum
    torch.utils.deterministic.fill_uninitialized_memory = False  # costs time; no kernel here reads such memory
    torch.manual_seed(seed)
    logging.set_verbosity_error()
    logging.disable_progress_bar()


def precision(runtime: Runtime) -> AbstractContextManager:
    """Return the context of forward passes: autocast to bfloat16, or none for float32."""
    if runtime.dtype == "bfloat16":
        return torch.autocast(runtime.device, dtype=torch.bfloat16)
    return nullcontext()


def placed(model: PreTrainedModel, runtime: Runtime) -> PreTrainedModel:
    """Return the model on the device; on a CPU, in float32, with the faster RMSNorm."""
    if (runtime.device, runtime.dtype) == ("cpu", "float32"):
        norms.replace(model)
    return model.to(runtime.device)


@contextmanager
def reading(path: Path | str) -> Iterator[None]:
    """Name the folder (or hub id) in whatever the libraries say of a model or tokenizer that they cannot read."""
    try:
        yield
    except (OSError, ValueError, RuntimeError, LookupError, TypeError, SafetensorError) as error:
        if "can't allocate memory" in str(error):
            raise
        words = " ".join(str(error).split())[:500] or type(error).__name__
        raise ValueError(
            f"{path}: this model cannot be read: {words}. Expected a folder (or hub id) with config.json, weights as "
            "model.safetensors of the shapes that it names, and tokenizer.json"
        ) from error


def read_tokenizer(path: Path | str, revision: str | None = None) -> Any:
    """Return the tokenizer of a folder or hub id, whatever markers it has or lacks."""
    with reading(path):
        return AutoTokenizer.from_pretrained(path, **({} if revision is None else {"revision": revision}))


def load_tokenizer(path: Path | str) -> Any:
    """Return the tokenizer of a model folder. Raises ValueError where PAD is missing or the same as EOS."""
    tokenizer = read_tokenizer(path)
    if tokenizer.eos_token_id is None:
        raise ValueError(f"{path}: the tokenizer has no EOS token; set eos_token in its tokenizer_config.json")
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id == tokenizer.eos_token_id:
        raise ValueError(f"{path}: the tokenizer needs a PAD token that is not EOS, or answers never learn to end")
    return tokenizer


def load_causal(path: Path | str, runtime: Runtime, dropout: float = 0.0) -> PreTrainedModel:
    """Return a causal LM in float32 in eval mode on the device; `dropout` replaces the folder's residual dropout."""
    with reading(path):
        config = AutoConfig.from_pretrained(path)
        set_dropout(config, dropout)
        model = AutoModelForCausalLM.from_pretrained(
            path, config=config, dtype=torch.float32, use_safetensors=True, attn_implementation=runtime.attention
        )
    return placed(model, runtime).eval()


def load_policy(path: Path | str, runtime: Runtime) -> tuple[PreTrainedModel, Any]:
    """Return (model, tokenizer) of a policy's folder, dropout off."""
    return load_causal(path, runtime), load_tokenizer(path)


def load_classifier(path: Path | str, runtime: Runtime) -> PreTrainedModel:
    """Return a one-label sequence classifier (reward or value model), dropout off, in eval mode on the device."""
    with reading(path):
        config = AutoConfig.from_pretrained(path, num_labels=1)
        set_dropout(config, 0.0)
        model = AutoModelForSequenceClassification.from_pretrained(
            path, config=config, dtype=torch.float32, use_safetensors=True, attn_implementation=runtime.attention
        )
    return placed(model, runtime).eval()


def new_reward_model(path: Path | str, runtime: Runtime, generator: torch.Generator) -> PreTrainedModel:
    """Return a classifier on the backbone in `path`, its scalar head drawn from N(0, 1 / (d + 1)) (Stiennon 2020)."""
    model = load_classifier(path, runtime)
    head = scalar_head(model)
    draws = torch.randn(head.weight.shape, generator=generator) / (head.in_features + 1) ** 0.5
    with torch.no_grad():
        head.weight.copy_(draws)
        if head.bias is not None:
            head.bias.zero_()
    return model


def set_dropout(config: Any, dropout: float) -> None:
    """Set every dropout rate that the architecture's configuration knows, in place of the folder's."""
    for name in list(vars(config)):
        if name.endswith(("_pdrop", "_dropout", "_dropout_prob")) or name == "dropout":
            setattr(config, name, dropout)


def scalar_head(model: PreTrainedModel) -> nn.Linear:
    """Return the linear layer that makes the scalar: `score` of decoders, `classifier` of encoders."""
    head = getattr(model, "score", None) or getattr(model, "classifier", None)
    if not isinstance(head, nn.Linear):
        raise ValueError(f"{type(model).__name__} has no linear scalar head; adopt a decoder or a BERT-shaped encoder")
    return head


def is_encoder(model: PreTrainedModel) -> bool:
    """Say whether the classifier's backbone is bidirectional (its head stands on a pooled token)."""
    return not hasattr(model, "score")


def sequence_rewards(
    model: PreTrainedModel,
    ids: Tensor,
    mask: Tensor,
    num_answer: Tensor | None = None,
    pooling: str = "last",
    likelihood_coef: float = 0.0,
) -> Tensor:
    """Return the raw reward of each row's answer: [B, T] -> [B]; not yet shifted: see `rewards.RewardScorer`.

    An answer is the `num_answer` [B] last real tokens (None: the last one). `pooling` takes the scalar at the last of
    them ("last") or the mean of theirs ("mean"); encoders have one of the whole sequence. To it comes likelihood_coef
    times the mean log-likelihood of the answer's tokens, in nats, by the language model that the backbone and its tied
    embeddings are: the implicit reward of SimPO (Meng et al. 2024, equation 4).
    """
    if is_encoder(model):
        return model(input_ids=ids, attention_mask=mask.long()).logits.squeeze(-1).float()
    left = mask.flip(1).cumsum(dim=1).flip(1)  # [B, T] real tokens from here to the end
    answer = mask & (left <= (1 if num_answer is None else num_answer[:, None]))
    owners = torch.arange(len(ids), device=ids.device)[:, None].masked_fill(~answer, -1)  # [B, T]
    pooled = answer if pooling == "mean" else mask & (left == 1)
    rows = _Rows(ids, position_ids(mask), mask.long(), "plain")
    return _pooled_rewards(model, rows, owners, pooled, likelihood_coef, len(ids))


def forked_rewards(model: PreTrainedModel, forked: Forked, pooling: str, likelihood_coef: float = 0.0) -> Tensor:
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
    model: PreTrainedModel, rows: _Rows, owners: Tensor, pooled: Tensor, likelihood_coef: float, num_answers: int
) -> Tensor:
    """Return raw rewards [N]; owners [B, T]: whose token this is, -1 for no answer's; pooled: scalars that count."""
    wanted = pooled
    if likelihood_coef:
        before = predecessors(rows.segments)  # [B T]
        known = (owners.flatten() >= 0) & (before >= 0)  # the first token of a row that has no prompt follows nothing
        wanted = pooled.flatten().index_fill(0, before[known], True).view_as(pooled)
    hidden = hidden_states(model, rows.ids, rows.positions, rows.segments, wanted, rows.kind)  # [M, D]
    of_pooled = hidden[pooled[wanted]] if likelihood_coef else hidden
    rewards = _means(model.score(of_pooled).squeeze(-1).float(), owners[pooled], num_answers)
    if likelihood_coef:
        number = wanted.flatten().cumsum(0) - 1  # which of the M a place's state is
        states = hidden[number[before[known]]]
        likelihoods = logprobs.of_hidden(states, tied_head(model), rows.ids.flatten()[known])
        rewards = rewards + likelihood_coef * _means(likelihoods, owners.flatten()[known], num_answers)
    return rewards


def _means(values: Tensor, owners: Tensor, num_owners: int) -> Tensor:
    """Return the mean of each owner's values: two [M] -> [N]."""
    sums = values.new_zeros(num_owners).index_add(0, owners, values)
    return sums / torch.bincount(owners, minlength=num_owners).clamp(min=1)


def token_values(model: PreTrainedModel, ids: Tensor, mask: Tensor, completion_mask: Tensor) -> Tensor:
    """Return the scalar at the position before each real completion token: [B, T], [B, R] -> [B, R], 0 on padding.

    Position t holds V(s_t): what the value model says before the t-th completion token is chosen.
    """
    hidden = completion_states(model, ids, mask, completion_mask)
    return spread(model.score(hidden).squeeze(-1).float(), completion_mask)


def completion_states(model: PreTrainedModel, ids: Tensor, mask: Tensor, completion_mask: Tensor) -> Tensor:
    """Return the last hidden states that predict the M real ones of the R last tokens: [B, T], [B, R] -> [M, D]."""
    wanted = torch.zeros_like(mask[:, :-1])
    wanted[:, -completion_mask.shape[1] :] = completion_mask
    read = mask[:, :-1] & mask[:, 1:]  # a sequence's last token predicts nothing
    return hidden_states(model, ids[:, :-1], position_ids(mask)[:, :-1], read.long(), wanted)


def hidden_states(
    model: PreTrainedModel, ids: Tensor, positions: Tensor, segments: Tensor, wanted: Tensor, kind: str = "plain"
) -> Tensor:
    """Return the backbone's last hidden states of the M wanted tokens, row after row: four [B, T] -> [M, D].

    segments: 0 on padding. `kind` of rows: "plain" (one sequence a row, segment 1), "packed" (several, blind to one
    another) or "forked" (segment 1 begins all others of its row).
    """
    if lean.supports(model):
        return lean.hidden_states(model, ids, positions, segments, wanted, kind == "forked")
    seen = segments if kind == "plain" else segment_attention(segments, torch.float32, kind == "forked")
    hidden = model.base_model(input_ids=ids, attention_mask=seen, position_ids=positions, use_cache=False)
    return hidden.last_hidden_state[wanted]


def output_head(model: PreTrainedModel) -> nn.Linear:
    """Return the layer that makes logits of hidden states. Raises ValueError for models that change logits after it."""
    _check_plain_logits(model)
    return model.get_output_embeddings()


def tied_head(model: PreTrainedModel) -> logprobs.Head:
    """Return the same of a classifier, whose embeddings are tied. Raises ValueError where they are not."""
    _check_plain_logits(model)
    if not model.config.tie_word_embeddings:
        raise ValueError(
            f"{type(model).__name__} does not tie its output layer to its word embeddings, so a reward model on it "
            "knows no likelihoods; set likelihood_coef to 0, or adopt a base model with tied embeddings (pretrain.path)"
        )
    return logprobs.Head(model.get_input_embeddings().weight, None)


def _check_plain_logits(model: PreTrainedModel) -> None:
    for name in ("final_logit_softcapping", "logit_scale", "logits_scaling", "lm_head_multiplier"):
        if getattr(model.config, name, None) not in (None, 1, 1.0):
            raise ValueError(
                f"{type(model).__name__} changes its logits by {name}, which is not supported; adopt another base "
                "model (pretrain.path), such as one of the GPT-2, Llama, Qwen or Mistral families"
            )


def spread(values: Tensor, mask: Tensor) -> Tensor:
    """Return values [M] at the M places where mask [B, R] is True, 0 elsewhere."""
    return values.new_zeros(mask.shape).masked_scatter(mask, values)


def save(model: PreTrainedModel, tokenizer: Any, folder: Path) -> None:
    """Write model and tokenizer into `folder` as `from_pretrained` reads them; of several processes the first does."""
    if not distributed.is_first():
        return
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)

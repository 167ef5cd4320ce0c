"""Loading, saving and reading models: causal LMs as policies, one-label classifiers as reward and value models.

Folders are what `from_pretrained` reads: safetensors, config, tokenizer with its chat template.
"""

import os
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
)
from transformers.utils import logging

from stages.core import allocator, norms, parallel
from stages.core.batching import Forked, position_ids, segment_attention
from stages.params.runtime import Runtime


def prepare(runtime: Runtime, seed: int) -> None:
    """Set threads, workers, seeds and determinism for this process; call it once, before any tensor is made.

    Raises ValueError when the params ask for a GPU that is not there.
    """
    if runtime.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("params.yaml: runtime.device is 'cuda' but torch sees no GPU; set it to 'cpu'")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    allocator.keep_freed_memory()
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


def load_tokenizer(path: Path | str) -> Any:
    """Return the tokenizer of a model folder. Raises ValueError where PAD is missing or the same as EOS."""
    tokenizer = AutoTokenizer.from_pretrained(path)
    if tokenizer.eos_token_id is None:
        raise ValueError(f"{path}: the tokenizer has no EOS token; set eos_token in its tokenizer_config.json")
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id == tokenizer.eos_token_id:
        raise ValueError(f"{path}: the tokenizer needs a PAD token that is not EOS, or answers never learn to end")
    return tokenizer


def load_causal(path: Path | str, runtime: Runtime, dropout: float = 0.0) -> PreTrainedModel:
    """Return a causal LM in float32 in eval mode on the device; `dropout` replaces the folder's residual dropout."""
    config = AutoConfig.from_pretrained(path)
    set_dropout(config, dropout)
    model = AutoModelForCausalLM.from_pretrained(
        path, config=config, dtype=torch.float32, attn_implementation=runtime.attention
    )
    return placed(model, runtime).eval()


def load_policy(path: Path | str, runtime: Runtime) -> tuple[PreTrainedModel, Any]:
    """Return (model, tokenizer) of a policy's folder, dropout off."""
    return load_causal(path, runtime), load_tokenizer(path)


def load_classifier(path: Path | str, runtime: Runtime) -> PreTrainedModel:
    """Return a one-label sequence classifier (reward or value model), dropout off, in eval mode on the device."""
    config = AutoConfig.from_pretrained(path, num_labels=1)
    set_dropout(config, 0.0)
    model = AutoModelForSequenceClassification.from_pretrained(
        path, config=config, dtype=torch.float32, attn_implementation=runtime.attention
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


def sequence_rewards(model: PreTrainedModel, ids: Tensor, mask: Tensor, num_last: Tensor | None = None) -> Tensor:
    """Return the scalar at the last real token (decoders) or of the pooled sequence (encoders): [B, T] -> [B].

    With `num_last` [B], the mean of the scalars at that many last real tokens. Not yet shifted: `rewards.RewardScorer`
    applies the shift, in one place.
    """
    if is_encoder(model):
        return model(input_ids=ids, attention_mask=mask.long()).logits.squeeze(-1).float()
    hidden = _hidden(model, ids, mask)  # [B, T, D]
    if num_last is not None:
        left = mask.flip(1).cumsum(dim=1).flip(1)  # [B, T] real tokens from here to the end
        chosen = mask & (left <= num_last[:, None])
        scalars = model.score(hidden).squeeze(-1).float()  # [B, T]
        return (scalars * chosen).sum(dim=1) / chosen.sum(dim=1)
    positions = torch.arange(ids.shape[1], device=ids.device)
    last = (positions * mask).argmax(dim=1)  # [B]
    return model.score(hidden[torch.arange(len(ids), device=ids.device), last]).squeeze(-1).float()


def forked_rewards(model: PreTrainedModel, forked: Forked, pooling: str) -> Tensor:
    """Return what sequence_rewards gives for each answer, [N], from one pass over every prompt; decoders only.

    `pooling` is "last" (the answer's last token) or "mean" (of its tokens).
    """
    hidden = model.base_model(
        input_ids=forked.ids,
        attention_mask=segment_attention(forked.segments, torch.float32, forked=True),
        position_ids=forked.position_ids,
        use_cache=False,
    ).last_hidden_state  # [B, T, D]
    scalars = model.score(hidden).squeeze(-1).float().flatten()  # [B * T]
    if pooling == "last":
        return scalars[forked.lasts]
    owners = forked.owners.flatten()
    counted = owners >= 0
    sums = scalars.new_zeros(len(forked.lasts)).index_add(0, owners[counted], scalars[counted])
    return sums / torch.bincount(owners[counted], minlength=len(sums))


def token_values(model: PreTrainedModel, ids: Tensor, mask: Tensor, num_last: int) -> Tensor:
    """Return the scalar at the positions before each of the `num_last` last tokens: [B, T] -> [B, num_last].

    Position t holds V(s_t): what the value model says before the t-th completion token is chosen.
    """
    hidden = _hidden(model, ids[:, :-1], mask[:, :-1])[:, -num_last:]  # [B, R, D]
    return model.score(hidden).squeeze(-1).float()


def completion_logits(model: PreTrainedModel, ids: Tensor, mask: Tensor, num_last: int) -> Tensor:
    """Return the logits that predict the `num_last` last tokens: [B, T] -> [B, num_last, V]."""
    return model(
        input_ids=ids[:, :-1],
        attention_mask=mask[:, :-1].long(),
        position_ids=position_ids(mask)[:, :-1],
        logits_to_keep=num_last,
        use_cache=False,
    ).logits


def save(model: PreTrainedModel, tokenizer: Any, folder: Path) -> None:
    """Write model and tokenizer into `folder` as `from_pretrained` reads them."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _hidden(model: PreTrainedModel, ids: Tensor, mask: Tensor) -> Tensor:
    return model.base_model(
        input_ids=ids, attention_mask=mask.long(), position_ids=position_ids(mask), use_cache=False
    ).last_hidden_state

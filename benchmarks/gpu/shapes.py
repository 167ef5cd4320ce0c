"""The work of the GPU's benchmarks, for ours and for the peers alike. Imports nothing of either.

Weights are random and Llama-shaped, lengths and ids are drawn from seeds: only time, memory and rounding are of
interest.
"""

import gc
import json
import resource
import time
from typing import Any, NamedTuple

import torch
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import WordLevel
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, LlamaConfig, PreTrainedTokenizerFast

PAD, EOS = 0, 1
EPOCHS, MINIBATCHES = 4, 4  # of a PPO iteration
LEARNING_RATE = 3e-6


class Shape(NamedTuple):
    layers: int
    width: int
    inner: int  # of the MLP
    heads: int
    groups: int  # heads of keys and values
    vocab: int
    prompts: int  # of an iteration
    prompt_tokens: tuple[int, int]  # shortest, longest
    new_tokens: int


SHAPES = {
    "135m": Shape(30, 576, 1536, 9, 3, 49152, 64, (32, 128), 128),  # SmolLM2-135M's
    "1b": Shape(16, 2048, 8192, 32, 8, 128256, 64, (32, 128), 128),  # Llama-3.2-1B's
    "small": Shape(2, 32, 64, 2, 1, 200, 8, (4, 12), 6),  # of a test on a CPU
}


def config(shape: Shape, **more: Any) -> LlamaConfig:
    sizes = {"hidden_size": shape.width, "intermediate_size": shape.inner, "num_hidden_layers": shape.layers}
    heads = {"num_attention_heads": shape.heads, "num_key_value_heads": shape.groups}
    ends = {"pad_token_id": PAD, "eos_token_id": EOS, "bos_token_id": EOS}
    length = {"max_position_embeddings": 1024, "vocab_size": shape.vocab, "tie_word_embeddings": True}
    return LlamaConfig(**sizes, **heads, **ends, **length, **more)


def policy(shape: Shape, device: str) -> Any:
    """Return a causal LM whose answers end about never: at so many tokens of vocabulary all are as likely."""
    torch.manual_seed(0)
    with torch.device(device):
        return AutoModelForCausalLM.from_config(config(shape), attn_implementation="sdpa").eval()


def scalar_model(shape: Shape, device: str, seed: int) -> Any:
    torch.manual_seed(seed)
    with torch.device(device):
        return AutoModelForSequenceClassification.from_config(
            config(shape, num_labels=1), attn_implementation="sdpa"
        ).eval()


def tokenizer(shape: Shape) -> PreTrainedTokenizerFast:
    words = {"<pad>": PAD, "<eos>": EOS} | {f"w{number}": number for number in range(2, shape.vocab)}
    made = Tokenizer(WordLevel(words, unk_token="w2"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    names = {"pad_token": "<pad>", "eos_token": "<eos>", "unk_token": "w2"}
    return PreTrainedTokenizerFast(tokenizer_object=made, padding_side="left", **names)


def prompts(shape: Shape) -> list[list[int]]:
    generator = torch.Generator().manual_seed(0)
    low, high = shape.prompt_tokens
    lengths = torch.randint(low, high + 1, (shape.prompts,), generator=generator).tolist()
    return [torch.randint(2, shape.vocab, (length,), generator=generator).tolist() for length in lengths]


def operations(shape: Shape, answer_tokens: float) -> dict[str, float]:
    """Return the floating-point operations of an iteration's matrix products, by phase; attention scores left out.

    A product with [m, n] weights costs 2 m n a token, its gradient twice that. Rollouts ask the policy once; an update
    asks policy and value model, forward and gradient, each epoch. Logits are asked for at answers' tokens alone.
    """
    width, group = shape.width, shape.width * shape.groups // shape.heads
    layer = 2 * width * width + 2 * width * group + 3 * width * shape.inner
    tokens = sum(map(len, prompts(shape))) + answer_tokens
    body, head = 2 * shape.layers * layer * tokens, 2 * shape.vocab * width * answer_tokens
    return {"rollout": body + head, "update": 3 * EPOCHS * (2 * body + head)}


def synchronise(device: str) -> float:
    """Return the time when the device has done all that it was told to."""
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def peak_gigabytes(device: str) -> float:
    """Return the most that tensors held on a GPU, or this process on a CPU."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def forget(device: str) -> None:
    """Give back what nobody holds any more, and count the most that is held anew."""
    gc.collect()  # models and optimisers hold one another
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def tell(row: str, **found: Any) -> None:
    """Say what a row has measured; the driver reads it at once, so that a part that is cut off keeps its first rows."""
    rounded = {name: float(f"{value:.4g}") if isinstance(value, float) else value for name, value in found.items()}
    print(json.dumps({"row": row} | rounded), flush=True)

"""The work that ours and the peers do alike: models, prompts, ranked answers, dialogues. Imports nothing of either.

Lengths and token ids are drawn from seeds; weights are random, GPT-2-shaped, dropout off. Only the time is of interest.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import WordLevel
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, GPT2Config, PreTrainedTokenizerFast

THREADS = 2
PAD, EOS = 0, 1
EPOCHS, MINIBATCHES, NEW_TOKENS = 4, 4, 48  # of a PPO update
LEARNING_RATE = 3e-6
ROWS_OF_TOKENS, SFT_EXAMPLES = 256, 128


class Case(NamedTuple):
    kind: str  # ppo | reward | sft
    unit: str
    amount: float  # units of work in one repetition
    layers: int = 4
    width: int = 256
    heads: int = 4
    vocab: int = 2048
    prompts: int = 64
    answers: int = 0  # K
    ends: bool = False  # PPO: answers end by EOS, after 16 tokens on average
    rank: int = 0  # PPO: of LoRA on all linear layers of policy and value model; 0: all weights are trained


def pairs(prompts: int, answers: int) -> float:
    return prompts * answers * (answers - 1) / 2


CASES = {
    "ppo_fixed_length": Case("ppo", "episodes/s", 64),
    "ppo_with_eos": Case("ppo", "episodes/s", 64, ends=True),
    "ppo_gpt2_small": Case("ppo", "episodes/s", 16, layers=12, width=768, heads=12, vocab=50257, prompts=16),
    "reward_k4": Case("reward", "pairs/s", pairs(8, 4), prompts=8, answers=4),
    "reward_k9": Case("reward", "pairs/s", pairs(4, 9), prompts=4, answers=9),
    "ppo_lora_gpt2_small": Case(
        "ppo", "episodes/s", 16, layers=12, width=768, heads=12, vocab=50257, prompts=16, rank=8
    ),
    "reward_gpt2_small": Case(
        "reward", "pairs/s", pairs(4, 4), layers=12, width=768, heads=12, vocab=50257, prompts=4, answers=4
    ),
    "sft": Case("sft", "real tokens/s", 0),  # the amount is known when lengths are drawn
}


class Turns:
    """A side waits for its turn, does one repetition, and says how long it took. The driver is on the other end."""

    def __init__(self) -> None:
        self.began = 0.0

    def wait(self) -> None:
        if not sys.stdin.readline():
            sys.exit()
        self.began = time.perf_counter()

    def done(self, **more: Any) -> None:
        print(json.dumps({"seconds": time.perf_counter() - self.began} | more), flush=True)


def tokenizer(case: Case) -> PreTrainedTokenizerFast:
    words = {"<pad>": PAD, "<eos>": EOS} | {f"w{number}": number for number in range(2, case.vocab)}
    made = Tokenizer(WordLevel(words, unk_token="w2"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", eos_token="<eos>", unk_token="w2", padding_side="left"
    )


def config(case: Case, **more: Any) -> GPT2Config:
    shape = {"n_layer": case.layers, "n_embd": case.width, "n_head": case.heads, "vocab_size": case.vocab}
    off = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    return GPT2Config(**shape, **off, n_positions=1024, pad_token_id=PAD, eos_token_id=EOS, bos_token_id=EOS, **more)


def adapters(case: Case, of: str) -> dict[str, Any]:
    """Return what PEFT's configuration says of both sides' adapters; `of`: CAUSAL_LM | SEQ_CLS."""
    return {
        "r": case.rank, "lora_alpha": 2 * case.rank, "lora_dropout": 0.0, "task_type": of, "fan_in_fan_out": True,
        "target_modules": ["c_attn", "c_proj", "c_fc"],
    }  # fmt: skip


def policy(case: Case, attention: str) -> Any:
    """Return a causal LM that never says PAD, and EOS never or once in 16 tokens, whatever came before."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config(case), attn_implementation=attention)
    with torch.no_grad():
        embeddings = model.transformer.wte.weight
        embeddings[:, 0] = 0
        embeddings[[PAD, EOS]] = 0
        embeddings[PAD, 0], embeddings[EOS, 0] = -10.0, (0.978 if case.ends else -10.0)
        model.transformer.ln_f.weight[0], model.transformer.ln_f.bias[0] = 0.0, 5.0
    return model


def scalar_model(case: Case, attention: str, seed: int) -> Any:
    torch.manual_seed(seed)
    return AutoModelForSequenceClassification.from_config(config(case, num_labels=1), attn_implementation=attention)


def prompts(case: Case) -> list[list[int]]:
    """8 to 32 tokens each."""
    return _rows(case, [_between(8, 32, number) for number in range(case.prompts)])


def ranked(case: Case) -> list[tuple[list[int], list[list[int]]]]:
    """Prompts of 32 to 96 tokens, each with K answers of 16 to 48 tokens, best first."""
    heads = _rows(case, [_between(32, 96, number) for number in range(case.prompts)])
    lengths = [_between(16, 48, 1000 + number) for number in range(case.prompts * case.answers)]
    tails = _rows(case, lengths, seed=1)
    return [(head, tails[i * case.answers : (i + 1) * case.answers]) for i, head in enumerate(heads)]


def dialogues(case: Case) -> list[tuple[list[int], int]]:
    """Rows of 20 to 200 tokens, 80 on average, and how many of the first are the prompt's: 20 to 60%."""
    lengths = [min(_between(20, 200, number), _between(20, 200, 5000 + number)) for number in range(SFT_EXAMPLES)]
    rows = _rows(case, lengths)
    return [(row, len(row) * _between(20, 60, 9000 + number) // 100) for number, row in enumerate(rows)]


def operations(case: Case, completion_tokens: float = 0) -> dict[str, float]:
    """Return the floating-point operations of one repetition's matrix products, by phase.

    Padding and attention scores are left out. A product with [m, n] weights costs 2 m n a token, its gradient twice
    that. PPO: the rollout asks the policy once, the scoring policy, reference, value and reward model once, the update
    policy and value model, forward and gradient, each epoch. The vocabulary is asked for at completion tokens only, and
    so is the last layer, but for keys and values; a reward model's last layer at the answers' ends.
    """
    if case.kind == "ppo":
        wanted = case.prompts * completion_tokens
        body = _body(case, sum(map(len, prompts(case))) + wanted, wanted)
        head = 2 * case.vocab * case.width * wanted
        return {"rollout": body + head, "scoring": 4 * body + 2 * head, "update": 3 * EPOCHS * (2 * body + head)}
    if case.kind == "reward":
        tokens = sum(len(prompt) + sum(map(len, answers)) for prompt, answers in ranked(case))
        return {"update": 3 * _body(case, tokens, case.prompts * case.answers)}
    rows = dialogues(case)
    wanted = sum(len(ids) - prompt for ids, prompt in rows)
    head = 2 * case.vocab * case.width * wanted
    return {"update": 3 * (_body(case, sum(len(ids) - 1 for ids, _ in rows), wanted) + head)}


def _body(case: Case, tokens: float, last: float) -> float:
    """Operations of the layers, forward, where the last one is asked for so many tokens."""
    return 2 * case.width**2 * (12 * ((case.layers - 1) * tokens + last) + 2 * (tokens - last))


def _between(low: int, high: int, seed: int) -> int:
    return int(torch.randint(low, high + 1, (1,), generator=torch.Generator().manual_seed(seed)))


def _rows(case: Case, lengths: list[int], seed: int = 0) -> list[list[int]]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(2, case.vocab, (length,), generator=generator).tolist() for length in lengths]


def run(sides: dict[str, Callable[[Case, dict], None]]) -> None:
    """Run one side of one case: `python -m ... CASE SETTINGS`."""
    case = CASES[sys.argv[1]]
    torch.set_num_threads(THREADS)
    sides[case.kind](case, json.loads(sys.argv[2]))

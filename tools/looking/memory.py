"""The table that `python -m tools.check` prints by hand: what each stage will hold in memory, on paper.

Sizes come from the shape that params.yaml names, or from a config.json; torch is not loaded. Rows are taken to be as
long as the params allow, so that real data holds less.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rlhf.engine import memory
from rlhf.engine.memory import FLOAT32, Dimensions, Held, Work
from rlhf.models import shapes
from rlhf.params.base import place_of

COLUMNS = ("weights", "gradients", "optimiser", "frozen", "activations", "copies")


def lines(params: Any, root: Path) -> Iterator[str]:
    """Yield the table's lines, in millions of bytes; one line that says why there is none."""
    sizes = dimensions(params, root)
    if sizes is None:
        yield "memory: the model's sizes are known when it is read (data/pretrain); no estimate before"
        return
    stages = plan(params, sizes)
    yield (
        f"memory on paper, MB a process, of {sizes.policy() / 1e6:.3g} million weights, rows as long as params allow, "
        f"{memory.PROGRAM / 1e6:.0f} of them the program itself:"
    )
    yield f"{'stage':14}" + "".join(f"{name:>13}" for name in (*COLUMNS, "total"))
    for stage, held in stages.items():
        yield f"{stage:14}" + "".join(f"{number / 1e6:13,.0f}" for number in (*held, held.total))


def dimensions(params: Any, root: Path) -> Dimensions | None:
    """Return the sizes of the model of the params; None for one that cannot be looked at yet, or of another kind."""
    if params.pretrain.source == "scratch":
        try:
            shape = shapes.named(params.pretrain.shape)
        except ValueError:  # check says it
            return None
        gated = shape.family == "qwen2"
        inner = shape.width * 8 // 3 // 16 * 16 if gated else 4 * shape.width
        head, context = shapes.head_size(shape), 0 if gated else shape.context
        sizes = (shape.layers, shape.width, inner, shape.heads, shape.heads, head)
        return Dimensions(*sizes, params.pretrain.vocab_size, context, gated, True)
    named = getattr(params.pretrain, "path", None)
    places = [place_of(named, root)] if named else []
    for folder in (*places, root / "data/pretrain"):
        try:
            return of_config(json.loads((folder / "config.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None


def of_config(config: dict[str, Any]) -> Dimensions:
    """Return the sizes that a config.json of a GPT-2- or Llama-shaped decoder names. Raises KeyError for others."""
    if "n_embd" in config:
        width, heads = config["n_embd"], config["n_head"]
        inner = config.get("n_inner") or 4 * width
        sizes = (config["n_layer"], width, inner, heads, heads, width // heads)
        return Dimensions(*sizes, config["vocab_size"], config["n_positions"], False, True)
    width, heads = config["hidden_size"], config["num_attention_heads"]
    keys, head = config.get("num_key_value_heads") or heads, config.get("head_dim") or width // heads
    sizes = (config["num_hidden_layers"], width, config["intermediate_size"], heads, keys, head)
    return Dimensions(*sizes, config["vocab_size"], 0, True, config.get("tie_word_embeddings", True))


def plan(params: Any, sizes: Dimensions) -> dict[str, Held]:
    """Return what each stage with a model holds."""
    found = {name: _supervised(params, getattr(params, name), sizes) for name in ("sft", "feedme")}
    found |= {name: _reward(params, getattr(params, name), sizes) for name in ("reward_model", "judge")}
    found["ppo"] = _ppo(params, sizes)
    if params.rejection.train:
        found["rejection"] = _rejection(params, sizes)
    if params.dpo.train:
        found["dpo"] = _dpo(params, sizes)
    return found


def _low(params: Any) -> int:
    return 2 if params.runtime.dtype == "bfloat16" else FLOAT32


def _work(params: Any, section: Any, tokens: int, row: int, scored: int) -> Work:
    again = bool(params.runtime.gradient_checkpointing)
    return Work(tokens, row, _low(params), scored, again, section.lora is not None)


def _part(params: Any, rows: int, most: int, num_models: int = 1) -> int:
    sharing = max(1, params.runtime.workers // num_models) * params.runtime.processes
    return max(1, min(most, -(-rows // sharing)))


def _learning(params: Any, section: Any, optimisation: Any, sizes: Dimensions, weights: int) -> Held:
    learned = weights if section.lora is None else sizes.adapters(section.lora.rank)
    workers = params.runtime.workers
    gradients = FLOAT32 * learned * (1 if workers == 1 else 1 + workers)
    moments = memory.MOMENTS[optimisation.optimiser or "adamw"] * learned
    return Held(FLOAT32 * weights, gradients, moments, 0.0, 0.0)


def _supervised(params: Any, section: Any, sizes: Dimensions) -> Held:
    rows = _part(params, section.batch_size, section.micro_batch_rows)
    tokens = rows * section.max_tokens
    work = _work(params, section, tokens, section.max_tokens, tokens)
    held = _learning(params, section, section.optimisation, sizes, sizes.policy())
    copies = _best_epoch(section, held)
    return held._replace(activations=memory.activations(sizes, work) * params.runtime.workers, copies=copies)


def _best_epoch(section: Any, held: Held) -> float:
    if section.select == "last" or section.epochs == 1:
        return 0.0
    return held.optimiser / memory.MOMENTS[section.optimisation.optimiser or "adamw"] * FLOAT32


def _rejection(params: Any, sizes: Dimensions) -> Held:
    """Training, or before it the answers, where these take more; their policy is gone when the reward model comes."""
    section = params.rejection
    held, row = _supervised(params, section, sizes), section.max_prompt_tokens + section.max_completion_tokens
    return held._replace(activations=max(held.activations, memory.decoding(sizes, section.sampling_batch_size, row)))


def _reward(params: Any, section: Any, sizes: Dimensions) -> Held:
    return _of_comparisons(params, section, sizes, sizes.backbone(), bool(section.likelihood_coef))


def _dpo(params: Any, sizes: Dimensions) -> Held:
    """What SFT says is asked before training, so that no second model is held."""
    held = _of_comparisons(params, params.dpo, sizes, sizes.policy(), True)
    return held._replace(copies=_best_epoch(params.dpo, held))


def _of_comparisons(params: Any, section: Any, sizes: Dimensions, weights: int, by_likelihood: bool) -> Held:
    answers = max(params.collect_answers.max_responses, params.collect_prompts.comparisons.max_responses)
    rows = max(answers, _part(params, section.batch_size * answers, section.micro_batch_rows))
    tokens = min(rows, section.batch_size * answers) * section.max_tokens
    work = _work(params, section, tokens, section.max_tokens, tokens if by_likelihood else 0)
    held = _learning(params, section, section.optimisation, sizes, weights)
    return held._replace(activations=memory.activations(sizes, work) * params.runtime.workers)


def _ppo(params: Any, sizes: Dimensions) -> Held:
    section, workers = params.ppo, params.runtime.workers
    row = section.max_prompt_tokens + section.max_completion_tokens
    rows = _part(params, section.minibatch_size, section.micro_batch_size, num_models=2)
    work = _work(params, section, rows * row, row, rows * section.max_completion_tokens)
    policy = _learning(params, section, section.policy_optimisation, sizes, sizes.policy())
    shared = section.lora is not None and section.share_backbone
    value = _learning(
        params, section if shared else params.sft.model_copy(update={"lora": None}), section.value_optimisation, sizes,
        sizes.backbone(),
    )  # fmt: skip
    frozen = 2 if params.runtime.frozen_dtype == "bfloat16" else FLOAT32
    of_reward = params.reward_model.lora
    on_policy = section.lora is not None and of_reward is not None and of_reward.save == "adapter"
    reward = 0 if on_policy else frozen * sizes.backbone()
    if section.lora is None:
        weights, others = policy.weights + value.weights, frozen * sizes.policy() + reward
    else:  # the reference is the policy's base
        weights, others = 0.0 if shared else value.weights, frozen * sizes.policy() + reward
    gradients = policy.gradients + value.gradients if workers > 1 else max(policy.gradients, value.gradients)
    activations = memory.activations(sizes, work) * workers
    rollout = memory.decoding(sizes, section.batch_size, row) + memory.decoder(sizes, work) * workers
    average = policy.optimiser / memory.MOMENTS[section.policy_optimisation.optimiser or "adamw"] * FLOAT32
    return Held(
        weights, gradients, policy.optimiser + value.optimiser, others, max(activations, rollout),
        average if section.ema_decay else 0.0,
    )  # fmt: skip

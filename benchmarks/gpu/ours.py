"""Our side on a GPU: rollouts by each engine, and whole iterations of PPO.

python -m benchmarks.gpu.ours rollouts DEVICE SHAPE DTYPE       python -m benchmarks.gpu.ours ppo DEVICE SHAPE DTYPE
"""

import sys
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import torch
from transformers import GenerationConfig

from benchmarks.gpu import shapes
from benchmarks.gpu.shapes import Shape
from benchmarks.ours import OPTIMISATION, PPO, Scorer, timed_calls
from rlhf.engine import logprobs
from rlhf.models import forward, placement, whole_weights
from rlhf.models.reward_head import RewardMeaning
from rlhf.params.base import parse
from rlhf.params.ppo import Ppo
from rlhf.params.runtime import Runtime
from rlhf.params.training.rollouts import Rollouts
from rlhf.rl import experience
from rlhf.rl.experience import Models, Prompt
from rlhf.rl.loop_state import Data
from rlhf.rollouts import opening
from rlhf.rollouts.interface import Answers, Engine, Sampling
from rlhf.runtime import seeds
from rlhf.tokens import batching
from rlhf.training import optimisation
from stages import ppo

ENGINES: dict[str, dict[str, Any]] = {
    "own": {},
    "static": {},
    "transformers": {"bucket_mb": 256.0},
    "vllm_colocated": {"bucket_mb": 256.0, "memory_share": 0.3},
}
ON_A_CPU = {"transformers": {"cache_blocks": 8, "batch_tokens": 64}}
ROUNDS = 2  # that are measured, after one that is not


def runtime(device: str, dtype: str) -> Runtime:
    made = Runtime(
        device=device, dtype=dtype, attention="sdpa", processes=1, threads=4 if device == "cuda" else 1, workers=1,
        frozen_dtype=None, gradient_checkpointing=None,
    )  # fmt: skip
    placement.prepare(made, 0)
    return made


def engine_params(name: str, device: str) -> Rollouts:
    more = ON_A_CPU.get(name, {}) if device == "cpu" else {}
    return Rollouts(
        engine=name, **{key: None for key in Rollouts.model_fields if key != "engine"} | ENGINES[name] | more
    )


def sampling(shape: Shape) -> Sampling:
    return Sampling(1.0, shape.new_tokens, (shapes.EOS,), None)


def run_rollouts(device: str, name: str, dtype: str) -> None:
    """Tell of each engine, and of transformers' generate, how many tokens a second it draws and how they are off."""
    made, shape = runtime(device, dtype), shapes.SHAPES[name]
    model, prompts = shapes.policy(shape, device), shapes.prompts(shape)
    generated = _generate(model, prompts, shape, made)
    shapes.tell(f"rollouts/{name}/{dtype}/generate", tokens_a_second=generated, peak_gb=shapes.peak_gigabytes(device))
    for engine in ENGINES:
        if engine == "vllm_colocated" and find_spec("vllm") is None:
            shapes.tell(f"rollouts/{name}/{dtype}/{engine}", note="vLLM is not installed")
            continue
        shapes.forget(device)
        params = engine_params(engine, device)
        longest = shape.prompt_tokens[1] + shape.new_tokens
        with opening.opened(params, model, shapes.PAD, made, longest) as opened:
            assert opened is not None
            found = _engine(opened, model, prompts, shape, made)
        found |= {"over_generate": found["tokens_a_second"] / generated, "peak_gb": shapes.peak_gigabytes(device)}
        shapes.tell(f"rollouts/{name}/{dtype}/{engine}", **found)


def _engine(engine: Engine, model: Any, prompts: list[list[int]], shape: Shape, made: Runtime) -> dict[str, float]:
    began = shapes.synchronise(made.device)
    engine.load(1, whole_weights.merged(model))
    loading = shapes.synchronise(made.device) - began
    row_seeds = [seeds.derive(0, row) for row in range(len(prompts))]
    answers, seconds = engine.answer(prompts, sampling(shape), row_seeds), []
    for _ in range(ROUNDS):
        began = shapes.synchronise(made.device)
        answers = engine.answer(prompts, sampling(shape), row_seeds)
        seconds.append(shapes.synchronise(made.device) - began)
    tokens = sum(map(len, answers.token_ids))
    return {"tokens_a_second": tokens / min(seconds), "load_seconds": loading} | _gap(model, prompts, answers, made)


@torch.no_grad()
def _gap(model: Any, prompts: list[list[int]], answers: Answers, made: Runtime) -> dict[str, float]:
    """Return how far the engine's log-probabilities are from those of the training forward pass, nats a token."""
    assert answers.logprobs is not None
    sampled = [
        batching.pad(rows, shapes.PAD, side, made.device)
        for rows, side in ((prompts, "left"), (answers.token_ids, "right"))
    ]
    rows = experience.Rollouts(
        torch.cat([one.ids for one in sampled], 1), torch.cat([one.mask for one in sampled], 1), *sampled[1]
    )
    differences = []
    for part in torch.arange(len(prompts)).split(16):
        real = rows.completion_mask[part]
        with placement.precision(made):
            states = forward.completion_states(model, rows.ids[part], rows.mask[part], real)
            found = logprobs.of_hidden(states, forward.output_head(model), rows.completions[part][real], 1.0)
        told = [number for row in part.tolist() for number in answers.logprobs[row]]
        differences.append((found.float().cpu() - torch.tensor(told)).abs())
    together = torch.cat(differences)
    return {"gap": together.mean().item(), "gap_max": together.max().item()}


@torch.no_grad()
def _generate(model: Any, prompts: list[list[int]], shape: Shape, made: Runtime) -> float:
    """Return the tokens a second of transformers' generate, in the dtype, on the same prompts."""
    left = batching.pad(prompts, shapes.PAD, "left", made.device)
    limits = {"max_new_tokens": shape.new_tokens, "min_new_tokens": shape.new_tokens}
    how = GenerationConfig(
        do_sample=True, top_k=0, top_p=1.0, pad_token_id=shapes.PAD, eos_token_id=shapes.EOS, **limits
    )
    seconds = []
    for _ in range(ROUNDS + 1):
        began = shapes.synchronise(made.device)
        with placement.precision(made):
            model.generate(left.ids, attention_mask=left.mask.long(), generation_config=how)
        seconds.append(shapes.synchronise(made.device) - began)
    return len(prompts) * shape.new_tokens / min(seconds[1:])


def run_ppo(device: str, name: str, dtype: str) -> None:
    """Tell how long iterations of PPO take, by our own decoder and by the one with a cache of fixed size."""
    shape = shapes.SHAPES[name]
    for engine in ("static", "own"):
        shapes.forget(device)
        rounds = [*_iterations(device, shape, dtype, engine)][1:]
        best = min(rounds, key=lambda one: one["seconds"])
        tokens, count = best["tokens"], shapes.operations(shape, best["tokens"])
        shapes.tell(
            f"ppo/{name}/{dtype}/{engine}", tokens_a_second=tokens / best["seconds"], seconds=best["seconds"],
            rollout_tokens_a_second=tokens / best["rollout"], update_tflops=count["update"] / best["update"] / 1e12,
            rollout_tflops=count["rollout"] / best["rollout"] / 1e12, peak_gb=shapes.peak_gigabytes(device),
            gap=best["gap"], gap_max=best["gap_max"],
        )  # fmt: skip


def _iterations(device: str, shape: Shape, dtype: str, engine: str) -> Iterator[dict[str, float]]:
    made, phases = runtime(device, dtype), Counter()
    size = {
        "batch_size": shape.prompts,
        "minibatch_size": shape.prompts // shapes.MINIBATCHES,
        "iterations": ROUNDS + 1,
    }
    size |= {"micro_batch_size": shape.prompts // shapes.MINIBATCHES, "inner_epochs": shapes.EPOCHS}
    length = {"max_prompt_tokens": shape.prompt_tokens[1], "max_completion_tokens": shape.new_tokens}
    rates = {"policy_optimisation": OPTIMISATION, "value_optimisation": OPTIMISATION}
    params = parse(Ppo, PPO | size | length | rates, "ppo")
    params = params.model_copy(update={"rollouts": engine_params(engine, device)})
    prompts = [Prompt(str(number), [], ids, "und") for number, ids in enumerate(shapes.prompts(shape))]
    models = _models(shape, made)
    longest = shape.prompt_tokens[1] + shape.new_tokens
    with (
        opening.opened(params.rollouts, models.policy, shapes.PAD, made, longest) as opened,
        timed_calls(experience, "_sample", phases, "rollout"),
        timed_calls(optimisation, "steps", phases, "update"),
    ):
        began = shapes.synchronise(device)
        for point in ppo.train(models._replace(engine=opened), Data(prompts, None), params, made, seed=0):
            now = shapes.synchronise(device)
            tokens = point["completion_tokens"] * shape.prompts
            gaps = {"gap": point["rollout_gap"], "gap_max": point["rollout_gap_max"]}
            yield {"seconds": now - began, "tokens": tokens, **phases, **gaps}
            phases.clear()
            began = shapes.synchronise(device)


def _models(shape: Shape, made: Runtime) -> Models:
    tokenizer = shapes.tokenizer(shape)
    tokenizer.chat_template = ""
    scalars = [placement.placed(shapes.scalar_model(shape, made.device, seed), made) for seed in (1, 2)]
    for model in scalars:
        RewardMeaning(pooling="last", likelihood_coef=0.0).write_into(model.config)
    policy, reference = (placement.placed(shapes.policy(shape, made.device), made) for _ in range(2))
    reference.requires_grad_(False)
    scalars[0].requires_grad_(False)
    return Models(policy, scalars[1], reference, Scorer(scalars[0], tokenizer, made), tokenizer)


if __name__ == "__main__":
    {"rollouts": run_rollouts, "ppo": run_ppo}[sys.argv[1]](*sys.argv[2:5])

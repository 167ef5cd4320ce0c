"""What a stage holds in memory, on paper: weights, gradients, optimiser, frozen models, activations, logits, cache.

Bytes of one process at the moment when it holds most; what learns comes with the largest part, once a worker.
`tools.check` prints them before each run, `tools.plan` with the rest of the plan.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from tools.planning import batches, cuts, terms
from tools.planning.batches import Parts
from tools.planning.cuts import Cuts
from tools.planning.rows import Known, Rows
from tools.planning.sizes import Dimensions
from tools.planning.terms import BFLOAT16, FLOAT32, MOMENTS, MUON, NOTHING, PRIMITIVES, PROGRAM, Held, Micro
from tools.planning.work import Stage

SORTED = 8  # batches of answers that are sorted by length together (stages/collect_answers.py)


def of_params(params: Any, sizes: Dimensions, known: Known, cut: Cuts, work: Mapping[str, Stage]) -> dict[str, Held]:
    """Return what a process of each stage holds."""
    found = {
        "pretrain": _pretrain(params, sizes, cut),
        "sft": _supervised(params, params.sft, sizes, cut.sft),
        "collect_answers": _collect_answers(params, sizes, known),
        "reward_model": _reward(params, params.reward_model, sizes, cut.reward_model),
        "ppo": _ppo(params, sizes, known, cut),
        "feedme": _supervised(params, params.feedme, sizes, cut.feedme),
        "judge": _reward(params, params.judge, sizes, cut.judge),
        "evaluate": _evaluate(params, sizes, known),
    }
    return {name: _on(params, name, held, work[name]) for name, held in found.items()}


def _on(params: Any, name: str, held: Held, stage: Stage) -> Held:
    """Return what a process holds with its program, its records and, on a CPU, what the heap wastes."""

    if params.runtime.device != "cpu":
        return held  # a GPU's memory: the program is elsewhere
    program = PROGRAM + terms.RECORD * stage.records + (low_of(params) == BFLOAT16) * PRIMITIVES
    program += terms.BASELINE * (name in ("reward_model", "judge"))
    return held._replace(program=program, spread=terms.spread(_num_parts(params, name, stage), held.trained > 0))


def _num_parts(params: Any, name: str, stage: Stage) -> float:
    """Return how many parts of different sizes a process computes."""
    if name == "pretrain":  # all rows are of one length
        return 0.0
    return sum(one.count for one in (*stage.passes, *stage.decodings)) / params.runtime.processes


def low_of(params: Any) -> int:
    """Return the bytes of a number in products."""
    return BFLOAT16 if params.runtime.dtype == "bfloat16" else FLOAT32


def _frozen(params: Any) -> int:
    return BFLOAT16 if params.runtime.frozen_dtype == "bfloat16" else FLOAT32


def _micro(params: Any, parts: Parts, adapted: bool) -> Micro:
    again, fused = bool(params.runtime.gradient_checkpointing), params.runtime.attention == "sdpa"
    return Micro(parts.most, parts.read, parts.most_scored, low_of(params), again, adapted, fused)


def _learning(params: Any, lora: Any, optimiser: str | None, sizes: Dimensions, weights: int) -> Held:
    learned = weights if lora is None else sizes.adapters(lora.rank)
    workers = params.runtime.workers
    return NOTHING._replace(
        weights=float(FLOAT32 * weights),
        gradients=float(FLOAT32 * learned * (1 if workers == 1 else 1 + workers)),
        optimiser=MOMENTS[optimiser or "adamw"] * learned,
        trained=float(FLOAT32 * learned),
    )


def _part(params: Any, sizes: Dimensions, micro: Micro) -> dict[str, float]:
    workers = params.runtime.workers
    return {"activations": terms.activations(sizes, micro) * workers, "logits": terms.logits(sizes, micro) * workers}


def _pretrain(params: Any, sizes: Dimensions, cut: Cuts) -> Held:
    section = params.pretrain
    if section.source != "scratch":  # as it was read, and as it is put together
        return NOTHING._replace(frozen=2.0 * FLOAT32 * sizes.policy())
    held = _learning(params, None, section.optimisation.optimiser, sizes, sizes.policy())
    if section.muon_momentum is not None:
        hidden = sizes.layers * sizes.products()
        held = held._replace(optimiser=held.optimiser - (MOMENTS["adamw"] - MUON) * hidden)
    return held._replace(**_part(params, sizes, _micro(params, cut.pretrain, False)))


def _supervised(params: Any, section: Any, sizes: Dimensions, parts: Parts) -> Held:
    held = _learning(params, section.lora, section.optimisation.optimiser, sizes, sizes.policy())
    copies = held.trained if section.select == "best_validation" else 0.0
    micro = _micro(params, parts, section.lora is not None)
    return held._replace(copies=copies, **_part(params, sizes, micro))


def _reward(params: Any, section: Any, sizes: Dimensions, parts: Parts) -> Held:
    held = _learning(params, section.lora, section.optimisation.optimiser, sizes, sizes.backbone())
    return held._replace(**_part(params, sizes, _micro(params, parts, section.lora is not None)))


class _Caches(NamedTuple):
    """Answers that are written at once, by all workers: so many rows, with room for so many tokens."""

    rows: int
    tokens: float


def _answers(params: Any, sizes: Dimensions, written: _Caches, adapted: bool = False) -> dict[str, float]:
    """Return what it takes to write answers at once."""
    return {
        "cache": terms.cache(sizes, written.tokens),
        "decoder": terms.decoder(sizes, low_of(params), adapted) * params.runtime.workers,
        "logits": float(written.rows * sizes.vocab * terms.DRAWN),
    }


def _caches(params: Any, prompts: Rows, section: Any, pool: int) -> _Caches:
    """Return the widest caches that are held at once, of answers to `pool` prompts sorted by length.

    A part has the width of its longest prompt, and room for the longest answer.
    """
    drawn = prompts.drawn(pool) or [(section.max_prompt_tokens, 0)] * pool
    widths = sorted((min(prompt, section.max_prompt_tokens) for prompt, _ in drawn), reverse=True)
    size = batches.part_size(pool, section.batch_size, batches.sharing(params.runtime))
    parts = [widths[start : start + size] for start in range(0, pool, size)][: params.runtime.workers]
    tokens = sum(len(part) * (part[0] + section.max_completion_tokens) for part in parts)
    return _Caches(sum(map(len, parts)), float(tokens))


def _collect_answers(params: Any, sizes: Dimensions, known: Known) -> Held:
    section = params.collect_answers
    written = _caches(params, cuts.asked_of_labelers(params, known), section, SORTED * section.batch_size)
    held = NOTHING._replace(frozen=float(_frozen(params) * sizes.policy()))
    return held._replace(**_answers(params, sizes, written))


def _evaluate(params: Any, sizes: Dimensions, known: Known) -> Held:
    """Return SFT, the policy that answers, the reward model and the judge; the policy before it, while it is read."""
    section = params.evaluate
    scoring = sizes.backbone() * (1 + bool(params.rewards.trained))
    held = NOTHING._replace(frozen=float(_frozen(params) * (3 * sizes.policy() + scoring)))
    written = _caches(params, known.prompts["test"], section, section.test_prompts)
    return held._replace(**_answers(params, sizes, written))


def _ppo(params: Any, sizes: Dimensions, known: Known, cut: Cuts) -> Held:
    section, workers = params.ppo, params.runtime.workers
    policy = _learning(params, section.lora, section.policy_optimisation.optimiser, sizes, sizes.policy())
    shared = section.lora is not None and bool(section.share_backbone)
    lora = section.lora if shared else None
    value = _learning(params, lora, section.value_optimisation.optimiser, sizes, sizes.backbone())
    gradients = policy.gradients + value.gradients if workers > 1 else max(policy.gradients, value.gradients)
    micro = _micro(params, cut.ppo, section.lora is not None)
    if cut.ptx.most > micro.tokens:
        micro = micro._replace(tokens=cut.ptx.most, read=cut.ptx.read, scored=cut.ptx.most_scored)
    written = _caches(params, cuts.asked(params, known), section, section.batch_size)
    answers = _answers(params, sizes, written, section.lora is not None)
    part = _part(params, sizes, micro)
    return Held(
        weights=_learned_weights(section, policy, value, shared),
        gradients=gradients,
        optimiser=policy.optimiser + value.optimiser,
        frozen=_frozen(params) * sizes.policy() + _scorer(params, sizes),
        activations=part["activations"],
        logits=max(part["logits"], answers["logits"]),
        cache=answers["cache"],
        decoder=answers["decoder"],
        copies=policy.trained if section.ema_decay else 0.0,
        trained=policy.trained + value.trained,
    )


def _learned_weights(section: Any, policy: Held, value: Held, shared: bool) -> float:
    """Return the bytes of policy and value model; those below adapters are the frozen reference's."""
    if section.lora is None:
        return policy.weights + value.weights
    return 0.0 if shared else value.weights


def _scorer(params: Any, sizes: Dimensions) -> float:
    """Return the bytes of the reward model; none where it is an adapter on the policy's folder."""
    of_reward = params.reward_model.lora
    on_policy = params.ppo.lora is not None and of_reward is not None and of_reward.save == "adapter"
    return 0.0 if on_policy or not params.rewards.trained else float(_frozen(params) * sizes.backbone())

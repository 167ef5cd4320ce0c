"""What a stage holds in memory, on paper: weights, gradients, optimiser, frozen models, activations, logits, cache.

Bytes of one process at the moment when it holds most; what learns comes with the largest part, once a worker.
`tools.check` prints them before each run, `tools.plan` with the rest of the plan.
"""

from collections.abc import Mapping
from typing import Any

from tools.planning import cuts, disk, holding, terms
from tools.planning.batches import Parts
from tools.planning.cuts import Cuts
from tools.planning.rows import Known
from tools.planning.sizes import Dimensions
from tools.planning.terms import BFLOAT16, FLOAT32, MOMENTS, MUON, NOTHING, PRIMITIVES, PROGRAM, Held
from tools.planning.work import Stage

SORTED = 8  # batches of answers that are sorted by length together (stages/collect_answers.py, stages/rejection.py)


def of_params(params: Any, sizes: Dimensions, known: Known, cut: Cuts, work: Mapping[str, Stage]) -> dict[str, Held]:
    """Return what a process of each stage holds."""
    found = {
        "pretrain": _pretrain(params, sizes, cut),
        "sft": _supervised(params, params.sft, sizes, cut.sft),
        "collect_answers": _collect_answers(params, sizes, known),
        "reward_model": _reward(params, params.reward_model, sizes, cut.reward_model),
        "ppo": _ppo(params, sizes, known, cut),
        "feedme": _supervised(params, params.feedme, sizes, cut.feedme),
        "rejection": _rejection(params, sizes, known, cut),
        "dpo": _dpo(params, sizes, cut.dpo),
        "judge": _reward(params, params.judge, sizes, cut.judge),
        "evaluate": _evaluate(params, sizes, known),
    }
    if not params.rewards.trained:
        found["reward_model"] = NOTHING
    return {name: _on(params, name, found[name], work[name]) for name in work}


def _on(params: Any, name: str, held: Held, stage: Stage) -> Held:
    """Return what a process holds with its program, its records and, on a CPU, what the heap wastes."""

    if params.runtime.device != "cpu":
        return held  # a GPU's memory: the program is elsewhere
    program = PROGRAM + terms.RECORD * stage.records + (holding.low_of(params) == BFLOAT16) * PRIMITIVES
    program += terms.BASELINE * (name in ("reward_model", "judge"))
    return held._replace(program=program, spread=terms.spread(_num_parts(params, name, stage), held.trained > 0))


def _num_parts(params: Any, name: str, stage: Stage) -> float:
    """Return how many parts of different sizes a process computes."""
    if name == "pretrain":  # all rows are of one length
        return 0.0
    return sum(one.number for one in (*stage.passes, *stage.decodings)) / params.runtime.processes


def _pretrain(params: Any, sizes: Dimensions, cut: Cuts) -> Held:
    section = params.pretrain
    if section.source != "scratch":  # as it was read, and as it is put together
        return NOTHING._replace(frozen=2.0 * FLOAT32 * sizes.policy())
    held = holding.learning(params, None, section.optimisation.optimiser, sizes, sizes.policy())
    if section.muon_momentum is not None:
        hidden = sizes.layers * sizes.products()
        held = held._replace(optimiser=held.optimiser - (MOMENTS["adamw"] - MUON) * hidden)
    return held._replace(**holding.part(params, sizes, holding.micro_of(params, cut.pretrain, False)))


def _supervised(params: Any, section: Any, sizes: Dimensions, parts: Parts) -> Held:
    held = holding.learning(params, section.lora, section.optimisation.optimiser, sizes, sizes.policy())
    micro = holding.micro_of(params, parts, section.lora is not None)
    return held._replace(copies=_best_epoch(section, held), **holding.part(params, sizes, micro))


def _best_epoch(section: Any, held: Held) -> float:
    return held.trained if section.select == "best_validation" else 0.0


def _rejection(params: Any, sizes: Dimensions, known: Known, cut: Cuts) -> Held:
    """Return what training holds, or before it the answers, where these take more.

    Their policy is gone when the reward model comes, and that when training begins.
    """
    section, asked = params.rejection, cuts.asked_by_rejection(params, known)
    training = _supervised(params, section, sizes, cut.rejection)
    pool = min(SORTED * section.sampling_batch_size, max(1, asked.number) * section.n)
    written = holding.caches(params, asked, section, pool, section.sampling_batch_size)
    writing = NOTHING._replace(frozen=float(holding.frozen_of(params) * sizes.policy()), state=disk.state(training))
    return max(training, writing._replace(**holding.answers(params, sizes, written)), key=lambda held: held.total)


def _dpo(params: Any, sizes: Dimensions, parts: Parts) -> Held:
    """Return what training holds; what SFT says is asked before it, so that no second model is held."""
    return _supervised(params, params.dpo, sizes, parts)


def _reward(params: Any, section: Any, sizes: Dimensions, parts: Parts) -> Held:
    held = holding.learning(params, section.lora, section.optimisation.optimiser, sizes, sizes.backbone())
    return held._replace(**holding.part(params, sizes, holding.micro_of(params, parts, section.lora is not None)))


def _collect_answers(params: Any, sizes: Dimensions, known: Known) -> Held:
    section = params.collect_answers
    written = holding.caches(
        params, cuts.asked_of_labelers(params, known), section, SORTED * section.batch_size, section.batch_size
    )
    held = NOTHING._replace(frozen=float(holding.frozen_of(params) * sizes.policy()))
    return held._replace(**holding.answers(params, sizes, written))


def _evaluate(params: Any, sizes: Dimensions, known: Known) -> Held:
    """Return SFT, the policy that answers, the reward model and the judge; the policy before it, while it is read."""
    section = params.evaluate
    scoring = sizes.backbone() * (1 + bool(params.rewards.trained))
    held = NOTHING._replace(frozen=float(holding.frozen_of(params) * (3 * sizes.policy() + scoring)))
    pool = section.test_prompts * max(section.best_of_n.compare)  # all draws of all prompts are sorted together
    written = holding.caches(params, known.prompts["test"], section, pool, section.batch_size)
    return held._replace(**holding.answers(params, sizes, written))


def _ppo(params: Any, sizes: Dimensions, known: Known, cut: Cuts) -> Held:
    section, workers = params.ppo, params.runtime.workers
    policy = holding.learning(params, section.lora, section.policy_optimisation.optimiser, sizes, sizes.policy())
    shared = section.lora is not None and bool(section.share_backbone)
    lora = section.lora if shared else None
    value = holding.learning(params, lora, section.value_optimisation.optimiser, sizes, sizes.backbone())
    gradients = policy.gradients + value.gradients if workers > 1 else max(policy.gradients, value.gradients)
    micro = holding.micro_of(params, cut.ppo, section.lora is not None)
    if cut.ptx.most > micro.tokens:
        micro = micro._replace(tokens=cut.ptx.most, read=cut.ptx.read, scored=cut.ptx.most_scored)
    written = holding.caches(params, cuts.asked(params, known), section, section.batch_size, section.batch_size)
    answers = holding.answers(params, sizes, written, section.lora is not None)
    part = holding.part(params, sizes, micro)
    return Held(
        weights=_learned_weights(section, policy, value, shared),
        gradients=gradients,
        optimiser=policy.optimiser + value.optimiser,
        frozen=holding.frozen_of(params) * sizes.policy() + _scorer(params, sizes),
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
    return 0.0 if on_policy or not params.rewards.trained else float(holding.frozen_of(params) * sizes.backbone())

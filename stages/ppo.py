"""prompts + SFT + reward model → policy: PPO with a per-token KL penalty, and PPO-ptx (Ouyang et al. 2022, step 3)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rlhf.engine import allocator, logprobs
from rlhf.lora import attaching
from rlhf.lora import folders as adapter_folders
from rlhf.models import classifiers, loading, placement, reward_head, whole_weights
from rlhf.models.reward_head import RewardMeaning
from rlhf.models.sharded import putting
from rlhf.params.base import load
from rlhf.params.ppo import Ppo, PpoInputs
from rlhf.params.runtime import Runtime
from rlhf.preferences import rewards
from rlhf.records import records
from rlhf.records import types as kinds
from rlhf.rewards import weighted
from rlhf.rl import advantages, experience, mismatch, overoptimisation, shared_backbone
from rlhf.rl.centred_rewards import centred
from rlhf.rl.experience import Experience, Models, Prompt
from rlhf.rl.loop_state import Data, LoopState
from rlhf.rl.updates import Targets, update
from rlhf.rollouts import opening
from rlhf.runs import checkpoints, launch
from rlhf.runtime import outputs, seeds
from rlhf.runtime.files import new_folder
from rlhf.secrets import guard
from rlhf.sharding import shards
from rlhf.tokens import chat
from rlhf.tokens.fitting import fitting
from rlhf.training import language_modelling
from rlhf.training.context import open_stage

STAGE = "ppo"
PROMPTS = {"ppo": ("prompts.ppo.jsonl", kinds.Prompt), "sft": ("demonstrations.train.jsonl", kinds.Demonstration)}
SHOWN = ("score", "kl", "entropy", "completion_tokens")
ROLLOUTS = ("rollout_gap", "rollout_gap_max", "rollout_kl", "rollout_weight", "rollout_at_bound")


def main(root: Path = Path("."), round_name: str = "r1") -> None:
    params = load(root, PpoInputs)
    source, policy, reward_model = (
        root / "data/collect_prompts",
        root / "data/sft",
        root / "data/reward_model" / round_name,
    )
    read = [source / PROMPTS[params.ppo.prompts][0], policy, reward_model]
    if params.ppo.ptx_coef:
        read.append(source / "documents.train.jsonl")
    with open_stage(root, STAGE, params, {"training": read}, policy, round_name) as context:
        models = assemble(policy, reward_model, params, context.seed, root, context.run.say)
        models.shard(params.runtime)
        context.rates_of(models.policy)
        data = load_data(models.tokenizer, source, params.ppo)
        typed = context.typed_markers(models.tokenizer, (chat.texts_of(prompt.messages) for prompt in data.prompts))
        typed |= context.changed_turns(models.tokenizer, (prompt.messages for prompt in data.prompts))
        models, found = centred(models, data.prompts, params, context.seed, context.run.say)
        curve, peak, warmup = [], None, params.ppo.value_warmup
        with drawn_by_engine(models, params) as models:
            points = train(models, data, params.ppo, params.runtime, context.seed, context.states)
            for point in context.followed(points, params.ppo.all_iterations, SHOWN):
                curve.append(point)
                if peak is None and (warning := peak_is_behind(curve[warmup:])):
                    peak = point["step"]
                    context.run.say(warning)
        learned, tokenizer = models.policy, models.tokenizer
        terms, cut = models.summed().names, models.summed().num_cut()
        del models  # the others' memory is needed no more
        with new_folder(context.out) as folder:
            loading.save(to_be_saved(learned, policy, params), tokenizer, folder, params.ppo.lora, policy)
        named = (*SHOWN, "missing_eos", "clip_share", "kl_coef", *(name for name in ROLLOUTS if name in curve[-1]))
        metrics = {name: mean_of_last(curve[warmup:], name) for name in named} | found
        metrics |= {"prompts": len(data.prompts), "prompts_too_long": data.num_too_long} | typed
        metrics |= {"episodes": len(curve) * params.ppo.batch_size}
        metrics |= {"over_optimised_at": peak} if peak else {}  # iteration
        metrics |= {f"score_{name}": mean_of_last(curve[warmup:], f"score_{name}") for name in terms} | cut
        outputs.write_curve(root, context.name, curve)
        context.conclude(metrics)


def train(
    models: Models,
    data: Data,
    params: Ppo,
    runtime: Runtime,
    seed: int,
    states: checkpoints.States = checkpoints.NONE,
) -> Iterator[dict]:
    """Optimise the policy in place; yield one point an iteration.

    The first `value_warmup` points are of iterations before the others, which update the value model alone. At the end
    the policy holds the moving average of its weights, if `ema_decay` asks for one. With monitor 'stop' it ends where
    gold's peak is seen to lie behind.
    """
    state = LoopState(models, data, params, runtime, seed)
    yield from state.resume(states)
    for iteration in range(state.iteration, params.all_iterations):
        if params.monitor == "stop" and peak_is_behind(state.curve[params.value_warmup :]):
            break
        prompts, kl_coef = state.begin_iteration(), state.kl_coef
        if models.engine is not None:
            models.engine.load(state.iteration, whole_weights.merged(models.policy))
        episodes = experience.gather(models, prompts, params, runtime, seeds.derive(seed, "rollouts", iteration))
        mask = episodes.completion_mask
        token_rewards = advantages.shape_rewards(
            episodes.scores, episodes.logprobs, episodes.reference_logprobs, mask, kl_coef
        )
        if params.whiten_rewards:
            token_rewards = advantages.whiten(token_rewards, mask, shift_mean=False)
        estimate = advantages.gae(token_rewards, episodes.values, mask, params.gamma, params.lam)
        chosen = estimate.advantages
        if params.prompt_baseline:
            chosen = against_other_answers(token_rewards, episodes, params)
        whitened = advantages.whiten(chosen, mask)
        gap = mismatch.measured(episodes, params.rollouts)
        weighted = mismatch.weighted(whitened, episodes, params.rollouts)
        targets = Targets(episodes, weighted, estimate.returns, [prompt.id for prompt in prompts])
        learned = update(state, targets, params, runtime)
        point = {"step": iteration + 1, "kl_coef": kl_coef} | describe(episodes, token_rewards, estimate, learned)
        point |= experience.term_means(models, episodes) | gap
        if params.monitor != "off":
            point |= experience.golds(models, prompts, episodes, params.answers_per_prompt)
        state.end_iteration(point, states)
        yield point
    state.take_average()


@contextmanager
def drawn_by_engine(models: Models, params: PpoInputs) -> Iterator[Models]:
    """Yield the models with the engine that the params name, which holds no weights yet; without one, as they are."""
    longest = params.ppo.max_prompt_tokens + params.ppo.max_completion_tokens
    pad_id = models.tokenizer.pad_token_id
    with opening.opened(params.ppo.rollouts, models.policy, pad_id, params.runtime, longest) as engine:
        yield models._replace(engine=engine)


def against_other_answers(token_rewards: Tensor, episodes: Experience, params: Ppo) -> Tensor:
    """Return advantages [B, R] whose value baseline is moved to where each prompt's other answers ended.

    Only the advantages: what the value model learns, the returns, stays the plain one.
    """
    values, mask = episodes.values, episodes.completion_mask
    offsets = advantages.prompt_offsets(token_rewards, values, mask, params.answers_per_prompt, params.gamma)
    moved = advantages.without_offsets(token_rewards, offsets, mask)
    return advantages.gae(moved, values, mask, params.gamma, params.lam).advantages


def assemble(
    policy_folder: Path,
    reward_folder: Path,
    params: PpoInputs,
    seed: int,
    root: Path = Path("."),
    say: Callable[[str], None] = guard.say,
) -> Models:
    """Return policy, value model, frozen reference and rewards, each a model of its own (Stiennon 2020, G.1).

    With LoRA their layers are their own, and the frozen weights below the adapters lie in memory once: the reference is
    the policy without its adapters. root: where the paths of adopted reward models and functions begin.
    """
    longest = params.ppo.max_prompt_tokens + params.ppo.max_completion_tokens
    lora, runtime = params.ppo.lora, params.runtime
    reference = placement.lowered(loading.load_causal(policy_folder, runtime, longest=longest), runtime)
    reference.requires_grad_(False)
    if lora is None:
        putting.put(reference, runtime)  # before the next is read: no more than one stands whole
        policy, tokenizer = loading.load_policy(policy_folder, runtime, longest)
        putting.put(policy, runtime)
    else:
        tokenizer = loading.load_tokenizer(policy_folder)
        policy = shared_backbone.policy_on(reference)
        loading.attach(policy, lora, seeds.derive(seed, "policy's adapters"), longest, say)
    scorer = trained_rewards(policy_folder, reward_folder, params, reference)
    value_model = start_of_values(policy_folder, reward_folder, params, seed, (reference, tokenizer, scorer))
    summed = weighted.opened(params.rewards, root, scorer, runtime)
    return Models(policy, value_model, reference, scorer, tokenizer, summed)


def trained_rewards(
    policy_folder: Path, reward_folder: Path, params: PpoInputs, reference: Any
) -> rewards.RewardScorer | None:
    """Return the round's reward model, frozen; with LoRA, if its adapters stand on the policy's folder, on the
    reference's weights. None where it is no part of the rewards.
    """
    if not params.rewards.trained:
        return None
    model = None
    if params.ppo.lora is not None and adapter_folders.base_of(reward_folder) == policy_folder.resolve():
        longest = params.ppo.max_prompt_tokens + params.ppo.max_completion_tokens
        model = shared_backbone.frozen_scorer(reward_folder, reference, params.runtime, longest)
    scorer = rewards.RewardScorer(reward_folder, params.runtime, model)
    scorer.model.requires_grad_(False)
    if params.ppo.lora is None:
        putting.put(scorer.model, params.runtime)
    return scorer


def start_of_values(
    policy_folder: Path,
    reward_folder: Path,
    params: PpoInputs,
    seed: int,
    others: tuple[Any, Any, rewards.RewardScorer | None],
) -> Any:
    """Return the value model as it starts; `others`: the reference, the policy's tokenizer and the reward model."""
    longest = params.ppo.max_prompt_tokens + params.ppo.max_completion_tokens
    reference, tokenizer, scorer = others
    lora = params.ppo.lora if params.ppo.share_backbone else None
    adapters = torch.Generator().manual_seed(seeds.derive(seed, "value model's adapters"))
    if params.ppo.value_init == "reward_model":
        if scorer is None:
            raise ValueError(
                "params.yaml: ppo.value_init: no reward model is trained where rewards.trained is 0; set it to 'policy'"
            )
        if classifiers.is_encoder(scorer.model) or not rewards.same_tokens(tokenizer, scorer.tokenizer):
            raise ValueError(
                "params.yaml: ppo.value_init: 'reward_model' needs a reward model on the policy's backbone; "
                "set it to 'policy', or reward_model.backbone to 'sft'"
            )
        if lora is None:
            value_model = loading.load_classifier(reward_folder, params.runtime, longest=longest)
            reward_head.unfold(value_model)
            return value_model
        return shared_backbone.value_model_from(scorer.model, lora, adapters)
    if lora is None:
        generator = torch.Generator().manual_seed(seed)
        value_model = reward_head.new_reward_model(policy_folder, params.runtime, generator, longest=longest)
        reward_head.scalar_head(value_model).weight.data.zero_()
    else:
        config = loading.read_config(policy_folder, num_labels=1)
        value_model = shared_backbone.classifier_on(reference.base_model, config, params.runtime.attention)
        attaching.attach(value_model, lora, adapters)
        loading.proved(value_model, policy_folder, longest)
    RewardMeaning(pooling="last", likelihood_coef=0.0).write_into(value_model.config)
    return value_model


def to_be_saved(policy: Any, policy_folder: Path, params: PpoInputs) -> Any:
    """Return the policy; where adapters are to be merged, and its frozen weights are low, on those of its folder."""
    lora = params.ppo.lora
    if lora is None or lora.save == "adapter" or params.runtime.frozen_dtype in (None, "float32"):
        return policy
    allocator.hand_back()
    whole = loading.read_causal(policy_folder, params.runtime)
    attaching.attach(whole, lora, torch.Generator())
    trained = {name: shards.gathered(weight) for name, weight in attaching.trained_weights(policy).items()}
    attaching.load_trained(whole, trained)
    return whole


def load_data(tokenizer: Any, source: Path, params: Ppo) -> Data:
    """Return the prompts of the set that `params.prompts` names and, for PPO-ptx, the pretraining text in rows."""
    file, kind = PROMPTS[params.prompts]
    read = records.read(source / file, kind)
    prompts, text = tokenised(tokenizer, read, params), None
    if params.ptx_coef:
        documents = records.Stored(source / "documents.train.jsonl", kinds.Document)
        stream = language_modelling.token_stream(tokenizer, (document["text"] for document in documents))
        text = language_modelling.sequences(stream, params.ptx_sequence_tokens)
    return Data(prompts, text, num_too_long=len(read) - len(prompts))


def tokenised(tokenizer: Any, prompts: Sequence[kinds.Dialogue], params: Ppo) -> list[Prompt]:
    """Return prompts with their token ids; those over `max_prompt_tokens` are left out."""
    dialogues = [record["messages"] for record in prompts]
    found = fitting(tokenizer, dialogues, params.max_prompt_tokens, "ppo.max_prompt_tokens")
    return [
        Prompt(prompts[index]["id"], dialogues[index], ids, prompts[index]["language"], prompts[index].get("task"))
        for index, ids in zip(found.kept, found.ids, strict=True)
    ]


def describe(
    episodes: Experience,
    token_rewards: Tensor,
    estimate: advantages.Estimate,
    learned: Sequence[Mapping[str, float]],
) -> dict[str, float]:
    """Return the iteration's health: kl (sampled, exact) in nats per sequence, entropy in nats per token, and more."""
    mask = episodes.completion_mask
    lengths = mask.sum(dim=1).float()
    sampled_kl = ((episodes.logprobs - episodes.reference_logprobs) * mask).sum(dim=1)
    errors = (estimate.returns - episodes.values)[mask]
    spread = estimate.returns[mask].var(correction=0).clamp(min=1e-8)
    health = {
        "score": episodes.scores.mean(),
        "score_std": episodes.scores.std(correction=0),
        "reward": (token_rewards * mask).sum(dim=1).mean(),
        "kl": sampled_kl.mean(),
        "kl_exact": (episodes.kls * mask).sum(dim=1).mean(),
        "entropy": logprobs.masked_mean(episodes.entropies, mask),
        "completion_tokens": lengths.mean(),
        "missing_eos": 1 - episodes.ended.float().mean(),
        "explained_variance": 1 - errors.var(correction=0) / spread,
    }
    names = dict.fromkeys(name for one in learned for name in one)
    means = {name: sum(one.get(name, 0.0) for one in learned) / len(learned) for name in names}
    return {name: value.item() for name, value in health.items()} | means


def peak_is_behind(curve: Sequence[Mapping[str, float]]) -> str | None:
    """Return why the last policies are worse than earlier ones by gold; None where they are not or gold is unknown.

    Iterations in which no prompt has a task say nothing of it.
    """
    known = [point for point in curve if "gold" in point]
    names = ("step", "kl", "gold", "gold_error")
    return overoptimisation.peak_is_behind(*([point[name] for point in known] for name in names))


def mean_of_last(curve: Sequence[Mapping[str, float]], name: str, num_points: int = 5) -> float:
    """Return the mean of a column over a curve's last points."""
    last = curve[-num_points:]
    return sum(point[name] for point in last) / len(last)


if __name__ == "__main__":
    launch.run_round(STAGE, main)

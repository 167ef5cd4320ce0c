"""prompts + SFT + reward model → policy: PPO with a per-token KL penalty, and PPO-ptx (Ouyang et al. 2022, step 3)."""

import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from rlhf.engine import logprobs
from rlhf.models import forward, loading, placement, reward_head
from rlhf.params.base import load
from rlhf.params.ppo import Ppo, PpoInputs
from rlhf.params.runtime import Runtime
from rlhf.preferences import rewards
from rlhf.records import records
from rlhf.rl import advantages, clipping, experience, overoptimisation
from rlhf.rl.experience import Experience, Players, Prompt, Window, windows
from rlhf.runs import checkpoints, launch, tracking
from rlhf.runtime import failures, outputs, seeds
from rlhf.runtime.files import new_folder
from rlhf.tokens import batching
from rlhf.tokens.chat import prompt_ids
from rlhf.training import language_modelling, optimisation
from rlhf.training.optimisation import Job, Share

STAGE = "ppo"
PROMPTS = {"ppo": "prompts.ppo.jsonl", "sft": "demonstrations.train.jsonl"}
SHOWN = ("score", "kl", "entropy", "completion_tokens")


def main(root: Path = Path("."), round: str = "r1") -> None:
    params = load(root, PpoInputs)
    placement.prepare(params.runtime, params.seed)
    policy_folder, reward_folder = root / "data/sft", root / "data/reward_model" / round
    source, out = root / "data/collect_prompts", root / "data" / STAGE / round
    prompts_file = source / PROMPTS[params.ppo.prompts]
    seed = seeds.derive(params.seed, STAGE, round)
    inputs = [prompts_file, policy_folder, reward_folder]
    texts_file = source / "documents.train.jsonl"
    states = checkpoints.opened(root, STAGE, params, [*inputs, texts_file] if params.ppo.ptx_coef else inputs, round)
    with (
        failures.explained(STAGE, policy_folder),
        tracking.stage_run(root, STAGE, round=round, states=states) as run,
    ):
        run.log_inputs(inputs, context="training")
        players = assemble(policy_folder, reward_folder, params, seed)
        prompts = tokenised(players.tokenizer, records.read(prompts_file), params.ppo)
        text = None
        if params.ppo.ptx_coef:
            texts = (document["text"] for document in records.read(texts_file))
            stream = language_modelling.token_stream(players.tokenizer, texts)
            text = language_modelling.sequences(stream, params.ppo.ptx_sequence_tokens)
        curve, peak = [], None
        for point in train(players, prompts, text, params.ppo, params.runtime, seed, states):
            curve.append(point)
            run.log_metrics(point, step=point["step"])
            run.progress(point["step"], params.ppo.iterations, {name: point[name] for name in SHOWN})
            if peak is None and (warning := peak_is_behind(curve)):
                peak = point["step"]
                run.say(warning)
        with new_folder(out) as folder:
            loading.save(players.policy, players.tokenizer, folder)
        metrics = {name: mean_of_last(curve, name) for name in (*SHOWN, "missing_eos", "clip_share", "kl_coef")}
        metrics |= {"prompts": len(prompts), "episodes": len(curve) * params.ppo.batch_size}
        metrics |= {"over_optimised_at": peak} if peak else {}  # iteration
        outputs.write_curve(root, STAGE, curve, round=round)
        outputs.write_metrics(root, STAGE, metrics, round=round)
        run.log_metrics(metrics)
        run.log_checkpoint(out)


def assemble(policy_folder: Path, reward_folder: Path, params: PpoInputs, seed: int) -> Players:
    """Return policy, value model, frozen reference and reward model, each a model of its own (Stiennon 2020, G.1)."""
    policy, tokenizer = loading.load_policy(policy_folder, params.runtime)
    reference = loading.load_causal(policy_folder, params.runtime).requires_grad_(False)
    scorer = rewards.RewardScorer(reward_folder, params.runtime)
    if params.ppo.value_init == "reward_model":
        if reward_head.is_encoder(scorer.model) or not rewards.same_tokens(tokenizer, scorer.tokenizer):
            raise ValueError(
                "params.yaml: ppo.value_init: 'reward_model' needs a reward model on the policy's backbone; "
                "set it to 'policy', or reward_model.backbone to 'sft'"
            )
        value_model = loading.load_classifier(reward_folder, params.runtime)
    else:
        value_model = reward_head.new_reward_model(policy_folder, params.runtime, torch.Generator().manual_seed(seed))
        reward_head.scalar_head(value_model).weight.data.zero_()
        value_model.config.reward_activation = "identity"
        value_model.config.reward_shift, value_model.config.reward_gain = 0.0, 1.0
    scorer.model.requires_grad_(False)
    return Players(policy, value_model, reference, scorer, tokenizer)


def tokenised(tokenizer, prompts: list[dict], params: Ppo) -> list[Prompt]:
    """Return prompts with their token ids; those over `max_prompt_tokens` are left out."""
    kept = [
        Prompt(record["id"], record["messages"], prompt_ids(tokenizer, record["messages"]), record.get("task"))
        for record in prompts
    ]
    kept = [prompt for prompt in kept if len(prompt.ids) <= params.max_prompt_tokens]
    if not kept:
        raise ValueError(
            f"none of {len(prompts)} PPO prompts fits into ppo.max_prompt_tokens {params.max_prompt_tokens}"
        )
    return kept


def train(
    players: Players,
    prompts: list[Prompt],
    text: Tensor | None,
    params: Ppo,
    runtime: Runtime,
    seed: int,
    states: checkpoints.States = checkpoints.NONE,
) -> Iterator[dict]:
    """Optimise the policy in place; yield one point an iteration. `text` [N, T] is pretraining text for PPO-ptx.

    At the end the policy holds the moving average of its weights, if `ema_decay` asks for one. With monitor 'stop' it
    ends where gold's peak is seen to lie behind.
    """
    policy_optimiser = optimisation.adamw(players.policy, params.policy_optimisation)
    value_optimiser = optimisation.adamw(players.value_model, params.value_optimisation)
    prompt_order = batching.cycle(len(prompts), params.batch_size, seeds.derive(seed, "prompts"))
    updates = torch.Generator().manual_seed(seeds.derive(seed, "minibatches"))
    ptx_batch = max(1, round(params.minibatch_size * params.ptx_ratio / params.inner_epochs))
    ptx_rows = language_modelling.row_batches(text, ptx_batch, seeds.derive(seed, "ptx")) if text is not None else None
    average = [weight.detach().clone() for weight in players.policy.parameters()] if params.ema_decay else []
    kl_coef = params.kl_coef
    if (found := states.restored()) is not None:
        checkpoints.load_weights(players.policy, found["policy"])
        checkpoints.load_weights(players.value_model, found["value_model"])
        policy_optimiser.load_state_dict(found["policy_optimiser"])
        value_optimiser.load_state_dict(found["value_optimiser"])
        updates.set_state(found["minibatches"])
        average, kl_coef = found["average"], found["kl_coef"]
    num_minibatches = params.inner_epochs * -(-params.batch_size // params.minibatch_size)
    for _ in states.points:  # what these iterations have read
        next(prompt_order)
        if ptx_rows is not None:
            _ = [next(ptx_rows) for _ in range(num_minibatches)]
    curve = [*states.points]
    yield from states.points
    for iteration in range(len(curve), params.iterations):
        if params.monitor == "stop" and peak_is_behind(curve):
            break
        for optimiser, chosen in (
            (policy_optimiser, params.policy_optimisation),
            (value_optimiser, params.value_optimisation),
        ):
            rate = optimisation.learning_rate(chosen, iteration, params.iterations)
            optimisation.set_learning_rate(optimiser, rate)
        batch = [prompts[index] for index in next(prompt_order)]
        seen = experience.gather(players, batch, params, runtime, seeds.derive(seed, "rollouts", iteration))
        mask = seen.completion_mask
        token_rewards = advantages.shape_rewards(seen.scores, seen.logprobs, seen.reference_logprobs, mask, kl_coef)
        if params.whiten_rewards:
            token_rewards = advantages.whiten(token_rewards, mask, shift_mean=False)
        estimate = advantages.gae(token_rewards, seen.values, mask, params.gamma, params.lam)
        whitened = advantages.whiten(estimate.advantages, mask)
        learned: list[dict[str, float]] = []
        for _ in range(params.inner_epochs):
            order = torch.randperm(len(batch), generator=updates)
            for rows in order.split(params.minibatch_size):
                ptx = next(ptx_rows) if ptx_rows is not None else None
                with failures.at_step(iteration + 1, [batch[row].id for row in rows.tolist()]):
                    update, fit = optimisation.steps(
                        [
                            Job(
                                players.policy,
                                policy_optimiser,
                                policy_shares(players, seen, whitened, rows, ptx, params, runtime),
                                params.policy_optimisation.max_grad_norm,
                            ),
                            Job(
                                players.value_model,
                                value_optimiser,
                                value_shares(players, seen, estimate.returns, rows, params, runtime),
                                params.value_optimisation.max_grad_norm,
                            ),
                        ]
                    )
                learned.append(update.measures | {"value_loss": fit.loss, "grad_norm": update.grad_norm})
                for mean, weight in zip(average, players.policy.parameters(), strict=False):
                    mean.lerp_(weight.detach(), 1 - params.ema_decay)
        point = {"step": iteration + 1, "kl_coef": kl_coef} | describe(seen, token_rewards, estimate, learned)
        if params.monitor != "off":
            point |= experience.golds(players, batch, seen)
        curve.append(point)
        if params.kl_controller.kind == "adaptive":
            controller = params.kl_controller
            kl_coef = clipping.adapted_kl_coef(
                kl_coef, point["kl"], controller.target, controller.horizon, params.batch_size
            )
        if states.due(point, last=iteration + 1 == params.iterations):
            states.save(
                {
                    "policy": checkpoints.weights(players.policy),
                    "value_model": checkpoints.weights(players.value_model),
                    "policy_optimiser": policy_optimiser.state_dict(),
                    "value_optimiser": value_optimiser.state_dict(),
                    "minibatches": updates.get_state(),
                    "average": average,
                    "kl_coef": kl_coef,
                }
            )
        yield point
    for mean, weight in zip(average, players.policy.parameters(), strict=False):
        weight.data.copy_(mean)


def policy_shares(
    players: Players,
    seen: Experience,
    whitened: Tensor,
    rows: Tensor,
    ptx: Tensor | None,
    params: Ppo,
    runtime: Runtime,
) -> Iterator[Callable[[], Share]]:
    """Yield the parts of the minibatch's loss, then those of the pretraining text (Ouyang et al. 2022, eq. 2).

    They measure policy_loss, clip_share, approx_kl (nats per token) and ptx_loss.
    """
    num_tokens = int(seen.completion_mask[rows].sum())

    def clipped(window: Window) -> Share:
        some, columns, width = window
        completions, mask, old = (
            tensor[some, :width] for tensor in (seen.completions, seen.completion_mask, seen.logprobs)
        )
        with placement.precision(runtime):
            hidden = forward.completion_states(players.policy, seen.ids[some, columns], seen.mask[some, columns], mask)
            head = forward.output_head(players.policy)
            found = logprobs.of_hidden(hidden, head, completions[mask], params.temperature)
        current = forward.spread(found, mask)
        loss = clipping.policy_loss(current, old, whitened[some, :width], mask, params.clip_range, num_tokens)
        change = 0.5 * ((current - old).detach() ** 2 * mask).sum() / num_tokens
        measures = {"policy_loss": loss.value, "clip_share": loss.clip_share, "approx_kl": change}
        return Share(loss.value, {name: value.item() for name, value in measures.items()})

    def remembered(text: Callable[[], Share]) -> Share:
        loss = text().loss
        return Share(params.ptx_coef * loss, {"ptx_loss": loss.item()})

    for window in windows(seen.mask, seen.completion_mask, rows, params.micro_batch_size, models=2):
        yield partial(clipped, window)
    if ptx is not None:
        for text in language_modelling.mean_shares(players.policy, ptx, params.micro_batch_size, runtime):
            yield partial(remembered, text)


def value_shares(
    players: Players, seen: Experience, returns: Tensor, rows: Tensor, params: Ppo, runtime: Runtime
) -> Iterator[Callable[[], Share]]:
    """Yield the parts of the minibatch's clipped value loss."""
    num_tokens = int(seen.completion_mask[rows].sum())

    def clipped(window: Window) -> Share:
        some, columns, width = window
        old, wanted, mask = (tensor[some, :width] for tensor in (seen.values, returns, seen.completion_mask))
        with placement.precision(runtime):
            values = experience.values_of(players.value_model, seen.ids[some, columns], seen.mask[some, columns], mask)
        return Share(clipping.value_loss(values, old, wanted, mask, params.value_clip_range, num_tokens).value)

    for window in windows(seen.mask, seen.completion_mask, rows, params.micro_batch_size, models=2):
        yield partial(clipped, window)


def describe(seen: Experience, token_rewards: Tensor, estimate: advantages.Estimate, learned: list[dict]) -> dict:
    """Return the iteration's health: kl (sampled, exact) in nats per sequence, entropy in nats per token, and more."""
    mask = seen.completion_mask
    lengths = mask.sum(dim=1).float()
    sampled_kl = ((seen.logprobs - seen.reference_logprobs) * mask).sum(dim=1)
    errors = (estimate.returns - seen.values)[mask]
    spread = estimate.returns[mask].var(correction=0).clamp(min=1e-8)
    health = {
        "score": seen.scores.mean(),
        "score_std": seen.scores.std(correction=0),
        "reward": (token_rewards * mask).sum(dim=1).mean(),
        "kl": sampled_kl.mean(),
        "kl_exact": (seen.kls * mask).sum(dim=1).mean(),
        "entropy": logprobs.masked_mean(seen.entropies, mask),
        "completion_tokens": lengths.mean(),
        "missing_eos": 1 - seen.finished.float().mean(),
        "explained_variance": 1 - errors.var(correction=0) / spread,
    }
    names = dict.fromkeys(name for update in learned for name in update)
    means = {name: sum(update.get(name, 0.0) for update in learned) / len(learned) for name in names}
    return {name: value.item() for name, value in health.items()} | means


def peak_is_behind(curve: list[dict]) -> str | None:
    """Return why the last policies are worse than earlier ones by gold; None where they are not or gold is unknown."""
    if not curve or "gold" not in curve[0]:
        return None
    return overoptimisation.peak_is_behind(*([point[name] for point in curve] for name in ("kl", "gold", "gold_error")))


def mean_of_last(curve: list[dict], name: str, num_points: int = 5) -> float:
    """Return the mean of a column over a curve's last points."""
    last = curve[-num_points:]
    return sum(point[name] for point in last) / len(last)


if __name__ == "__main__":
    launch.run(STAGE, main, round=sys.argv[1])

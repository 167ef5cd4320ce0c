"""Our side of the benchmarks: the loops that the stages run, nothing else. python -m benchmarks.ours CASE SETTINGS"""

import resource
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any
from unittest import mock

import torch

from benchmarks import work
from rlhf.lora import attaching
from rlhf.models import placement
from rlhf.models.reward_head import RewardMeaning
from rlhf.params.base import parse
from rlhf.params.optimisation import Lora
from rlhf.params.ppo import Ppo
from rlhf.params.reward_model import RewardModel
from rlhf.params.runtime import Runtime
from rlhf.params.sft import Sft
from rlhf.preferences import preference_training, rewards
from rlhf.preferences.preference_training import Group
from rlhf.rl import experience, shared_backbone
from rlhf.rl.experience import Models, Prompt
from rlhf.rl.loop_state import Data
from rlhf.training import optimisation, supervised
from stages import ppo

FOR_EVER = 10**6
OPTIMISATION = {
    "learning_rate": work.LEARNING_RATE, "schedule": "constant", "warmup_steps": 0, "warmup_start": 0.0,
    "final_share": 1.0, "adam_beta1": 0.9, "adam_beta2": 0.999, "adam_eps": 1e-8, "weight_decay": 0.0,
    "max_grad_norm": 1.0,
}  # fmt: skip
PPO = {
    "temperature": 1.0, "max_prompt_tokens": 32, "max_completion_tokens": work.NEW_TOKENS,
    "kl_coef": 0.05, "kl_controller": {"kind": "fixed", "target": 6.0, "horizon": 10000}, "gamma": 1.0, "lam": 0.95,
    "clip_range": 0.2, "value_clip_range": 0.2, "whiten_rewards": False, "missing_eos_score": -1.0, "ptx_coef": 0.0,
    "ptx_ratio": 1.0, "ptx_sequence_tokens": 96, "ema_decay": 0.0, "value_init": "reward_model",
    "prompts": "ppo", "monitor": "off", "answers_per_prompt": 1, "prompt_baseline": False, "value_warmup": 0,
    "reward_centring": 0,
}  # fmt: skip
REWARD = {
    "loss": "rank", "backbone": "sft", "pooling": "last", "likelihood_coef": 0.0, "encoder_path": None, "epochs": 100,
    "max_tokens": 1024, "unit_std": False, "max_comparisons": None, "pairs": "grouped",
}  # fmt: skip
SFT = {
    "template": "plain", "epochs": 100, "batch_size": 32, "packing": True, "dropout": 0.0,
    "max_tokens": work.ROWS_OF_TOKENS, "lm_coef": 0.0, "select": "last",
}  # fmt: skip


def runtime(settings: dict) -> Runtime:
    made = Runtime(
        device="cpu",
        dtype=settings["dtype"],
        attention="eager",
        processes=1,
        threads=work.THREADS,
        workers=settings["workers"],
    )
    placement.prepare(made, 0)
    return made


def scalar_model(case: work.Case, seed: int, made: Runtime):
    model = placement.placed(work.scalar_model(case, "eager", seed), made).eval()
    RewardMeaning(pooling="last", likelihood_coef=0.0).write_into(model.config)
    return model


class Scorer(rewards.RewardScorer):
    """A reward model that was made here, not read from a folder."""

    def __init__(self, model, tokenizer, made: Runtime):
        self.model, self.tokenizer, self.runtime = model, tokenizer, made


def run_ppo(case: work.Case, settings: dict) -> None:
    turns, phases = work.Turns(), Counter()
    with (
        timed_calls(experience, "_sample", phases, "rollout"),
        timed_calls(optimisation, "steps", phases, "update"),
    ):
        for models, point in ppo_iterations(case, settings, work.EPOCHS, turns.wait):
            memory = {"peak_bytes": peak_bytes(), "state_bytes": state_bytes(models)}
            turns.done(tokens=point["completion_tokens"], phases=phases, **memory)
            phases.clear()
            turns.wait()


def timed_calls(module: Any, name: str, phases: Counter, phase: str) -> AbstractContextManager:
    """Return a context in which the module's function adds the seconds of its calls to a phase."""
    function = getattr(module, name)

    def timed(*args: Any) -> Any:
        began = time.perf_counter()
        result = function(*args)
        phases[phase] += time.perf_counter() - began
        return result

    return mock.patch.object(module, name, timed)


def ppo_iterations(case: work.Case, settings: dict, inner_epochs: int, begin: Callable[[], None] = lambda: None):
    """Yield (models, point) of PPO's iterations for ever; `begin` is called when all is ready."""
    made = runtime(settings)
    size = {"batch_size": case.prompts, "minibatch_size": case.prompts // work.MINIBATCHES}
    size |= {"iterations": FOR_EVER, "micro_batch_size": settings["micro_batch_size"], "inner_epochs": inner_epochs}
    optimisation = {"policy_optimisation": OPTIMISATION, "value_optimisation": OPTIMISATION}
    params = parse(Ppo, PPO | size | optimisation, "ppo")
    tokenizer = work.tokenizer(case)
    tokenizer.chat_template = ""
    frozen = [work.policy(case, "eager"), scalar_model(case, 1, made)]
    reference, reward_model = (placement.placed(model, made).eval().requires_grad_(False) for model in frozen)
    if case.rank:
        started = shared_backbone.policy_on(reference)
        attaching.attach(started, adapters(case), torch.Generator().manual_seed(0))
        values = shared_backbone.value_model_from(reward_model, adapters(case), torch.Generator().manual_seed(1))
    else:
        started = placement.placed(work.policy(case, "eager"), made).eval()
        values = scalar_model(case, 2, made)
    models = Models(started, values, reference, Scorer(reward_model, tokenizer, made), tokenizer)
    prompts = [Prompt(str(number), [], ids, "und") for number, ids in enumerate(work.prompts(case))]
    begin()
    for point in ppo.train(models, Data(prompts, None), params, made, seed=0):
        yield models, point


def adapters(case: work.Case) -> Lora:
    chosen = {"rank": case.rank, "alpha": 2.0 * case.rank, "dropout": 0.0, "save": "merged"}
    return Lora(**chosen, target_modules="all-linear")


def state_bytes(models: Models) -> int:
    """Bytes of all weights, shared ones once, and of gradients and Adam's two moments of those that learn."""
    together = [models.reference, models.scorer.model, models.policy, models.value_model]
    weights = {weight.data_ptr(): weight for model in together for weight in model.parameters()}
    return sum(weight.nbytes * (4 if weight.requires_grad else 1) for weight in weights.values())


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def run_reward(case: work.Case, settings: dict) -> None:
    made, turns = runtime(settings), work.Turns()
    size = {"batch_size": case.prompts, "micro_batch_rows": settings["micro_batch_rows"]}
    params = parse(RewardModel, REWARD | size | {"optimisation": OPTIMISATION}, "reward_model")
    ranks = [(better, worse) for better in range(case.answers) for worse in range(better + 1, case.answers)]
    groups = [
        Group("", [rewards.Sequence(prompt + answer, len(answer)) for answer in answers], ranks, [])
        for prompt, answers in work.ranked(case)
    ]
    turns.wait()
    for _ in preference_training.train(scalar_model(case, 1, made), groups, params, made, seed=0):
        turns.done(peak_bytes=peak_bytes())  # all prompts make one batch: an update an epoch
        turns.wait()


def run_sft(case: work.Case, settings: dict) -> None:
    made, turns = runtime(settings), work.Turns()
    size = {"micro_batch_rows": settings["micro_batch_rows"]}
    params = parse(Sft, SFT | size | {"optimisation": OPTIMISATION | {"learning_rate": 2e-5}}, "sft")
    examples = [
        supervised.Example("", ids, [place >= prompt for place in range(len(ids))])
        for ids, prompt in work.dialogues(case)
    ]
    updates = len(examples) // SFT["batch_size"]
    model = placement.placed(work.policy(case, "eager"), made)
    turns.wait()
    for point in supervised.train(model, supervised.Data(examples, []), params, made, seed=0):
        if point["step"] % updates == 0:
            turns.done(amount=sum(len(example.ids) for example in examples))
            turns.wait()


if __name__ == "__main__":
    torch.manual_seed(0)
    work.run({"ppo": run_ppo, "reward": run_reward, "sft": run_sft})

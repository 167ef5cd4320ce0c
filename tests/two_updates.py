"""Every loop for its first two updates, on toys; run alone or by several processes it must give the same.

    accelerate launch ... -m tests.two_updates FOLDER

FOLDER has toys.reward_model; each process writes there what it finds, with one worker and with two, to <process>.pt.
All run the stage `reward_model` on FOLDER/repository. Then the second breaks down while the first waits for it.
"""

import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from rlhf.evaluation import policy_measures
from rlhf.evaluation.policy_measures import Policy, Scorers
from rlhf.models import loading, placement
from rlhf.params.base import parse
from rlhf.params.ppo import Ppo
from rlhf.params.pretrain import Scratch
from rlhf.params.reward_model import RewardModel
from rlhf.params.training.supervised import Supervised
from rlhf.preferences import preference_training, rewards
from rlhf.rl import experience
from rlhf.rl.experience import Models
from rlhf.rl.loop_state import Data
from rlhf.runs import sessions
from rlhf.runtime import distributed, failures, parallel
from rlhf.sampling import rollouts
from rlhf.training import language_modelling, optimisation, supervised
from stages import ppo, pretrain, reward_model
from tests import toys

RUNTIME = toys.runtime()


def everything(folder: Path) -> dict[str, Any]:
    """Return the points, tokens, scores and weights of all loops by name; `folder` holds toys.reward_model."""
    tokenizer = toys.tokenizer()
    found = {
        "pretrain, AdamW": pretraining(tokenizer, muon_momentum=None),
        "pretrain, Muon": pretraining(tokenizer, muon_momentum=0.9),
        "sft": sft(tokenizer),
        "reward model": rewarding(tokenizer),
        "ppo": reinforcing(tokenizer, folder),
        "sampling": sampling(tokenizer, folder),
        "no update": refused(),
    }
    return found | {"dvc": sessions.dvc_process(), "unused": unused_weights()}


def ended(model: nn.Module, points: Iterator[dict]) -> dict[str, Any]:
    """Return two points of a loop and the weights after them."""
    curve = list(islice(points, 2))
    return {"curve": curve, "weights": [weight.detach().clone() for weight in model.parameters()]}


def pretraining(tokenizer, muon_momentum: float | None) -> dict[str, Any]:
    chosen = toys.section(Scratch, "pretrain", batch_size=5, copying_steps=1, muon_momentum=muon_momentum)
    rows = torch.randint(5, 300, (20, chosen.sequence_tokens), generator=torch.Generator().manual_seed(2))
    model = toys.policy(tokenizer, spread=0.05)
    return ended(model, pretrain.train(model, rows, chosen, RUNTIME, seed=1))


def sft(tokenizer) -> dict[str, Any]:
    """Two updates on 4 and 3 examples, packed, then a validation that chooses the weights."""
    content = toys.shrunken_params()["sft"] | {"epochs": 1, "packing": True, "micro_batch_rows": 1}
    chosen = parse(Supervised, {key: content.get(key) for key in Supervised.model_fields}, "sft")
    training = supervised.encode(tokenizer, toys.demonstrations(7), chosen.max_tokens).examples
    held_out = supervised.encode(tokenizer, toys.demonstrations(4), chosen.max_tokens).examples
    model = toys.policy(tokenizer, "gpt2")
    return ended(model, supervised.train(model, supervised.Data(training, held_out), chosen, RUNTIME, seed=1))


def rewarding(tokenizer) -> dict[str, Any]:
    """Two updates on 4 comparisons and on a single one, which leaves a process without a part."""
    chosen = toys.section(RewardModel, "reward_model")
    groups = preference_training.encode(tokenizer, toys.comparisons(5), chosen).groups
    model = toys.reward_model(tokenizer)
    return ended(model, preference_training.train(model, groups, chosen, RUNTIME, seed=1))


def reinforcing(tokenizer, folder: Path) -> dict[str, Any]:
    """Two updates of PPO-ptx with whitened rewards and a moving average, and what is sampled before and after."""
    controller = {"kind": "adaptive", "target": 0.1, "horizon": 16}
    sizes = {"iterations": 2, "batch_size": 8, "minibatch_size": 8, "micro_batch_size": 3, "max_completion_tokens": 8}
    kinds = {"ptx_coef": 2.0, "ema_decay": 0.5, "whiten_rewards": True, "kl_controller": controller}
    chosen = toys.section(Ppo, "ppo", **sizes, **kinds)
    started = toys.likes_to_end(toys.policy(tokenizer), tokenizer)
    value_model, scorer = loading.load_classifier(folder, RUNTIME), rewards.RewardScorer(folder, RUNTIME)
    models = Models(started, value_model, toys.policy(tokenizer, seed=5), scorer, tokenizer)
    prompts = ppo.tokenised(tokenizer, toys.prompts(8), chosen)
    text = torch.randint(5, 300, (9, 16), generator=torch.Generator().manual_seed(2))
    seen = [experience.gather(models, prompts, chosen, RUNTIME, seed=3)]
    found = ended(models.policy, ppo.train(models, Data(prompts, text), chosen, RUNTIME, seed=1))
    list(
        ppo.train(models, Data(prompts, text), chosen, RUNTIME, seed=2)
    )  # to its end, where the average replaces weights
    seen.append(experience.gather(models, prompts, chosen, RUNTIME, seed=3))
    tokens = [(one.ids, one.mask) for one in seen]
    values = [weight.detach().clone() for weight in models.value_model.parameters()]
    averages = [weight.detach().clone() for weight in models.policy.parameters()]
    return found | {"tokens": tokens, "seen": seen, "value weights": values, "averages": averages}


def sampling(tokenizer, folder: Path) -> dict[str, Any]:
    """What `collect_comparisons` and `evaluate` ask of models: answers, KLs, scores, losses."""
    policy = toys.likes_to_end(toys.policy(tokenizer), tokenizer)
    messages = [record["messages"] for record in toys.prompts(7)]
    drawn = rollouts.Sampling(temperature=1.0, max_completion_tokens=6, seed=1, batch_size=3)
    answers = rollouts.respond(policy, tokenizer, messages, [str(row) for row in range(7)], drawn)
    both = (Policy("ppo", policy, tokenizer), Policy("sft", toys.policy(tokenizer, seed=1), tokenizer))
    params: Any = SimpleNamespace(runtime=RUNTIME, evaluate=SimpleNamespace(scoring_batch_size=3))
    nobody: Any = None
    kls = policy_measures.exact_kls(*both, toys.prompts(7), answers, Scorers(nobody, nobody, params, nobody))
    scorer = rewards.RewardScorer(folder, RUNTIME)
    scores = scorer.score_texts(messages, [answer.text for answer in answers], batch_size=3)
    rows = torch.randint(5, 300, (5, 12), generator=torch.Generator().manual_seed(2))
    loss = language_modelling.mean_loss(policy, rows, 2, RUNTIME)
    return {"tokens": [answer.token_ids for answer in answers], "kls": kls, "scores": scores, "loss": loss}


def refused() -> str:
    """Return what every process says of a batch in whose last part alone the loss is not a number."""
    model = nn.Linear(1, 1)
    parts = [
        lambda worth=worth: optimisation.MicroBatchLoss(model.weight.sum() * worth) for worth in (1.0, float("nan"))
    ]
    try:
        optimisation.step(model, torch.optim.SGD(model.parameters(), lr=1.0), parts, 1.0)
    except failures.NotFinite as error:
        return str(error)
    return "updated"


def unused_weights() -> list[torch.Tensor]:
    """Return weights after decay, where the last part alone uses the first weight and none uses the bias."""
    torch.manual_seed(3)
    model = nn.Linear(2, 1)
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.5)
    other = nn.Parameter(torch.ones(2))
    model.register_parameter("other", other)
    optimiser.add_param_group({"params": [other]})
    parts = [lambda: optimisation.MicroBatchLoss(model.weight.sum()), lambda: optimisation.MicroBatchLoss(other.prod())]
    optimisation.step(model, optimiser, parts, 1e9)
    return [weight.detach() for weight in model.parameters()]


def break_down() -> None:
    """Fail in a part of one process while the others wait for its gradient."""
    model = nn.Linear(1, 1)

    def part() -> optimisation.MicroBatchLoss:
        if distributed.number() == 1:
            raise RuntimeError("this part broke down")
        return optimisation.MicroBatchLoss(model.weight.sum())

    optimisation.step(model, torch.optim.SGD(model.parameters(), lr=1.0), [part, part], 1.0)


def main(folder: Path) -> None:
    placement.prepare(RUNTIME, seed=0)
    found = {}
    for workers in (1, 2):
        parallel.set_workers(workers)
        found[workers] = everything(folder)
    torch.save(found, folder / f"{distributed.number()}.pt")
    reward_model.main(folder / "repository", "r1")
    distributed.wait()
    break_down()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

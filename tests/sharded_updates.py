"""Every loop for its first two updates, on toys, with models in shards; it must give what one process gives.

    torchrun --nproc_per_node 3 -m tests.sharded_updates FOLDER

FOLDER has toys.reward_model; each process writes there what it finds, to <processes>.<process>.pt.
"""

import sys
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from rlhf.models import loading, placement, whole_weights
from rlhf.models.sharded import putting, saving
from rlhf.params.base import parse
from rlhf.params.optimisation import Lora
from rlhf.params.ppo import Ppo
from rlhf.params.pretrain import Scratch
from rlhf.params.reward_model import RewardModel
from rlhf.params.training.supervised import Supervised
from rlhf.preferences import preference_training, rewards
from rlhf.rl import experience
from rlhf.rl.experience import Models
from rlhf.rl.loop_state import Data
from rlhf.runtime import distributed, failures
from rlhf.runtime.files import new_folder
from rlhf.sharding import shards
from rlhf.training import language_modelling, optimisation, supervised
from stages import ppo, pretrain
from tests import toys

RUNTIME = toys.runtime(sharding="fsdp2")
LORA = Lora(rank=3, alpha=4.0, dropout=0.0, target_modules="all-linear", save="merged")


class Seen:
    """What passes by where gradients are clipped: their norms and they themselves, before."""

    def __init__(self) -> None:
        self.gradients: list[list[Tensor]] = []

    def clip(self, weights: list[nn.Parameter], most: float) -> float:
        with torch.no_grad():
            self.gradients.append(
                [shards.gathered(weight.grad).clone() for weight in weights if weight.grad is not None]
            )
        return nn.utils.clip_grad_norm_(weights, most).item()


def ended(models: list[nn.Module], points: Iterator[dict], most: int = 2) -> dict[str, Any]:
    """Return two points of a loop, the gradients of both updates before clipping, and the weights after them."""
    seen = Seen()
    with mock.patch.object(optimisation, "clip_gradients", seen.clip):
        curve = list(islice(points, most))
    found = [[weight.clone() for _, weight in whole_weights.named(model)] for model in models]
    return {"curve": curve, "gradients": seen.gradients, "weights": found}


def everything(folder: Path) -> dict[str, Any]:
    """Return the points, gradients, tokens and weights of all loops by name; `folder` holds toys.reward_model."""
    tokenizer = toys.tokenizer()
    loops: dict[str, Callable[[], dict]] = {
        "pretrain, AdamW": partial(pretraining, tokenizer, None),
        "pretrain, Muon": partial(pretraining, tokenizer, 0.9),
        "sft, packed": partial(sft, tokenizer, toys.policy(tokenizer, "gpt2"), packing=True),
        "sft": partial(sft, tokenizer, toys.policy(tokenizer, "gpt2")),
        "sft, SGD": partial(descent, tokenizer),
        "sft, activations again": partial(sft, tokenizer, toys.policy(tokenizer), again=True),
        "sft, LoRA": partial(sft, tokenizer, toys.policy(tokenizer), LORA),
        "sft, transformers' forward": partial(sft, tokenizer, toys.policy(tokenizer, hidden_act="gelu"), again=True),
        "reward model": partial(rewarding, tokenizer),
        "ppo": partial(reinforcing, tokenizer, folder),
    }
    found = {name: loop() for name, loop in loops.items()}
    return found | {"whole": whole(tokenizer), "refused": refused(tokenizer)}


def pretraining(tokenizer, muon_momentum: float | None) -> dict[str, Any]:
    """Tied embeddings, batches of 5."""
    chosen = toys.section(Scratch, "pretrain", batch_size=5, copying_steps=1, muon_momentum=muon_momentum)
    rows = torch.randint(5, 300, (20, chosen.sequence_tokens), generator=torch.Generator().manual_seed(2))
    model = toys.policy(tokenizer, spread=0.05)
    return ended([model], pretrain.train(model, rows, chosen, RUNTIME, seed=1))


def supervised_params(**more: Any) -> Supervised:
    """Params of fine-tuning row by row; AdamW's eps is so large that gradients of 0 but for rounding move nothing."""
    content = toys.shrunken_params()["sft"] | {"epochs": 1, "packing": False, "micro_batch_rows": 1} | more
    content["optimisation"] |= {"adam_eps": 1e-3}
    return parse(Supervised, {key: content.get(key) for key in Supervised.model_fields}, "sft")


def sft(tokenizer, model, lora: Lora | None = None, again: bool = False, packing: bool = False) -> dict[str, Any]:
    """Two updates on 4 and 3 examples, then a validation that chooses the weights."""
    chosen = supervised_params(packing=packing, **({"max_tokens": 17} if packing else {}))
    runtime = RUNTIME.model_copy(update={"gradient_checkpointing": again})
    training = supervised.encode(tokenizer, toys.demonstrations(7), chosen.max_tokens).examples
    held_out = supervised.encode(tokenizer, toys.demonstrations(4), chosen.max_tokens).examples
    if lora is not None:
        loading.attach(model, lora, 5, chosen.max_tokens, lambda _: None)
    return ended([model], supervised.train(model, supervised.Data(training, held_out), chosen, runtime, seed=1))


def descent(tokenizer) -> dict[str, Any]:
    """A step of plain gradient descent, whose length tells a mean from a sum as AdamW's does not."""
    chosen, model = supervised_params(), toys.policy(tokenizer)
    examples = supervised.encode(tokenizer, toys.demonstrations(5), chosen.max_tokens).examples
    putting.put(model, RUNTIME)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.5)

    def points() -> Iterator[dict]:
        losses = supervised.micro_batch_losses(model, examples, chosen, RUNTIME)
        yield optimisation.step(model, optimiser, losses, 1e9)._asdict()

    return ended([model], points())


def rewarding(tokenizer) -> dict[str, Any]:
    """Two updates on 4 comparisons and on a single one, which leaves processes without a part; K answers a row."""
    chosen = toys.section(RewardModel, "reward_model", likelihood_coef=0.5)
    groups = preference_training.encode(tokenizer, toys.comparisons(5), chosen).groups
    model = toys.reward_model(tokenizer)
    return ended([model], preference_training.train(model, groups, chosen, RUNTIME, seed=1))


def reinforcing(tokenizer, folder: Path) -> dict[str, Any]:
    """Two updates of PPO-ptx with a moving average, and what is sampled before and after."""
    sizes = {"iterations": 2, "batch_size": 8, "minibatch_size": 8, "micro_batch_size": 3, "max_completion_tokens": 8}
    chosen = toys.section(Ppo, "ppo", **sizes, ptx_coef=2.0, ema_decay=0.5)
    models = Models(
        toys.likes_to_end(toys.policy(tokenizer), tokenizer),
        loading.load_classifier(folder, RUNTIME),
        toys.policy(tokenizer, seed=5),
        rewards.RewardScorer(folder, RUNTIME),
        tokenizer,
    )
    models.shard(RUNTIME)
    prompts = ppo.tokenised(tokenizer, toys.prompts(8), chosen)
    text = torch.randint(5, 300, (9, 16), generator=torch.Generator().manual_seed(2))
    seen = [experience.gather(models, prompts, chosen, RUNTIME, seed=3)]
    points = ppo.train(models, Data(prompts, text), chosen, RUNTIME, seed=1)
    found = ended([models.policy, models.value_model], points, most=3)  # to its end, where the average takes over
    seen.append(experience.gather(models, prompts, chosen, RUNTIME, seed=3))
    return found | {"tokens": [(one.ids, one.mask) for one in seen], "seen": seen}


def whole(tokenizer) -> dict[str, Any]:
    """A model as others are given it, before and after its adapters are merged."""
    model = toys.policy(tokenizer, "gpt2")
    putting.put(model, RUNTIME)
    adapted = toys.policy(tokenizer, "gpt2")
    loading.attach(adapted, LORA, 5, 16, lambda _: None)
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_B" in name:
                weight.fill_(0.01)
    putting.put(adapted, RUNTIME)
    return {"weights": dict(whole_weights.named(model)), "merged": dict(whole_weights.merged(adapted))}


def refused(tokenizer) -> list[str]:
    """Return what every process says of a batch in whose last part alone the loss is not a number, and of a model."""
    model = toys.policy(tokenizer)
    putting.put(model, RUNTIME)
    ids = torch.tensor([[5, 6, 7, 8]])

    def part(worth: float) -> optimisation.MicroBatchLoss:
        return optimisation.MicroBatchLoss(language_modelling.next_token_losses(model, ids).sum() * worth)

    optimiser = torch.optim.SGD(model.parameters(), lr=1.0)
    said = []
    try:
        optimisation.step(model, optimiser, [partial(part, worth) for worth in (1.0, 1.0, float("nan"))], 1.0)
    except failures.NotFinite as error:
        said.append(str(error))
    return said


def saved(tokenizer, folder: Path) -> None:
    """Write folders of a model in one file and in several, and of one with its adapters merged."""
    model = toys.policy(tokenizer)
    putting.put(model, RUNTIME)
    for name, largest in (("one", 10**9), ("several", 20_000)):
        with new_folder(folder / name) as place:
            saving.save(model, place, largest)
            if distributed.is_first():
                tokenizer.save_pretrained(place)


def main(folder: Path) -> None:
    placement.prepare(RUNTIME, seed=0)
    found = everything(folder)
    saved(toys.tokenizer(), folder / f"{distributed.count()} processes")
    torch.save(found, folder / f"{distributed.count()}.{distributed.number()}.pt")
    distributed.wait()
    distributed.leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

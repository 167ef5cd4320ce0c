"""Some updates of a pretraining in the processes that were started, with the model in shards where they are several.

    torchrun --nproc_per_node 3 -m study.sharding.worker FOLDER NAME UPDATES

It goes on from the newest state in FOLDER/states, and writes losses, gradients before clipping and weights to
FOLDER/NAME.pt.
"""

import sys
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rlhf.models import placement, shapes, whole_weights
from rlhf.params.base import read_yaml
from rlhf.params.pretrain import Scratch
from rlhf.runs.sharded_states import ShardedStates
from rlhf.runtime import distributed
from rlhf.sharding import shards
from rlhf.training import optimisation
from stages import pretrain
from tools import check
from tools.presets import path_of

SEED = 1
VOCAB, ROWS, TOKENS = 301, 40, 32
UPDATES = 6  # of the whole training
CHANGES = {
    "shape": "tiny", "vocab_size": VOCAB, "previous_token_heads": 1, "copying_steps": 1, "batch_size": 7,
    "sequence_tokens": TOKENS, "tokens": (UPDATES - 1) * 7 * TOKENS, "muon_momentum": None,
}  # fmt: skip


def main(folder: Path, name: str, updates: int) -> None:
    params = check.whole(read_yaml(path_of(Path("."), "tiny", "study.sharding")))
    runtime = params.runtime.model_copy(update={"sharding": "fsdp2", "threads": 1, "workers": 1})
    placement.prepare(runtime, SEED)
    section: Scratch = params.pretrain.model_copy(update=CHANGES)
    config = shapes.config(section.shape, VOCAB, pad_id=0, eos_id=1)
    model = pretrain.untrained(config, section, runtime, SEED)
    rows = torch.randint(2, VOCAB, (ROWS, TOKENS), generator=torch.Generator().manual_seed(SEED))
    gradients: list[list[Tensor]] = []
    clipped: Any = optimisation.clip_gradients

    def seen(weights: list[nn.Parameter], most: float) -> float:
        with torch.no_grad():
            gradients.append([shards.gathered(one.grad).clone() for one in weights if one.grad is not None])
        return clipped(weights, most)

    optimisation.clip_gradients = seen
    points = pretrain.train(model, rows, section, runtime, SEED, ShardedStates(folder / "states", 0.0))
    losses = [point["loss"] for point in islice(points, updates)]
    weights = [weight.clone() for _, weight in whole_weights.named(model)]
    if distributed.is_first():
        torch.save({"losses": losses, "gradients": gradients, "weights": weights}, folder / f"{name}.pt")
    distributed.wait()
    distributed.leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))

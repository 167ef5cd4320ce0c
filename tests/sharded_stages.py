"""Stages on a repository's root in the processes that were started, as `python -m stages...` would run them.

    torchrun --nproc_per_node 3 -m tests.sharded_stages ROOT ppo reward_model sft

Each reads what is there before it and writes over what it made before: those that read others' outputs come first.
"""

import sys
from pathlib import Path

from rlhf.runtime import distributed
from stages import dpo, feedme, judge, ppo, pretrain, rejection, reward_model, sft

STAGES = {
    "ppo": ppo, "reward_model": reward_model, "judge": judge, "dpo": dpo, "feedme": feedme, "rejection": rejection,
    "sft": sft, "pretrain": pretrain,
}  # fmt: skip


def run(root: Path, names: list[str]) -> None:
    for name in names:
        STAGES[name].main(root)


if __name__ == "__main__":
    run(Path(sys.argv[1]), sys.argv[2:])
    distributed.leave()

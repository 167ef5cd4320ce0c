"""A stage in the processes that were started, of which the second is killed in the middle of an update, if asked for.

    torchrun --nproc_per_node 2 -m tests.sharded_resume ROOT ppo 5     kill -9 amid the fifth update
    torchrun --nproc_per_node 3 -m tests.sharded_resume ROOT ppo 0     none

ROOT/updates says how many updates this start has computed.
"""

import os
import signal
import sys
from pathlib import Path
from unittest import mock

from rlhf.runtime import distributed
from rlhf.training import optimisation
from tests.sharded_stages import STAGES


def run(root: Path, name: str, kill_at: int = 0) -> None:
    """Run the stage; gradients are there and nothing has moved when the process is killed."""
    clipped, calls = optimisation.clip_gradients, []

    def clip(*given):
        calls.append(given)
        if len(calls) == kill_at and distributed.number() == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return clipped(*given)

    with mock.patch.object(optimisation, "clip_gradients", clip):
        STAGES[name].main(root)
    if distributed.is_first():
        (root / "updates").write_text(str(len(calls)))


if __name__ == "__main__":
    run(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
    distributed.leave()

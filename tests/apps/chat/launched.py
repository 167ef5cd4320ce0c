"""The chat as a process, for a browser's tests: real models, slowed so that a person can stop them; a stub moderates.

python -m tests.apps.chat.launched SECONDS_A_TOKEN [arguments of apps.chat]
"""

import sys
import time

from apps.chat import __main__, engine, moderating
from rlhf.sampling import rollouts
from tests.apps.chat.stubs import StubModerator


class Slow(engine.ModelEngine):
    def answer(self, checkpoint, messages, settings):
        for part in super().answer(checkpoint, messages, settings):
            time.sleep(float(sys.argv[1]))
            yield part


if __name__ == "__main__":
    of = rollouts.Ends.of
    rollouts.Ends.of = lambda *given: of(*given)._replace(end_ids=(-1,))  # random models end whenever they like
    engine.ModelEngine = Slow
    moderating.opened = lambda root: StubModerator() if (root / moderating.FOLDER).is_dir() else None
    raise SystemExit(__main__.main(sys.argv[2:]))

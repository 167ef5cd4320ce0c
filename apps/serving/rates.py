"""How many requests a client may make: a bucket each, which fills evenly."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable

MOST_CLIENTS = (
    10_000  # whose buckets are remembered; the one that asked longest ago is forgotten first, and is full again
)


class Rates:
    """Buckets of at most a minute's requests. A request that is refused takes nothing, so waiting always helps."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic):
        self.most, self.clock = float(per_minute), clock
        self.buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # client: (requests left, when)

    def wait(self, client: str) -> int:
        """Count a request of a client; return 0, or the seconds after which one would be taken."""
        now = self.clock()
        left, before = self.buckets.pop(client, (self.most, now))
        left = min(self.most, left + (now - before) * self.most / 60)
        taken = left >= 1
        self.buckets[client] = (left - 1 if taken else left, now)
        if len(self.buckets) > MOST_CLIENTS:
            self.buckets.popitem(last=False)
        return 0 if taken else max(1, math.ceil((1 - left) * 60 / self.most))

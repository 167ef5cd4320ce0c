"""The verdict in a few words, for the report, MLflow and the terminal alike. Needs no numbers library."""

from typing import Protocol


class Bounds(Protocol):
    """An interval of a win rate."""

    @property
    def low(self) -> float: ...

    @property
    def high(self) -> float: ...


def claim(sampled: Bounds, greedy: Bounds) -> str:
    """Return what PPO did to the answers, sampled and greedy: where the two differ, both are said.

    An interval that holds one half proves nothing.
    """
    done = {1: "helped", 0: "made no difference that was shown", -1: "made answers worse"}
    ways = [1 if rate.low > 0.5 else -1 if rate.high < 0.5 else 0 for rate in (sampled, greedy)]
    if ways == [0, 0]:
        return "No difference was shown"
    if ways[0] == ways[1]:
        return f"RLHF {done[ways[0]]}"
    return f"Sampled, RLHF {done[ways[0]]}; greedy, it {done[ways[1]]}"

"""Which split a unit (a user, or a prompt without one: prompt_sets) enters; the same for every run of a seed."""

from collections.abc import Iterable, Mapping, Sequence

from rlhf.params.collect_prompts import AnySource, Source, Split
from rlhf.runtime.seeds import derive

HASHES = 2**63


def held_out_first(sources: Sequence[AnySource]) -> list[AnySource]:
    """Return sources with those of held-out data before the others, so that a prompt in both stays held out."""
    return sorted(sources, key=_held_out_rank)


def _held_out_rank(source: Source) -> int:
    if source.splits and set(source.splits) <= {"test"}:
        return 0
    return 1 if source.splits and set(source.splits) <= {"validation", "test"} else 2


def choose(unit: str, allowed: Sequence[Split], shares: Mapping[Split, float], seed: int) -> Split:
    """Return the split of a user or prompt: its hash falls into one of the allowed splits' shares.

    The choice depends on nothing but its arguments: new data moves no old user. `allowed` needs a share above 0.
    """
    open_splits: list[Split] = [split for split in shares if split in allowed and shares[split] > 0]
    assert open_splits, f"no open split among {allowed}"
    point = derive(seed, "split", unit) / HASHES * sum(shares[split] for split in open_splits)
    for split in open_splits:
        point -= shares[split]
        if point < 0:
            return split
    return open_splits[-1]


def first_by_hash(texts: Iterable[str], count: int, seed: int, *names: str) -> set[str]:
    """Return `count` of the texts, chosen by hash under `names`: a smaller count gives a subset of a larger one's."""
    return set(sorted(set(texts), key=lambda text: derive(seed, *names, text))[:count])

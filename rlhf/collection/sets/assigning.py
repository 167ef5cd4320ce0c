"""One split a dialogue and one a user: what stays enters it, and the rest is dropped."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlhf.collection.sets.grouping import different, firsts
from rlhf.collection.splitting import choices
from rlhf.collection.table.facts import KINDS, Rows, Table
from rlhf.collection.table.tally import Tally
from rlhf.params.collect_prompts import SPLITS, AnySource, CollectPrompts, Split, shares_of

COMPARISONS: dict[Split, str] = {
    "reward_model": "train",
    "judge": "judge",
    "validation": "validation",
    "test": "validation",
}
DEMONSTRATIONS: dict[Split, str] = {"sft": "train", "validation": "validation"}
NONE = -1


class Assigned(NamedTuple):
    """Rows of a table, and the split of each by its place in SPLITS."""

    rows: Rows
    splits: NDArray[np.int64]

    def where(self, wanted: NDArray[np.bool_]) -> "Assigned":
        return Assigned(self.rows[wanted], self.splits[wanted])


def assign(facts: Table, rows: Rows, sources: Sequence[AnySource], params: CollectPrompts, tally: Tally) -> Assigned:
    """Return the rows with their splits: one split a dialogue, however long it is by then, and one a user.

    A dialogue follows its first row (held-out sources come first); rows whose own source or user is elsewhere, or that
    hold nothing their split takes, are dropped and counted.
    """
    own = _own_splits(facts[rows], sources, shares_of(params))
    owner = own[firsts(facts["beginning"][rows])]
    reasons = np.zeros(rows.size, np.int64)  # 0: it stays
    names = ["", "no_split_takes_it", "prompt_in_another_split", *(f"nothing_for_{split}" for split in SPLITS)]
    enters, serves = _tables(sources)
    source, kind = facts["source"][rows], facts["kind"][rows]
    elsewhere = ~enters[source, owner] | ((facts["user"][rows] != 0) & (own != owner))
    reasons[~serves[source, kind, owner]] = names.index(f"nothing_for_{SPLITS[0]}")
    reasons[reasons > 0] += owner[reasons > 0]
    reasons[elsewhere] = 2
    reasons[owner == NONE] = 1
    for number, name in enumerate(names[1:], start=1):
        tally.drop(facts, rows[reasons == number], name)
    return _at_most(facts, Assigned(rows, owner).where(reasons == 0), params, tally)


def _tables(sources: Sequence[AnySource]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return whether rows of [source] may enter [split], and whether those of [source, kind] hold what it takes."""
    enters = np.array([[split in source.splits for split in SPLITS] for source in sources], bool)
    serves = [[[_serves(source, kind, split) for split in SPLITS] for kind in KINDS] for source in sources]
    return enters, np.array(serves, bool)


def _serves(source: AnySource, kind: str, split: Split) -> bool:
    return (
        ("prompts" in source.use and split != "sft")
        or ("demonstrations" in source.use and kind == "demonstration" and split in DEMONSTRATIONS)
        or ("comparisons" in source.use and kind == "comparison" and split in COMPARISONS)
    )


def _own_splits(facts: Table, sources: Sequence[AnySource], shares: Mapping[Split, float]) -> NDArray[np.int64]:
    """Return the split that each row's user or prompt would enter by itself, NONE where none takes it."""
    own = np.full(facts.size, NONE)
    for number, source in enumerate(sources):
        for kind_number, kind in enumerate(KINDS):
            of_kind = (facts["source"] == number) & (facts["kind"] == kind_number)
            serving: list[Split] = [
                split for split in source.splits if _serves(source, kind, split) and shares[split] > 0
            ]
            for places, allowed in (
                (np.flatnonzero(of_kind & (facts["user"] != 0)), source.splits),
                (np.flatnonzero(of_kind & (facts["user"] == 0)), serving),
            ):
                if places.size and allowed:  # a source of documents alone has no splits
                    splits, chosen = choices(facts["point"][places], allowed, shares)
                    own[places] = np.array([SPLITS.index(split) for split in splits])[chosen]
    return own


def _at_most(facts: Table, assigned: Assigned, params: CollectPrompts, tally: Tally) -> Assigned:
    """Return of each split the prompts that its cap leaves: a smaller cap leaves a part of what a larger one does."""
    kept = np.ones(assigned.rows.size, bool)
    for number, split in enumerate(SPLITS):
        cap: int | None = getattr(params.max_prompts, split)
        own = np.flatnonzero(assigned.splits == number)
        if cap is None or not own.size:
            continue
        prompts = facts["prompt"][assigned.rows[own]]
        once = different(prompts)
        chosen = once[np.argsort(facts["cap"][assigned.rows[own[once]]], kind="stable")[:cap]]
        kept[own] = np.isin(prompts, prompts[chosen])
    if not kept.all():
        tally.drop(facts, assigned.rows[~kept], "over_max_prompts")
    return assigned.where(kept)


def missed(
    assigned: Assigned, facts: Table, sources: Sequence[AnySource], params: CollectPrompts
) -> dict[str, list[Split]]:
    """Return, of each source of which rows are left, the splits that it serves and none of its rows entered.

    A source of few users does so: all that a user said goes into one split.
    """
    own, shares = facts["source"][assigned.rows], shares_of(params)
    _, serves = _tables(sources)
    found = dict[str, list[Split]]()
    for number, source in enumerate(sources):
        entered = set(np.unique(assigned.splits[own == number]).tolist())
        served: list[Split] = [
            split for split in source.splits if shares[split] > 0 and serves[number, :, SPLITS.index(split)].any()
        ]
        missing: list[Split] = [split for split in served if SPLITS.index(split) not in entered]
        if 0 < len(missing) < len(served):  # all: it has no rows, which others say
            found[source.name] = missing
    return found


def check_disjoint(facts: Table, assigned: Assigned) -> None:
    """Assert that no dialogue and no user stands in two splits."""
    for column in ("beginning", "user"):
        keys = facts[column][assigned.rows]
        known = np.flatnonzero(keys)
        other = np.flatnonzero(assigned.splits[known] != assigned.splits[known][firsts(keys[known])])
        assert not other.size, f"{column} of row {assigned.rows[known[other[0]]]} stands in two splits"

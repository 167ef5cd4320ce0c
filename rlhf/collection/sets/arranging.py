"""Files by what each split takes, in an order drawn from the seed."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from rlhf.collection.sets.assigning import COMPARISONS, DEMONSTRATIONS, Assigned
from rlhf.collection.sets.grouping import different
from rlhf.collection.table import categories
from rlhf.collection.table.contents import Contents
from rlhf.collection.table.facts import KINDS, Rows, Table, Written, encode, line, parsed_part
from rlhf.collection.table.gathering import Gathered
from rlhf.collection.table.spill import Appended, Spill, chunks
from rlhf.params.collect_prompts import SPLITS, AnySource, CollectPrompts, Split, names_of, shares_of
from rlhf.records.records import FOR_A_JUDGE
from rlhf.runtime.seeds import derive

FILES = (
    *(f"demonstrations.{part}" for part in ("train", "validation")),
    *(f"comparisons.{part}" for part in ("train", "validation", "judge")),
    *(f"prompts.{split}" for split in SPLITS if split != "sft"),
)


def arrange(facts: Table, assigned: Assigned, sources: Sequence[AnySource]) -> dict[str, Rows]:
    """Return {file name: rows} for FILES, in their order; prompt files hold a prompt once."""
    files: dict[str, Rows] = {}
    kinds = facts["kind"][assigned.rows]
    for use, parts in (("demonstrations", DEMONSTRATIONS), ("comparisons", COMPARISONS)):
        of_kind = _of_use(facts, assigned, sources, use) & (kinds == KINDS.index(use.removesuffix("s")))
        for split, part in parts.items():
            own = assigned.rows[of_kind & (assigned.splits == SPLITS.index(split))]
            name = f"{use}.{part}"
            files[name] = np.concatenate([files.get(name, own[:0]), own])
    listed = np.flatnonzero(_of_use(facts, assigned, sources, "prompts") & (assigned.splits != SPLITS.index("sft")))
    listed = listed[different(facts["prompt"][assigned.rows[listed]])]
    for split in SPLITS[1:]:
        files[f"prompts.{split}"] = assigned.rows[listed[assigned.splits[listed] == SPLITS.index(split)]]
    return {name: files[name][np.argsort(facts["order"][files[name]], kind="stable")] for name in FILES}


def _of_use(facts: Table, assigned: Assigned, sources: Sequence[AnySource], use: str) -> np.ndarray:
    return np.array([use in source.use for source in sources], bool)[facts["source"][assigned.rows]]


def documents_in_order(count: int, share: float, seed: int) -> tuple[Rows, Rows]:
    """Return the places of documents for training and for validation, in an order drawn from the seed; both have one
    where there are two.
    """
    keys = np.array([derive(seed, "document", index) for index in range(count)], np.uint64)
    order = np.argsort(keys, kind="stable")
    held_out = max(1, round(share * count)) if count > 1 else 0
    return order[held_out:], order[:held_out]


class Writer:
    """Writes rows as files of JSONL."""

    def __init__(self, gathered: Gathered, spill: Spill, kept_categories: set[str]) -> None:
        self._facts, self._documents, self._spill = gathered.facts, gathered.documents, spill
        self._rare = np.array([name not in kept_categories for name in gathered.categories] or [False], bool)

    def write(self, path: Path, name: str, rows: Rows) -> None:
        """Write one of FILES."""
        with open(path, "wb") as file:
            for some in chunks(self._facts["head"][rows].astype(np.int64) + self._facts["tail"][rows]):
                file.writelines(self._lines(name, rows[some]))

    def write_documents(self, path: Path, rows: Rows) -> None:
        with open(path, "wb") as file:
            for some in chunks(self._documents["size"][rows].astype(np.int64)):
                part = self._documents[rows[some]]
                file.writelines(_read(self._spill.documents, part["offset"], part["size"]))

    def _lines(self, name: str, rows: Rows) -> Iterator[bytes]:
        facts = self._facts[rows]
        heads, answers, tails = (facts[column].astype(np.int64) for column in ("head", "answers", "tail"))
        rare = self._rare[facts["category"]].tolist()
        is_prompt = name.startswith("prompts.")
        kinds: list[int] = facts["kind"].tolist()
        found = _read(self._spill.records, facts["offset"], heads + answers + tails)
        for kind, head, tail, is_rare, text in zip(
            kinds, heads.tolist(), (heads + answers).tolist(), rare, found, strict=True
        ):
            last = _with_other_category(text[tail:]) if is_rare else text[tail:]
            yield line(
                "prompt" if is_prompt else KINDS[kind],
                Written(text[:head], b"" if is_prompt else text[head:tail], last),
            )


def _read(file: Appended, offsets: np.ndarray, sizes: np.ndarray) -> list[bytes]:
    """Return what lies at some places, read in the order in which it lies there."""
    found = [b""] * offsets.size
    order = np.argsort(offsets, kind="stable")
    for place, start, size in zip(order.tolist(), offsets[order].tolist(), sizes[order].tolist(), strict=True):
        found[place] = file.read(start, size)
    return found


def _with_other_category(tail: bytes) -> bytes:
    return encode({**parsed_part(tail), "category": categories.OTHER})[1:-1]


def check_not_empty(contents: Contents, params: CollectPrompts, any_ranked: tuple[bool, bool]) -> None:
    """Raise ValueError naming split, sources and fix if a split with a share has nothing for later stages.

    any_ranked: whether labelers that know any prompt rank answers for the reward model, and for the judge.
    """
    files = contents.records
    needed: dict[Split, list[list[str]]] = {
        "sft": [["demonstrations.train"]],
        "reward_model": [["prompts.reward_model", "comparisons.train"]],
        "judge": [["prompts.judge", "comparisons.judge"]],
        "ppo": [["prompts.ppo"]],
        "validation": [["prompts.validation"], ["demonstrations.validation"]],
        "test": [["prompts.test"]],
    }
    if files["comparisons.train"] and not (contents.ranked_has_tasks or any_ranked[0]):  # else some are ranked later
        needed["validation"].append(["comparisons.validation"])
    for split, share in shares_of(params).items():
        for names in needed[split] if share > 0 else []:
            if not any(files[name] for name in names):
                feeding = names_of([source for source in params.sources if split in source.splits])
                raise ValueError(
                    f"split '{split}': no record for {' or '.join(names)}; sources that list it in their splits: "
                    f"{feeding}. Raise collect_prompts.shares.{split} (now {share:g}), add records or uses to those "
                    f"sources, or loosen collect_prompts.cleaning; counts by reason: the table printed above"
                )
    if shares_of(params)["reward_model"] > 0 and not any_ranked[0]:
        _check_ranked(contents, params)
    if shares_of(params)["judge"] > 0 and not any_ranked[1]:
        _check_judge(contents, params)


def _check_ranked(contents: Contents, params: CollectPrompts) -> None:
    """Raise ValueError where no comparisons are given and simulated labelers know no prompt whose answers they rank."""
    if not contents.records["comparisons.train"] and not contents.ranked_has_tasks:
        feeding = names_of([source for source in params.sources if "reward_model" in source.splits])
        raise ValueError(
            f"split 'reward_model': no comparisons, and {contents.records['prompts.reward_model']} prompts that "
            f"simulated labelers do not know, so there is nothing to rank; sources that list it in their splits: "
            f"{feeding}. Give answers that people ranked (a source with comparisons in its use; docs/data.md), "
            "labelers of another kind (docs/labelers.md), or a source of kind world"
        )


def _check_judge(contents: Contents, params: CollectPrompts) -> None:
    """Raise ValueError for too few given comparisons for a judge, where labelers know no prompt to rank more of."""
    given = contents.records["comparisons.judge"]
    if not contents.judge_has_tasks and given < FOR_A_JUDGE:
        feeding = names_of([source for source in params.sources if "judge" in source.splits])
        raise ValueError(
            f"split 'judge': expected at least {FOR_A_JUDGE} comparisons for the judge, got {given}; sources that "
            f"list it in their splits: {feeding}; simulated labelers know none of its prompts. Raise "
            f"collect_prompts.shares.judge (now {params.shares.judge:g}), or add comparisons to those sources; counts "
            "by reason: the table printed above"
        )

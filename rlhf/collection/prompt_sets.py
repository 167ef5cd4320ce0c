"""From cleaned records to disjoint prompt sets: duplicates out, one split a user, files by what each split takes."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple, get_args

from rlhf.collection import duplicates, near_duplicates, splitting
from rlhf.collection.dropped import Dropped
from rlhf.collection.personal_data.finding import check_personal_data
from rlhf.params.collect_prompts import (
    SPLITS,
    Cleaning,
    CollectPrompts,
    PersonalData,
    Source,
    Split,
    names_of,
    shares_of,
)
from rlhf.records.records import FOR_A_JUDGE
from rlhf.records.types import DialogueRecord, Label
from rlhf.runtime.seeds import derive

Drops = dict[str, Counter[str]]  # {source: {reason: rows}}
ANSWERS = ("response", "responses", "labels")
COMPARISONS: dict[Split, str] = {
    "reward_model": "train",
    "judge": "judge",
    "validation": "validation",
    "test": "validation",
}
DEMONSTRATIONS: dict[Split, str] = {"sft": "train", "validation": "validation"}
FILES = (
    *(f"demonstrations.{part}" for part in ("train", "validation")),
    *(f"comparisons.{part}" for part in ("train", "validation", "judge")),
    *(f"prompts.{split}" for split in SPLITS if split != "sft"),
)


LONGEST_CATEGORY = 40  # characters of a name
MOST_CATEGORIES = 60
UNKNOWN, OTHER = "unknown", "other"
FORMULA = ("=", "+", "-", "@")  # what begins so in a CSV file, a spreadsheet computes
MARKUP = re.compile(r"[<>]")  # DVC puts a plot's names into a script of its page as they are


class Entry(NamedTuple):
    """A cleaned record, its source, and the folded text of its prompt, by which prompts are equal or not."""

    record: DialogueRecord
    source: Source
    prompt: str


def with_named_categories(entries: list[Entry]) -> tuple[list[Entry], dict[str, int]]:
    """Return entries whose categories are names, and how many were none, or were too rare among very many.

    A text that is long, holds personal data, or is more than a name to what opens tables and plots, is none: "unknown".
    Beyond the MOST_CATEGORIES that are most frequent they are "other": each is a row of tables and plots in git.
    """
    plain = [" ".join(entry.record["category"].split()) for entry in entries]
    names = [text if _is_name(text) else UNKNOWN for text in plain]
    counts = Counter(names)
    ordered = sorted(counts, key=lambda name: (-counts[name], name))
    kept = {*ordered[:MOST_CATEGORIES], UNKNOWN}
    changed = {
        "no_name": sum(name == UNKNOWN != text for name, text in zip(names, plain, strict=True)),
        "rare": sum(name not in kept for name in names),
    }
    found: list[Entry] = []
    for entry, name in zip(entries, names, strict=True):
        category = name if name in kept else OTHER
        same = entry.record["category"] == category
        record: Any = entry.record if same else {**entry.record, "category": category}
        found.append(entry._replace(record=record))
    return found, changed


def _is_name(text: str) -> bool:
    try:
        check_personal_data(text, [*get_args(PersonalData)], placeholders=True)
    except Dropped:
        return False
    acts = text.startswith(FORMULA) or MARKUP.search(text)
    return 0 < len(text) <= LONGEST_CATEGORY and text.isprintable() and not acts


def drop_duplicates(entries: list[Entry], params: Cleaning, drops: Drops) -> list[Entry]:
    """Return the entries without duplicates and users' surplus; earlier entries win. `drops` gains the counts.

    Several comparisons of one prompt stay if their responses differ; they share its split.
    """
    if params.exact_duplicates:
        entries = _drop_exact(entries, drops)
    if params.common_prefix_characters is not None:
        repeated = duplicates.long_prefixes(_prompts(entries), params.common_prefix_characters)
        entries = _without(entries, repeated, "common_prefix", drops)
    if params.near_duplicates is not None:
        near = near_duplicates.near(_prompts(entries), params.near_duplicates)
        entries = _without(entries, near, "near_duplicate", drops)
    return _at_most_a_user(entries, params.max_prompts_per_user, drops)


def assign(entries: list[Entry], params: CollectPrompts, seed: int, drops: Drops) -> list[tuple[Entry, Split]]:
    """Return the entries with their splits: one split a dialogue, however long it is by then, and one a user.

    A dialogue follows its first entry (held-out sources come first); entries whose own source or user is elsewhere,
    or that hold nothing their split takes, are dropped and counted.
    """
    owners: dict[str, Split | None] = {}
    for entry in entries:
        if (begun := _beginning(entry)) not in owners:
            owners[begun] = _split_of(entry, params, seed)
    kept: list[tuple[Entry, Split]] = []
    for entry in entries:
        split = owners[_beginning(entry)]
        if split is None or split not in entry.source.splits:
            drops[entry.source.name]["prompt_in_another_split" if split else "no_split_takes_it"] += 1
        elif entry.record["user"] is not None and _split_of(entry, params, seed) != split:
            drops[entry.source.name]["prompt_in_another_split"] += 1
        elif not _serves(entry, split):
            drops[entry.source.name][f"nothing_for_{split}"] += 1
        else:
            kept.append((entry, split))
    return _at_most_a_split(kept, params, seed, drops)


def _beginning(entry: Entry) -> str:
    """Return the folded text of the user's first turn, by which parts of one dialogue are known; where users are known,
    who keep their own dialogues together, all of the prompt.
    """
    if entry.record["user"] is not None:
        return entry.prompt
    turns = (turn["content"] for turn in entry.record["messages"] if turn["role"] == "user")
    return duplicates.folded(next(turns, entry.prompt))


def arrange(assigned: list[tuple[Entry, Split]], seed: int) -> dict[str, list[Any]]:
    """Return {file name: records} for FILES, each in an order drawn from the seed; prompt files hold a prompt once."""
    files: dict[str, list[Any]] = {name: [] for name in FILES}
    listed: set[str] = set()
    for (record, source, prompt), split in assigned:
        kind = record["kind"]
        if kind == "demonstration" and "demonstrations" in source.use and split in DEMONSTRATIONS:
            files[f"demonstrations.{DEMONSTRATIONS[split]}"].append(record)
        if kind == "comparison" and "comparisons" in source.use and split in COMPARISONS:
            files[f"comparisons.{COMPARISONS[split]}"].append(record)
        if "prompts" in source.use and split != "sft" and prompt not in listed:
            listed.add(prompt)
            bare = {key: value for key, value in record.items() if key not in ANSWERS}
            files[f"prompts.{split}"].append({**bare, "kind": "prompt"})
    return {name: sorted(found, key=lambda record: derive(seed, record["id"])) for name, found in files.items()}


def check_disjoint(assigned: Iterable[tuple[Entry, Split]]) -> None:
    """Assert that no dialogue and no user stands in two splits."""
    splits: dict[tuple[str, ...], Split] = {}
    for entry, split in assigned:
        names: list[tuple[str, ...]] = [("dialogue", _beginning(entry))]
        if entry.record["user"] is not None:
            names.append(("user", entry.source.name, entry.record["user"]))
        for name in names:
            assert splits.setdefault(name, split) == split, f"{name} stands in {splits[name]} and in {split}"


def check_not_empty(files: dict[str, list[Any]], params: CollectPrompts) -> None:
    """Raise ValueError naming split, sources and fix if a split with a share has nothing for later stages."""
    needed: dict[Split, list[list[str]]] = {
        "sft": [["demonstrations.train"]],
        "reward_model": [["prompts.reward_model", "comparisons.train"]],
        "judge": [["prompts.judge", "comparisons.judge"]],
        "ppo": [["prompts.ppo"]],
        "validation": [["prompts.validation"], ["demonstrations.validation"]],
        "test": [["prompts.test"]],
    }
    if files["comparisons.train"]:
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
    if shares_of(params)["reward_model"] > 0:
        _check_ranked(files, params)
    if shares_of(params)["judge"] > 0:
        _check_judge(files, params)


def _check_ranked(files: dict[str, list[Any]], params: CollectPrompts) -> None:
    """Raise ValueError where no comparisons are given and simulated labelers know no prompt whose answers they rank."""
    known = any("task" in record for name in ("prompts.reward_model", "demonstrations.train") for record in files[name])
    if not files["comparisons.train"] and not known:
        feeding = names_of([source for source in params.sources if "reward_model" in source.splits])
        raise ValueError(
            f"split 'reward_model': no comparisons, and {len(files['prompts.reward_model'])} prompts that simulated "
            f"labelers do not know, so there is nothing to rank; sources that list it in their splits: {feeding}. Give "
            "answers that people ranked (a source with comparisons in its use; docs/data.md), or a source of kind world"
        )


def _check_judge(files: dict[str, list[Any]], params: CollectPrompts) -> None:
    """Raise ValueError for too few given comparisons for a judge, where labelers know no prompt to rank more of."""
    given, ranked = files["comparisons.judge"], [prompt for prompt in files["prompts.judge"] if "task" in prompt]
    if not ranked and len(given) < FOR_A_JUDGE:
        feeding = names_of([source for source in params.sources if "judge" in source.splits])
        raise ValueError(
            f"split 'judge': expected at least {FOR_A_JUDGE} comparisons for the judge, got {len(given)}; sources that "
            f"list it in their splits: {feeding}; simulated labelers know none of its prompts. Raise "
            f"collect_prompts.shares.judge (now {params.shares.judge:g}), or add comparisons to those sources; counts "
            "by reason: the table printed above"
        )


def _drop_exact(entries: list[Entry], drops: Drops) -> list[Entry]:
    """Return the entries, each prompt with the same answers once: what several labelers said of them is kept."""
    kept: dict[tuple[str, ...], Entry] = {}
    for entry in entries:
        record = entry.record
        responses = record["responses"] if record["kind"] == "comparison" else []
        identity = (entry.prompt, *sorted(duplicates.folded(text) for text in responses))
        first = kept.setdefault(identity, entry)
        if first is entry:
            continue
        judged = _with_labels(first, entry)
        drops[entry.source.name]["exact_duplicate" if judged is None else "label_of_the_same_answers"] += 1
        kept[identity] = judged or first
    return [*kept.values()]


def _with_labels(first: Entry, other: Entry) -> Entry | None:
    """Return an entry with the labels that another one has of the same answers; None where it has none of its own.

    What a labeler says twice and otherwise the second time, as where labelers have no names, is a label by itself.
    """
    one, two = first.record, other.record
    if one["kind"] != "comparison" or two["kind"] != "comparison":
        return None
    places = {duplicates.folded(text): index for index, text in enumerate(two["responses"])}
    order = [places[duplicates.folded(text)] for text in one["responses"]]
    labels = [*one["labels"]]
    for label in two["labels"]:
        scores = label["scores"]
        moved: Label = {
            **label,
            "ranks": [label["ranks"][index] for index in order],
            "scores": None if scores is None else [scores[index] for index in order],
        }
        own = [known for known in labels if known["labeler"].partition(" #")[0] == label["labeler"]]
        if not any((known["ranks"], known["scores"]) == (moved["ranks"], moved["scores"]) for known in own):
            labels.append({**moved, "labeler": f"{label['labeler']} #{len(own) + 1}" if own else label["labeler"]})
    return first._replace(record={**one, "labels": labels}) if len(labels) > len(one["labels"]) else None


def _prompts(entries: list[Entry]) -> Iterable[str]:
    return dict.fromkeys(entry.prompt for entry in entries)


def _without(entries: list[Entry], prompts: set[str], reason: str, drops: Drops) -> list[Entry]:
    for entry in entries:
        if entry.prompt in prompts:
            drops[entry.source.name][reason] += 1
    return [entry for entry in entries if entry.prompt not in prompts]


def _at_most_a_user(entries: list[Entry], limit: int | None, drops: Drops) -> list[Entry]:
    prompts: dict[tuple[str, str], set[str]] = defaultdict(set)
    kept: list[Entry] = []
    for entry in entries:
        if limit is not None and entry.record["user"] is not None:
            own = prompts[entry.source.name, entry.record["user"]]
            if entry.prompt not in own and len(own) == limit:
                drops[entry.source.name]["over_user_limit"] += 1
                continue
            own.add(entry.prompt)
        kept.append(entry)
    return kept


def _at_most_a_split(
    assigned: list[tuple[Entry, Split]], params: CollectPrompts, seed: int, drops: Drops
) -> list[tuple[Entry, Split]]:
    chosen: dict[Split, set[str]] = {}
    for split in SPLITS:
        cap = getattr(params.max_prompts, split)
        prompts = {entry.prompt for entry, own in assigned if own == split}
        chosen[split] = prompts if cap is None else splitting.first_by_hash(prompts, cap, seed, "cap")
    for entry, split in assigned:
        if entry.prompt not in chosen[split]:
            drops[entry.source.name]["over_max_prompts"] += 1
    return [(entry, split) for entry, split in assigned if entry.prompt in chosen[split]]


def _split_of(entry: Entry, params: CollectPrompts, seed: int) -> Split | None:
    user = entry.record["user"]
    shares = shares_of(params)
    if not entry.source.splits:  # a source of documents alone, and a row that is none
        return None
    if user is not None:
        return splitting.choose(f"user/{entry.source.name}/{user}", entry.source.splits, shares, seed)
    allowed: list[Split] = [split for split in entry.source.splits if _serves(entry, split) and shares[split] > 0]
    return splitting.choose(f"prompt/{entry.prompt}", allowed, shares, seed) if allowed else None


def _serves(entry: Entry, split: Split) -> bool:
    use, kind = entry.source.use, entry.record["kind"]
    return (
        ("prompts" in use and split != "sft")
        or ("demonstrations" in use and kind == "demonstration" and split in DEMONSTRATIONS)
        or ("comparisons" in use and kind == "comparison" and split in COMPARISONS)
    )

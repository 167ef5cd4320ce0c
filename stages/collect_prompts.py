"""Sources -> cleaned prompts in disjoint splits, demonstrations, given comparisons, pretraining text, and a data card.

Ouyang et al. 2022, Appendix A: deduplicate, filter personal data, at most 200 prompts a user, split by user.

reads    sections seed, collect_prompts; the files, hub data sets or world that its sources name
writes   data/collect_prompts/documents.{train,validation}.jsonl, demonstrations.{train,validation}.jsonl,
         comparisons.{train,validation,judge}.jsonl, prompts.{reward_model,judge,ppo,validation,test}.jsonl,
         copy_probes.jsonl (what a base model must be able to copy), data_card.md
         metrics/collect_prompts.json, metrics/plots/collect_prompts/categories.csv

Records lie on disk, in data/.collect_prompts.spill while the stage runs; memory holds some numbers of each.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rlhf.collection import data_card, loosening
from rlhf.collection.sets.arranging import Writer, arrange, check_not_empty, documents_in_order
from rlhf.collection.sets.assigning import assign, check_disjoint, missed
from rlhf.collection.sets.dropping import Dropping, different_documents
from rlhf.collection.sources import copy_probes, fingerprint
from rlhf.collection.table import categories
from rlhf.collection.table.contents import Contents, contents
from rlhf.collection.table.facts import Rows
from rlhf.collection.table.gathering import Gathered, Progress, gather
from rlhf.collection.table.spill import Spill
from rlhf.params.base import listed, load, read_yaml
from rlhf.params.collect_prompts import CollectPrompts, CollectPromptsInputs, FeedbackSource, Split, inputs
from rlhf.params.labelers.who_ranks import rank_any_prompt
from rlhf.records import records
from rlhf.runs import launch, tracking
from rlhf.runtime import files, outputs

STAGE = "collect_prompts"
SPILL = f".{STAGE}.spill"
JOINED, ASSIGNED, DONE = 90, 92, 100  # percent of the stage, about; reading them comes before


class Collected(NamedTuple):
    """What was read, {file name: rows of it to write}, and what these hold."""

    gathered: Gathered
    files: dict[str, Rows]
    documents: dict[str, Rows]
    contents: Contents
    categories: dict[str, int]  # rows whose category was changed, by why
    kept_categories: set[str]
    missed: dict[str, list[Split]]  # by source: splits that it serves and has nothing for
    cut: int  # prompts whose near duplicates were sought among a part of the others


def main(root: Path = Path(".")) -> None:
    """Run the stage in `root`, the folder of params.yaml."""
    params = load(root, CollectPromptsInputs)
    settings = params.collect_prompts
    with tracking.stage_run(root, STAGE) as run, Spill(root / "data" / SPILL) as spill:
        run.log_inputs(inputs(settings, root), context=STAGE)
        collected = collect(params, root, spill, run.progress)
        for line in lines(collected, settings):
            run.say(line)
        any_ranked = rank_any_prompt(read_yaml(root / "params.yaml"))
        check_complete(collected, settings, any_ranked)
        write(collected, settings, root, spill)
        run.progress(DONE, DONE, _counts(collected.gathered))
        test_set = hashlib.sha256((root / "data" / STAGE / "prompts.test.jsonl").read_bytes()).hexdigest()
        fingerprints = fingerprint(settings.sources) | {"test_set": test_set}
        read, drops = _by_source(collected.gathered, settings)
        numbers = data_card.numbers(collected.contents, read, drops) | {"sha256": fingerprints}
        numbers |= data_card.masks(collected.gathered.tally.masked)
        numbers |= {"categories": collected.categories} if any(collected.categories.values()) else {}
        outputs.write_metrics(root, STAGE, numbers)
        outputs.write_curve(root, f"{STAGE}/categories", data_card.categories(collected.contents))
        run.log_metrics(numbers)
        run.log_artifact(root / "data" / STAGE / "data_card.md")


def collect(params: CollectPromptsInputs, root: Path, spill: Spill, progress: Progress) -> Collected:
    """Read, clean, deduplicate and split all sources. Raises ValueError for broken data, naming its place."""
    settings, seed = params.collect_prompts, params.seed
    gathered = gather(settings, seed, root, spill, progress)
    facts, tally = gathered.facts, gathered.tally
    dropping = Dropping(facts, spill, tally)
    dropping.drop_all(settings.cleaning)
    progress(JOINED, DONE, _counts(gathered))
    kept, changed = named_categories(gathered, dropping.rows)
    assigned = assign(facts, dropping.rows, gathered.sources, settings, tally)
    check_disjoint(facts, assigned)
    rows = different_documents(gathered.documents, tally)
    train, validation = documents_in_order(rows.size, settings.documents.validation_share, seed)
    documents = {"documents.train": rows[train], "documents.validation": rows[validation]}
    found = arrange(facts, assigned, gathered.sources)
    progress(ASSIGNED, DONE, _counts(gathered))
    held = contents(gathered, found, documents, kept)
    none_for = missed(assigned, facts, gathered.sources, settings)
    return Collected(gathered, found, documents, held, changed, kept, none_for, dropping.cut)


def named_categories(gathered: Gathered, rows: Rows) -> tuple[set[str], dict[str, int]]:
    """Return the categories that stay, the most frequent ones, and how many rows have none, or a rarer one."""
    facts = gathered.facts
    counts = np.bincount(facts["category"][rows], minlength=len(gathered.categories)).tolist()
    by_name = {name: count for name, count in zip(gathered.categories, counts, strict=True) if count}
    kept = categories.kept(by_name)
    rare = sum(count for name, count in by_name.items() if name not in kept)
    return kept, {"no_name": int(facts["no_name"][rows].sum()), "rare": rare}


def lines(collected: Collected, params: CollectPrompts) -> Iterator[str]:
    """Yield what the screen says of the data."""
    gathered = collected.gathered
    read, drops = _by_source(gathered, params)
    for reading in gathered.readings.values():
        yield from reading.lines(read[reading.source.name])
    yield from data_card.screen_lines(read, drops)
    yield from loosening.explanations(read, drops, gathered.tally.causes, params)
    yield from data_card.mask_lines(gathered.tally.masked)
    yield from categories.lines(collected.categories)
    yield from data_card.document_lines(collected.contents)
    for name, splits in collected.missed.items():
        yield (
            f"WARNING: source '{name}': none of its records entered {listed(splits)}: its records are few, or "
            "of few users, and all that a user said goes to one split"
        )
    if collected.cut:
        yield f"WARNING: {collected.cut} prompts share their rarest words with very many; near duplicates may stay"


def check_complete(collected: Collected, params: CollectPrompts, any_ranked: tuple[bool, bool]) -> None:
    """Raise ValueError for a source without rows, and for a split or document file that a later stage would miss.

    What others than simulated labelers rank only loosens this check, and changes no byte: `any_ranked` is no dep.
    """
    may_be_empty = {source.name for source in params.sources if isinstance(source, FeedbackSource)}
    for name, count in _by_source(collected.gathered, params)[0].items():
        if count == 0 and name not in may_be_empty:
            raise ValueError(f"source '{name}': holds no rows; mend its paths or numbers, or remove it")
    using = [source.name for source in params.sources if "documents" in source.use]
    for name, rows in collected.documents.items() if using else ():
        if not rows.size:
            raise ValueError(f"{name} is empty; sources with use documents: {', '.join(using)}; add documents to them")
    check_not_empty(collected.contents, params, any_ranked)


def write(collected: Collected, params: CollectPrompts, root: Path, spill: Spill) -> None:
    """Write all files and the data card; data/collect_prompts holds the old files or all the new ones."""
    gathered = collected.gathered
    writer = Writer(gathered, spill, collected.kept_categories)
    with files.new_folder(root / "data" / STAGE) as folder:
        for name, rows in collected.documents.items():
            writer.write_documents(folder / f"{name}.jsonl", rows)
        for name, rows in collected.files.items():
            writer.write(folder / f"{name}.jsonl", name, rows)
        read_as = {name: one.form for name, one in gathered.readings.items() if one.form}
        read, drops = _by_source(gathered, params)
        tally = gathered.tally
        card = data_card.render(collected.contents, read, drops, params.sources, read_as, tally.samples, tally.masked)
        files.write_text(folder / "data_card.md", card)
        probes = [probe for source in params.sources for probe in copy_probes(source)]
        records.write(folder / "copy_probes.jsonl", probes)


def _by_source(gathered: Gathered, params: CollectPrompts) -> tuple[dict[str, int], dict[str, Counter[str]]]:
    """Return the rows read, and those dropped by reason, of each source in the order of params.yaml."""
    names = [source.name for source in params.sources]
    return {name: gathered.read[name] for name in names}, {name: gathered.tally.drops[name] for name in names}


def _counts(gathered: Gathered) -> Mapping[str, float]:
    return {
        "rows": sum(gathered.read.values()),
        "prompts": int(gathered.facts.size),
        "documents": int(gathered.documents.size),
    }


if __name__ == "__main__":
    launch.run_alone(STAGE, main)

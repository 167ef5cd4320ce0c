"""Sources -> cleaned prompts in disjoint splits, demonstrations, given comparisons, pretraining text, and a data card.

Ouyang et al. 2022, Appendix A: deduplicate, filter personal data, at most 200 prompts a user, split by user.

reads    sections seed, collect_prompts; the files, hub data sets or world that its sources name
writes   data/collect_prompts/documents.{train,validation}.jsonl, demonstrations.{train,validation}.jsonl,
         comparisons.{train,validation,judge}.jsonl, prompts.{reward_model,judge,ppo,validation,test}.jsonl,
         copy_probes.jsonl (what a base model must be able to copy), data_card.md
         metrics/collect_prompts.json, metrics/plots/collect_prompts/categories.csv
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rlhf.collection import data_card, loosening
from rlhf.collection.cleaning import CleanDocument, CleanRecord, clean_document, clean_record
from rlhf.collection.documents import SeenDocuments, pieces, split_off_validation
from rlhf.collection.dropped import Dropped
from rlhf.collection.duplicates import prompt_text
from rlhf.collection.formats.known import Reading
from rlhf.collection.prompt_sets import (
    Drops,
    Entry,
    arrange,
    assign,
    check_disjoint,
    check_not_empty,
    drop_duplicates,
    with_named_categories,
)
from rlhf.collection.rankings import within
from rlhf.collection.sources import copy_probes, fingerprint, rows
from rlhf.collection.splitting import held_out_first
from rlhf.params.base import load
from rlhf.params.collect_prompts import CollectPrompts, CollectPromptsInputs, Source, inputs
from rlhf.records import records
from rlhf.records.types import DialogueRecord, Document
from rlhf.runs import launch, tracking
from rlhf.runtime import files, outputs

STAGE = "collect_prompts"
Progress = Callable[[int, int, Mapping[str, float]], None]  # (steps done, of how many, counts)


class Collected(NamedTuple):
    """{file name: records} to write, rows read by source, rows dropped by source and reason, of comparisons that were
    dropped for too few answers what left answers out, rows by source and kind of personal data that was masked in them,
    and how each source was read."""

    files: dict[str, list[Any]]
    read: dict[str, int]
    drops: Drops
    causes: Drops
    masked: Drops
    categories: dict[str, int]  # rows whose category was changed, by why
    readings: dict[str, Reading]


def main(root: Path = Path(".")) -> None:
    """Run the stage in `root`, the folder of params.yaml."""
    params = load(root, CollectPromptsInputs)
    with tracking.stage_run(root, STAGE) as run:
        run.log_inputs(inputs(params.collect_prompts, root), context=STAGE)
        collected = collect(params, root, run.progress)
        for line in (
            line for one in collected.readings.values() for line in one.lines(collected.read[one.source.name])
        ):
            run.say(line)
        for line in data_card.screen_lines(collected.read, collected.drops):
            run.say(line)
        for line in loosening.explanations(collected.read, collected.drops, collected.causes, params.collect_prompts):
            run.say(line)
        for line in data_card.mask_lines(collected.masked):
            run.say(line)
        for line in data_card.category_lines(collected.categories):
            run.say(line)
        check_complete(collected, params.collect_prompts)
        write(collected, params.collect_prompts, root)
        settings = params.collect_prompts
        test_set = (root / "data" / STAGE / "prompts.test.jsonl").read_bytes()
        fingerprints = fingerprint(settings.sources) | {"test_set": hashlib.sha256(test_set).hexdigest()}
        numbers = data_card.numbers(collected.files, collected.read, collected.drops) | {"sha256": fingerprints}
        numbers |= data_card.masks(collected.masked)
        numbers |= {"categories": collected.categories} if any(collected.categories.values()) else {}
        outputs.write_metrics(root, STAGE, numbers)
        outputs.write_curve(root, f"{STAGE}/categories", data_card.categories(collected.files))
        run.log_metrics(numbers)
        run.log_artifact(root / "data" / STAGE / "data_card.md")


def collect(params: CollectPromptsInputs, root: Path, progress: Progress) -> Collected:
    """Read, clean, deduplicate and split all sources. Raises ValueError for broken data, naming its place."""
    settings, seed = params.collect_prompts, params.seed
    sources = held_out_first(settings.sources)
    documents: list[Document] = []
    entries: list[Entry] = []
    seen = SeenDocuments()
    read = {source.name: 0 for source in settings.sources}
    drops, causes, masked = ({source.name: Counter[str]() for source in settings.sources} for _ in range(3))
    readings: dict[str, Reading] = {}
    for number, source in enumerate(sources):
        progress(number, len(sources) + 1, {"documents": len(documents), "prompts": len(entries)})
        reading = readings[source.name] = Reading(rows(source, root, settings.documents.separator), source)
        for row in reading.rows:
            try:
                record, kinds = clean(reading.record(row, read[source.name]), source, settings, seed, seen)
            except Dropped as dropped:
                drops[source.name][str(dropped)] += 1
                causes[source.name].update(dropped.causes)
            else:
                masked[source.name].update(kinds)
                if record["kind"] == "document":
                    documents += pieces(record, settings.documents)
                else:
                    entries.append(Entry(record, source, prompt_text(record)))
            read[source.name] += 1
        reading.check(read[source.name])
    progress(len(sources), len(sources) + 1, {"documents": len(documents), "prompts": len(entries)})
    entries, categories = with_named_categories(drop_duplicates(entries, settings.cleaning, drops))
    assigned = assign(entries, settings, seed, drops)
    check_disjoint(assigned)
    train, validation = split_off_validation(documents, settings.documents.validation_share, seed)
    found = {"documents.train": train, "documents.validation": validation, **arrange(assigned, seed)}
    progress(len(sources) + 1, len(sources) + 1, {"documents": len(documents), "prompts": len(assigned)})
    return Collected(found, read, drops, causes, masked, categories, readings)


def clean(
    record: Document | DialogueRecord, source: Source, params: CollectPrompts, seed: int, seen: SeenDocuments
) -> CleanDocument | CleanRecord:
    """Return a clean record, and what was masked in it. Raises Dropped with the reason."""
    if record["kind"] == "document":
        if "documents" not in source.use:
            raise Dropped("document_not_used")
        document = clean_document(record, params.cleaning, params.documents)
        if seen.repeats(document.document["text"]):
            raise Dropped("exact_duplicate")
        return document
    found = clean_record(record, params.cleaning)
    if found.record["kind"] == "comparison":
        kept = within(found.record, params.comparisons, params.cleaning.response_characters, seed)
        found = found._replace(record=kept)
    return found


def check_complete(collected: Collected, params: CollectPrompts) -> None:
    """Raise ValueError for a source without rows, and for a split or document file that a later stage would miss."""
    for name, count in collected.read.items():
        if count == 0:
            raise ValueError(f"source '{name}': holds no rows; mend its paths or numbers, or remove it")
    using = [source.name for source in params.sources if "documents" in source.use]
    for name in ("documents.train", "documents.validation") if using else ():
        if not collected.files[name]:
            raise ValueError(f"{name} is empty; sources with use documents: {', '.join(using)}; add documents to them")
    check_not_empty(collected.files, params)


def write(collected: Collected, params: CollectPrompts, root: Path) -> None:
    """Write all files and the data card; data/collect_prompts holds the old files or all the new ones."""
    with files.new_folder(root / "data" / STAGE) as folder:
        for name, found in collected.files.items():
            records.write(folder / f"{name}.jsonl", found)
        read_as = {name: one.form for name, one in collected.readings.items() if one.form}
        card = data_card.render(
            collected.files, collected.read, collected.drops, params.sources, read_as, collected.masked
        )
        files.write_text(folder / "data_card.md", card)
        probes = [probe for source in params.sources for probe in copy_probes(source)]
        records.write(folder / "copy_probes.jsonl", probes)


if __name__ == "__main__":
    launch.run_alone(STAGE, main)

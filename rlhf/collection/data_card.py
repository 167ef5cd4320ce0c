"""What went into the data: counts by source and reason, categories beside InstructGPT's Table 1, lengths, users."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rlhf.collection.batches.work import Sample
from rlhf.collection.dropped import Drops
from rlhf.collection.formats.form import Form
from rlhf.collection.table.contents import QUANTILES, Contents
from rlhf.params.collect_prompts import (
    FeedbackSource,
    FileSource,
    HubSource,
    InstructionsSource,
    Source,
    TableSource,
    WorldSource,
)
from rlhf.runtime.markdown import markdown_table

PAPER_CATEGORIES = {  # % of the API prompt distribution, Ouyang et al. 2022, Table 1
    "generation": 45.6,
    "open qa": 12.4,
    "brainstorming": 11.2,
    "chat": 8.4,
    "rewrite": 6.6,
    "summarization": 4.2,
    "classification": 3.5,
    "other": 3.5,
    "closed qa": 2.6,
    "extract": 1.9,
}
OTHER_CATEGORIES = 30  # rows of the card's table beyond the paper's ten
FEW_DOCUMENTS = 20  # for validation: a loss on fewer says little


def categories(contents: Contents) -> list[dict[str, Any]]:
    """Return rows {category, share, paper_share} (percent) over all different prompts: the paper's ten, then others."""
    counts = Counter[str]()
    for name, count in contents.categories.items():
        counts[name.casefold().replace("_", " ")] += count
    total = max(sum(counts.values()), 1)
    others = sorted((name for name in counts if name not in PAPER_CATEGORIES), key=lambda name: (-counts[name], name))
    return [
        {"category": name, "share": 100 * counts[name] / total, "paper_share": PAPER_CATEGORIES.get(name, 0.0)}
        for name in [*PAPER_CATEGORIES, *others]
    ]


def numbers(contents: Contents, read: Mapping[str, int], drops: Drops) -> dict[str, Any]:
    """Return the counts as nested mappings for metrics/collect_prompts.json."""
    none: Counter[str] = Counter()
    dropped = sum(drops.values(), none)
    return {
        "read": sum(read.values()),
        "kept": sum(read.values()) - dropped.total(),
        "dropped": dict(dropped),
        "sources": {name: {"read": read[name], "kept": read[name] - drops[name].total()} for name in read},
        "records": contents.records,
        "prompts": contents.prompts,
        "languages": contents.languages,
        "users": {name: count for name, count in contents.users.items() if name.startswith("prompts.")},
        "characters": contents.characters,
    }


def render(
    contents: Contents,
    read: Mapping[str, int],
    drops: Drops,
    sources: Sequence[Source],
    read_as: Mapping[str, Form] | None = None,
    samples: Mapping[str, Sequence[Sample]] | None = None,
    masked: Drops | None = None,
) -> str:
    """Return the data card as Markdown."""
    found = numbers(contents, read, drops)
    prompts = max(found["prompts"], 1)
    rows = [(name, read[name], read[name] - drops[name].total(), _reasons(drops[name])) for name in read]
    shares = categories(contents)
    listed = shares[: len(PAPER_CATEGORIES) + OTHER_CATEGORIES]
    more = [row for row in shares if row not in listed]
    rest = [(f"{len(more)} more", f"{sum(row['share'] for row in more):.1f}", "")] if more else []
    sizes = [(f"{name}.jsonl", count, contents.users.get(name) or "") for name, count in contents.records.items()]
    parts = [
        "# Data card",
        f"{found['read']:,} rows read, {found['kept']:,} kept. A row that is dropped counts under its first reason.",
        "## Sources",
        markdown_table(("source", "from", "use", "splits", "licence"), [_source_row(source) for source in sources]),
        *_formats(read_as or {}),
        "## Kept and dropped",
        markdown_table(("source", "read", "kept", "dropped by reason"), rows),
        *_masks(masked or {}),
        "## Files",
        markdown_table(("file", "records", "users"), sizes),
        "## Use cases (% of prompts) beside InstructGPT's Table 1",
        markdown_table(("category", "here", "paper"), [_category_row(row) for row in listed] + rest),
        "## Languages",
        markdown_table(
            ("language", "prompts", "%"),
            [(name, n, f"{100 * n / prompts:.1f}") for name, n in sorted(found["languages"].items())],
        ),
        "## Lengths in characters",
        markdown_table(("text", *QUANTILES), [(name, *row.values()) for name, row in found["characters"].items()]),
        *_samples(samples or {}),
    ]
    return "\n\n".join(parts) + "\n"


def _samples(samples: Mapping[str, Sequence[Sample]]) -> list[str]:
    """Return the part that shows what each rule dropped."""
    rows = [(reason, one.row, one.text, one.near) for reason in sorted(samples) for one in samples[reason]]
    said = (
        "Up to three rows a reason, chosen by hash; `<source>-<n>` is row n of a source, from 0. Texts are cut, and "
        "not shown where they hold personal data."
    )
    table = markdown_table(("reason", "row", "begins", "near to"), rows)
    return ["## Samples of what was dropped", said, table] if rows else []


def _formats(read_as: Mapping[str, Form]) -> list[str]:
    """Return the part on formats, where a source is read as one of those that are known by their columns."""
    rows = [(name, form.name, form.says) for name, form in read_as.items()]
    return ["## Read as", markdown_table(("source", "format", "what decides"), rows)] if rows else []


def _masks(masked: Drops) -> list[str]:
    """Return the part on masks, where there are any."""
    rows = [(name, _reasons(kinds)) for name, kinds in masked.items() if kinds]
    table = markdown_table(("source", "rows with such masks"), rows)
    return ["## Masked personal data", table] if rows else []


def masks(masked: Drops) -> dict[str, dict[str, int]]:
    """Return {masked: {kind: rows in which it was masked}} for metrics; nothing where nothing was."""
    none: Counter[str] = Counter()
    kinds = sum(masked.values(), none)
    return {"masked": dict(kinds)} if kinds else {}


def mask_lines(masked: Drops) -> Iterator[str]:
    """Yield a line for each source in whose rows personal data were masked."""
    for name, kinds in masked.items():
        if kinds:
            yield f"{name}: rows with masked personal data: {_reasons(kinds)}"


def screen_lines(read: Mapping[str, int], drops: Drops) -> Iterator[str]:
    """Yield one line a source for the screen: read, kept, and what was dropped by reason."""
    for name, count in read.items():
        dropped = f"; dropped: {_reasons(drops[name])}" if drops[name] else ""
        yield f"{name}: read {count}, kept {count - drops[name].total()}{dropped}"


def document_lines(contents: Contents) -> Iterator[str]:
    """Yield a warning where a loss on held-out documents would say little."""
    held_out = contents.records.get("documents.validation", 0)
    if 0 < held_out < FEW_DOCUMENTS:
        yield (
            f"WARNING: {held_out} documents are held out for validation, fewer than {FEW_DOCUMENTS}: the loss on them "
            "is uncertain; add documents, or raise collect_prompts.documents.validation_share"
        )


def _category_row(row: Mapping[str, Any]) -> tuple[str, str, str]:
    paper = f"{row['paper_share']:.1f}" if row["category"] in PAPER_CATEGORIES else ""
    return row["category"], f"{row['share']:.1f}", paper


def _source_row(source: Source) -> tuple[str, ...]:
    licence = source.licence or "" if isinstance(source, TableSource) else ""
    return source.name, _place(source), ", ".join(source.use), ", ".join(source.splits), licence


def _place(source: Source) -> str:
    if isinstance(source, WorldSource):
        return f"the embedded world, seed {source.seed}, {source.facts} facts"
    if isinstance(source, InstructionsSource):
        over = f"over {', '.join(source.paths)}" if source.paths else "on topics of their own"
        return f"verifiable instructions {over}, seed {source.seed}, {source.half} half"
    if isinstance(source, HubSource):
        return f"hub: {source.id} ({source.split})"
    if isinstance(source, FeedbackSource):
        return f"what people said in the chat: {', '.join(source.paths)}"
    assert isinstance(source, FileSource)
    return ", ".join(source.paths)


def _reasons(counts: Counter[str]) -> str:
    return ", ".join(
        f"{reason} {count}" for reason, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    )

"""What went into the data: counts by source and reason, categories beside InstructGPT's Table 1, lengths, users."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rlhf.collection.formats.form import Form
from rlhf.collection.prompt_sets import LONGEST_CATEGORY, MOST_CATEGORIES, Drops
from rlhf.params.collect_prompts import FileSource, HubSource, Source, TableSource, WorldSource
from rlhf.runtime.markdown import markdown_table

Files = Mapping[str, Sequence[Any]]  # by file name: records of the kind that it holds

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
QUANTILES = {"p5": 0.05, "p50": 0.5, "p95": 0.95, "max": 1.0}
OTHER_CATEGORIES = 30  # rows of the card's table beyond the paper's ten


def categories(files: Files) -> list[dict[str, Any]]:
    """Return rows {category, share, paper_share} (percent) over all different prompts: the paper's ten, then others."""
    counts = Counter(_category(record) for record in _prompt_records(files))
    total = max(sum(counts.values()), 1)
    others = sorted((name for name in counts if name not in PAPER_CATEGORIES), key=lambda name: (-counts[name], name))
    return [
        {"category": name, "share": 100 * counts[name] / total, "paper_share": PAPER_CATEGORIES.get(name, 0.0)}
        for name in [*PAPER_CATEGORIES, *others]
    ]


def numbers(files: Files, read: Mapping[str, int], drops: Drops) -> dict[str, Any]:
    """Return the counts as nested mappings for metrics/collect_prompts.json."""
    records = _prompt_records(files)
    none: Counter[str] = Counter()
    dropped = sum(drops.values(), none)
    return {
        "read": sum(read.values()),
        "kept": sum(read.values()) - dropped.total(),
        "dropped": dict(dropped),
        "sources": {name: {"read": read[name], "kept": read[name] - drops[name].total()} for name in read},
        "records": {name: len(found) for name, found in files.items()},
        "prompts": len(records),
        "languages": dict(Counter(record["language"] for record in records)),
        "users": {name: len(_users(found)) for name, found in files.items() if name.startswith("prompts.")},
        "characters": {name: _quantiles(lengths) for name, lengths in _lengths(files).items() if lengths},
    }


def render(
    files: Files,
    read: Mapping[str, int],
    drops: Drops,
    sources: Sequence[Source],
    read_as: Mapping[str, Form] | None = None,
    masked: Drops | None = None,
) -> str:
    """Return the data card as Markdown."""
    found = numbers(files, read, drops)
    prompts = max(found["prompts"], 1)
    rows = [(name, read[name], read[name] - drops[name].total(), _reasons(drops[name])) for name in read]
    shares = categories(files)
    listed = shares[: len(PAPER_CATEGORIES) + OTHER_CATEGORIES]
    more = [row for row in shares if row not in listed]
    rest = [(f"{len(more)} more", f"{sum(row['share'] for row in more):.1f}", "")] if more else []
    sizes = [(f"{name}.jsonl", len(found), len(_users(found)) or "") for name, found in files.items()]
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
    ]
    return "\n\n".join(parts) + "\n"


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


def category_lines(changed: Mapping[str, int]) -> Iterator[str]:
    """Yield what the screen says of rows whose category is not what their source says."""
    if changed["no_name"]:
        yield (
            f"categories: {changed['no_name']} rows have one that is no name (over {LONGEST_CATEGORY} characters, "
            "with personal data, with < or >, or with one of = + - @ first): unknown"
        )
    if changed["rare"]:
        rare = f"that is not among the {MOST_CATEGORIES} most frequent"
        yield f"categories: {changed['rare']} rows have one {rare}: other"


def _prompt_records(files: Files) -> list[Any]:
    """Return one record for each prompt id in any file but the documents."""
    found = {record["id"]: record for name, group in files.items() if "documents" not in name for record in group}
    return list(found.values())


def _category(record: Any) -> str:
    return str(record["category"]).casefold().replace("_", " ")


def _category_row(row: Mapping[str, Any]) -> tuple[str, str, str]:
    paper = f"{row['paper_share']:.1f}" if row["category"] in PAPER_CATEGORIES else ""
    return row["category"], f"{row['share']:.1f}", paper


def _users(records: Iterable[Any]) -> set[tuple[str, str]]:
    return {(record["source"], record["user"]) for record in records if record.get("user") is not None}


def _lengths(files: Files) -> dict[str, list[int]]:
    records = _prompt_records(files)
    return {
        "prompt": [sum(len(turn["content"]) for turn in record["messages"]) for record in records],
        "demonstration": [len(r["response"]) for n in files if n.startswith("demonstrations") for r in files[n]],
        "comparison_response": [
            len(text) for n in files if n.startswith("comparisons") for r in files[n] for text in r["responses"]
        ],
        "document": [len(record["text"]) for name in files if name.startswith("documents") for record in files[name]],
    }


def _quantiles(lengths: list[int]) -> dict[str, int]:
    ordered = sorted(lengths)
    return {name: ordered[round(share * (len(ordered) - 1))] for name, share in QUANTILES.items()}


def _source_row(source: Source) -> tuple[str, ...]:
    licence = source.licence or "" if isinstance(source, TableSource) else ""
    return source.name, _place(source), ", ".join(source.use), ", ".join(source.splits), licence


def _place(source: Source) -> str:
    if isinstance(source, WorldSource):
        return f"the embedded world, seed {source.seed}, {source.facts} facts"
    if isinstance(source, HubSource):
        return f"hub: {source.id} ({source.split})"
    assert isinstance(source, FileSource)
    return ", ".join(source.paths)


def _reasons(counts: Counter[str]) -> str:
    return ", ".join(
        f"{reason} {count}" for reason, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    )

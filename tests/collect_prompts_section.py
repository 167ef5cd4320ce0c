"""A section collect_prompts for tests: file sources with short names, every cleaning step on."""

from pathlib import Path
from typing import Any, get_args

from rlhf.params.base import parse
from rlhf.params.collect_prompts import SPLITS, CollectPrompts, CollectPromptsInputs, FileSource, PersonalData

ALL = ["sft", "reward_model", "judge", "ppo", "validation", "test"]


def source(name: str, path: Path | str, **changes: Any) -> dict[str, Any]:
    """Return a file source that may enter all splits, with demonstrations and prompts taken from it."""
    usual = {"kind": "file", "paths": [str(path)], "format": "auto", "use": ["demonstrations", "prompts"]}
    return {"name": name, **usual, "splits": ALL, **changes}


def typed_source(**changes: Any) -> FileSource:
    """Return a typed file source, for the functions that take one."""
    return parse(FileSource, source("given", "unread.jsonl") | changes, "collect_prompts.sources.0")


def section(sources: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    """Return the section as params.yaml holds it. `changes` of cleaning, shares and so on are merged key by key."""
    content: dict[str, Any] = {
        "sources": sources,
        "cleaning": {
            "normalise": True,
            "languages": ["en", "zh"],
            "prompt_characters": {"min": 1, "max": 2000},
            "prompt_words": {"min": 1, "max": 400},
            "response_characters": {"min": 1, "max": 2000},
            "personal_data": [*get_args(PersonalData)],
            "on_personal_data": "drop",
            "placeholders": True,
            "exact_duplicates": True,
            "common_prefix_characters": 120,
            "near_duplicates": {"threshold": 0.8, "shingle_words": 3},
            "max_prompts_per_user": 200,
        },
        "documents": {
            "characters": {"min": 1, "max": 1000},
            "personal_data": [],
            "on_personal_data": "drop",
            "separator": "<|endoftext|>",
            "validation_share": 0.1,
        },
        "comparisons": {"min_responses": 2, "max_responses": 9},
        "shares": {"sft": 0.3, "reward_model": 0.2, "judge": 0.1, "ppo": 0.2, "validation": 0.1, "test": 0.1},
        "max_prompts": dict.fromkeys(SPLITS),
    }
    return content | {name: {**content[name], **change} for name, change in changes.items()}


def typed(content: dict[str, Any], seed: int = 1) -> CollectPromptsInputs:
    """Return the section as the stage reads it."""
    return CollectPromptsInputs(seed=seed, collect_prompts=parse(CollectPrompts, content, "collect_prompts"))

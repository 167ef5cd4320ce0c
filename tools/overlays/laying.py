"""Overlays: what params change of others. Presets, ablations, the laboratory's cells and own projects are written so.

Keys stand nested as in params.yaml, or dotted: `ppo: {kl_coef: 0.02}` and `ppo.kl_coef: 0.02` are the same.
Mappings are merged key by key; everything else, lists too, is replaced.

One exception: the keys of a mapping in WHOLE depend on one of them. An overlay that gives this one another value than
it has beneath (pretrain.source: local over scratch) replaces the mapping whole, and names all the keys it needs.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from rlhf.params.base import UNIONS, ParamsError, is_mapping

WHOLE = {section: union.key for section, union in UNIONS.items() if union.depth == 1} | dict.fromkeys(
    ("collect_comparisons.labelers", "collect_comparisons.judge_labelers", "moderation.classifier"), "kind"
)


def laid_over(base: Mapping[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with what the overlay changes. Raises ParamsError for a key that it names twice."""
    return _merged(base, nested(overlay), "")


def nested(overlay: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return an overlay with its dotted keys as mappings within mappings; `prefix` is its own place, with a dot.

    Raises ParamsError for a key that is named twice.
    """
    made: dict[str, Any] = {}
    for key, value in overlay.items():
        inner = nested(value, f"{prefix}{key}.") if is_mapping(value) else value
        for part in reversed(str(key).split(".")):
            inner = {part: inner}
        made = _joined(made, inner, prefix)
    return made


def replaces(place: str, below: Mapping[str, Any], above: Mapping[str, Any]) -> bool:
    """Return whether a mapping of an overlay, at this dotted place, replaces the one beneath instead of merging."""
    key = WHOLE.get(place)
    return key is not None and key in above and above[key] != below.get(key)


def replaced(base: Mapping[str, Any], overlay: Mapping[str, Any]) -> Iterator[str]:
    """Yield the places of mappings that an overlay replaces whole."""
    above = nested(overlay)
    for place in WHOLE:
        over, under = (_at(place, content) for content in (above, base))
        if is_mapping(over) and is_mapping(under) and replaces(place, under, over):
            yield place


def _at(place: str, content: Any) -> Any:
    """Return what stands at a dotted place, None where there is nothing."""
    for key in place.split("."):
        content = content.get(key) if is_mapping(content) else None
    return content


def _merged(base: Mapping[str, Any], overlay: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    merged = dict(base)
    for key, value in overlay.items():
        place, below = f"{prefix}{key}", base.get(key)
        if is_mapping(value) and is_mapping(below) and not replaces(place, below, value):
            merged[key] = _merged(below, value, f"{place}.")
        else:
            merged[key] = value
    return merged


def _joined(first: Mapping[str, Any], second: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Return the keys of both; mappings are joined, and anything else stands in one of them only."""
    joined = dict(first)
    for key, value in second.items():
        if key not in joined:
            joined[key] = value
        elif is_mapping(joined[key]) and is_mapping(value):
            joined[key] = _joined(joined[key], value, f"{prefix}{key}.")
        else:
            raise ParamsError(f"params.yaml: {prefix}{key}: named twice, nested and dotted; keep one")
    return joined

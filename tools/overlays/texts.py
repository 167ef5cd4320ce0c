"""Lays an overlay's text over that of a params file, so that the comments of both stay.

The values are those of `laying.laid_over`; here is decided which comments stand beside them. A key that the overlay
names has the overlay's comment, above it and behind it, and where the overlay has none the one that it had before.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.nodes import CollectionNode, MappingNode, Node

from rlhf.params.base import ParamsError
from tools.overlays import laying

PRESET = "preset"  # the key by which an overlay names what lies beneath; none of params.yaml's
INDENT = "  "


class Entry(NamedTuple):
    """A key's surroundings: what stands above it, its value, what stands behind it."""

    lead: tuple[str, ...]  # comment lines and empty lines, without their indentation
    value: "str | dict[str, Entry]"  # as written, from the next line on if it begins with a line end; or keys within
    flow: bool = False  # keys within stand on one line: {a: 1, b: 2}
    comment: str = ""  # with its #
    column: int = 0  # where the comment begins


def laid_over(base: str, overlay: str, title: str) -> str:
    """Return the text of `base` with what `overlay` changes, under `title` and the comment at the overlay's head.

    Raises ParamsError for a key that is named twice, and for anchors and aliases, whose text cannot be moved. Comments
    within braces are not kept.
    """
    below, above = entries(base), entries(overlay)
    head = [title, *(line for line in _take_head(above) if line), ""]
    _take_head(below)
    above.pop(PRESET, None)
    text = "\n".join([*head, *_lines(_merged(below, _nested(above), ""), "")]) + "\n"
    changes = {key: value for key, value in _read(overlay).items() if key != PRESET}
    if _read(text) != laying.laid_over(_read(base), changes):
        raise ParamsError("params.yaml: cannot be laid over with its comments; write it as params.yaml is written")
    return text


def entries(text: str) -> dict[str, Entry]:
    """Return the keys of a YAML mapping, in their order. Raises ParamsError for anchors and aliases."""
    node = YAML(typ="safe", pure=True).compose(text)
    return _flow(node) if node.flow_style else _entries(node, text.split("\n"), 0)[0]


def _read(text: str) -> dict[str, Any]:
    return YAML(typ="safe", pure=True).load(text)


def _entries(node: MappingNode, lines: list[str], row: int) -> tuple[dict[str, Entry], int]:
    """Return the keys of a block mapping and the row after it; `row` is the first that is not yet read."""
    found = {}
    for key, value in node.value:
        if value.anchor:
            raise ParamsError(f"params.yaml: {key.value}: write the value out; anchors and aliases cannot be laid over")
        lead = tuple(line.strip() for line in lines[row : key.start_mark.line])
        found[key.value], row = _entry(key, value, lines)
        found[key.value] = found[key.value]._replace(lead=lead)
    return found, row


def _entry(key: Node, value: Node, lines: list[str]) -> tuple[Entry, int]:
    """Return a key of a block mapping, still without what stands above it, and the row after it."""
    first, indent = key.start_mark.line, key.start_mark.column
    if isinstance(value, CollectionNode) and not value.flow_style:
        comment = _comment(lines[first], key.end_mark.column)
        if isinstance(value, MappingNode):
            inner, row = _entries(value, lines, first + 1)
            return Entry((), inner, False, *comment), row
        row = _last_row(value) + 1
        return Entry((), "\n" + "\n".join(line[indent:] for line in lines[first + 1 : row]), False, *comment), row
    if value.start_mark.index == value.end_mark.index:  # an empty null, whose marks lie at the next key
        return Entry((), "null", False, *_comment(lines[first], key.end_mark.column)), first + 1
    head, *rest = _text(value).split("\n")
    last = value.start_mark.line + len(rest)
    comment = _comment(lines[last], value.end_mark.column) if value.end_mark.line == last else ("", 0)
    if isinstance(value, MappingNode):
        return Entry((), _flow(value), True, *comment), last + 1
    return Entry((), "\n".join([head, *(line[indent:] for line in rest)]), False, *comment), last + 1


def _flow(node: MappingNode) -> dict[str, Entry]:
    """Return the keys of a mapping in braces."""
    return {
        key.value: Entry((), _flow(value), True) if isinstance(value, MappingNode) else Entry((), _text(value))
        for key, value in node.value
    }


def _text(node: Node) -> str:
    """Return a scalar or flow collection as it is written."""
    return node.start_mark.buffer[node.start_mark.index : node.end_mark.index].rstrip()


def _last_row(node: Node) -> int:
    """Return the row in which a sequence's last text stands; the marks of blocks lie behind the comments after them."""
    if not isinstance(node, CollectionNode) or node.flow_style:
        return node.start_mark.line + _text(node).count("\n")
    if isinstance(node, MappingNode):
        key, value = node.value[-1]
        return key.start_mark.line if value.start_mark.index == value.end_mark.index else _last_row(value)
    return _last_row(node.value[-1])


def _comment(line: str, column: int) -> tuple[str, int]:
    """Return the comment behind this column, and where it begins."""
    found = line.find("#", column)
    return (line[found:], found) if found >= 0 else ("", 0)


def _take_head(found: dict[str, Entry]) -> tuple[str, ...]:
    """Take away what stands above the first key, and return it."""
    for key, entry in found.items():
        found[key] = entry._replace(lead=())
        return entry.lead
    return ()


def _nested(found: Mapping[str, Entry]) -> dict[str, Entry]:
    """Return the entries with dotted keys as keys within keys."""
    made: dict[str, Entry] = {}
    for dotted, entry in found.items():
        if isinstance(entry.value, dict):
            entry = entry._replace(value=_nested(entry.value))
        *outer, key = dotted.split(".")
        inner = {key: entry}
        for part in reversed(outer):
            inner = {part: Entry((), inner)}
        made = _joined(made, inner)
    return made


def _joined(first: Mapping[str, Entry], second: Mapping[str, Entry]) -> dict[str, Entry]:
    """Return the keys of both, joined where both have a mapping."""
    joined = dict(first)
    for key, entry in second.items():
        here = joined.get(key, entry)
        if here is not entry and isinstance(here.value, dict) and isinstance(entry.value, dict):
            entry = here._replace(value=_joined(here.value, entry.value))
        joined[key] = entry
    return joined


def _merged(below: Mapping[str, Entry], above: Mapping[str, Entry], prefix: str) -> dict[str, Entry]:
    merged = dict(below)
    for key, entry in above.items():
        if key in below:
            entry = _over(below[key], entry, f"{prefix}{key}")
        merged[key] = entry
    return merged


def _over(below: Entry, above: Entry, place: str) -> Entry:
    """Return one key's entry of a file under that of an overlay."""
    value, flow = above.value, above.flow
    if isinstance(below.value, dict) and isinstance(above.value, dict):
        beneath, written = ({key: inner.value for key, inner in keys.items()} for keys in (below.value, above.value))
        if not laying.replaces(place, beneath, written):
            value, flow = _merged(below.value, above.value, f"{place}."), below.flow
    comments = tuple(line for line in above.lead if line)
    empty = tuple(line for line in below.lead if not line)
    lead = (*empty, *comments) if comments else below.lead
    return Entry(lead, value, flow, above.comment or below.comment, below.column or above.column)


def _lines(found: Mapping[str, Entry], indent: str) -> Iterator[str]:
    for key, entry in found.items():
        yield from (f"{indent}{line}".rstrip() for line in entry.lead)
        text = _on_one_line(entry)
        if text is None:
            assert not isinstance(entry.value, str)
            yield _commented(f"{indent}{key}:", entry)
            yield from _lines(entry.value, indent + INDENT)
            continue
        *before, last = f"{key}: {text}".replace(": \n", ":\n").split("\n")
        if text.startswith("\n"):
            yield _commented(f"{indent}{before[0]}", entry)
            yield from (f"{indent}{line}".rstrip() for line in [*before[1:], last])
        else:
            yield from (f"{indent}{line}" for line in before)
            yield _commented(f"{indent}{last}", entry)


def _on_one_line(entry: Entry) -> str | None:
    """Return a value as it stands behind its key; None for keys that stand below theirs."""
    if isinstance(entry.value, str):
        return entry.value
    texts = {key: _on_one_line(inner) for key, inner in entry.value.items()}
    said = any(inner.comment or inner.lead for inner in entry.value.values())
    if not entry.flow or said or any(text is None or "\n" in text for text in texts.values()):
        return None
    return "{" + ", ".join(f"{key}: {text}" for key, text in texts.items()) + "}"


def _commented(line: str, entry: Entry) -> str:
    gap = max(entry.column - len(line), 1 if entry.column > len(line) else 3)
    return f"{line}{' ' * gap}{entry.comment}" if entry.comment else line

"""Reading a plot as a person does: its words, where they stand and how they look, and what is drawn in which colour."""

import re
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import NamedTuple
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

SVG, HREF = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"
GROUND = ("stroke: #e3e8ee", "; fill: #ffffff")  # the grid, the axes and the paper
FEW = 12  # points that are named one by one


class Thing(NamedTuple):
    """A text, line, area, band or mark: its words, and where and how it is drawn, in whole points."""

    words: str
    look: str


def whole(svg: str) -> list[str]:
    """Return a plot's size, and a line for everything on it in the order of drawing."""
    root, found = _read(svg)
    return [_size(root), *(f"{thing.words} {thing.look}" for thing in found)]


def short(svg: str) -> list[str]:
    """Return a plot's size, its words in one line, and what is drawn in colours; a line's marks are counted."""
    root, found = _read(svg)
    words = [thing.words for thing in found if thing.words.startswith('"')]
    said = [_size(root), " ".join(words)]
    coloured = (thing for thing in found if thing.words not in words and not any(part in thing.look for part in GROUND))
    for kind, run in groupby(coloured, lambda thing: thing.words):
        looks = [thing.look for thing in run]
        merged = kind == "mark" and len(looks) > 1
        said += [f"{len(looks)} marks {looks[0]}"] if merged else [f"{kind} {look}" for look in looks]
    return said


def _size(root: Element) -> str:
    return f"{root.get('width')} x {root.get('height')}, {root.get('style')}"


def _read(svg: str) -> tuple[Element, list[Thing]]:
    """Return the plot's root and what is on it; a text's words are in the comment above its glyphs."""
    root = ElementTree.fromstring(svg, ElementTree.XMLParser(target=ElementTree.TreeBuilder(insert_comments=True)))
    shapes = {path.get("id"): path.get("d") for path in root.iter(f"{SVG}path") if path.get("id")}
    return root, [*_things(root, shapes)]


def _things(node: Element, shapes: Mapping[str, str]) -> Iterator[Thing]:
    for child in node:
        style = child.get("style", "")
        if str(child.get("id")).startswith("text_"):
            yield _text(child)
        elif child.tag == f"{SVG}path":
            kind = "line" if "fill: none" in style else "area"
            yield Thing(kind, f"{_route(child.get('d'))}; {style.removeprefix('fill: none; ')}")
        elif child.tag == f"{SVG}use":
            x, y, shape = float(child.get("x")), float(child.get("y")), shapes[child.get(HREF)[1:]]
            if "C" in shape:  # a circle
                yield Thing("mark", f"{_place(x, y)} {2 * _points(shape)[0][1]:g} wide; {style}")
            else:
                yield Thing("band", f"{_route(shape, x, y)}; {style}")
        elif child.tag == f"{SVG}g":
            yield from _things(child, shapes)


def _text(group: Element) -> Thing:
    words = " / ".join(node.text.strip() for node in group.iter() if node.tag is ElementTree.Comment)
    drawn = next(node for node in group.iter(f"{SVG}g") if node.get("transform"))
    how = drawn.get("transform")
    x, y = map(float, re.search(r"translate\((\S+) (\S+)\)", how).groups())
    size = 100 * float(re.search(r"scale\((\S+)", how)[1])
    bold = any("Bold" in use.get(HREF) for use in drawn.iter(f"{SVG}use"))
    look = f"{_place(x, y)} {size:.0f}pt{' bold' * bold}{' upright' * ('rotate' in how)}; {drawn.get('style', '')}"
    return Thing(f'"{words}"', look)


def _route(d: str, x: float = 0, y: float = 0) -> str:
    points = [(x + right, y + down) for right, down in _points(d)]
    if len(points) <= FEW:
        return " ".join(_place(*point) for point in points)
    heights = [round(down) for _, down in points]
    ends = f"{_place(*points[0])} to {_place(*points[-1])}"
    return f"{len(points)} points {ends}, y {min(heights)} to {max(heights)}"


def _points(d: str) -> list[tuple[float, float]]:
    """Return where each step of a path ends."""
    steps = (re.findall(r"-?[\d.]+", step) for step in re.findall(r"[MLC][^MLCz]*", d))
    return [(float(step[-2]), float(step[-1])) for step in steps]


def _place(x: float, y: float) -> str:
    return f"{round(x)},{round(y)}"

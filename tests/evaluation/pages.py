"""Reading a page as a person does: line by line, or by its sections and in their tables a cell's row and column."""

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser

from tests.evaluation import drawn

Rows = dict[str, dict[str, str]]


class Page(HTMLParser):
    """A page's tables by section: tables[section][number][row][column]; a row's name is its first cell."""

    def __init__(self, text: str):
        super().__init__()
        self.tables: dict[str, list[Rows]] = {}
        self.tags: set[str] = set()
        self._columns: list[str] = []
        self._cells: list[str] = []
        self._heading, self._inside = "", ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag == "h2":
            self._heading = ""
        elif tag == "table":
            self.tables.setdefault(self._heading, []).append({})
            self._columns = []
        elif tag == "tr":
            self._cells = []
        elif tag in ("th", "td"):
            self._cells.append("")
        self._inside = tag if tag in ("h2", "th", "td") else self._inside

    def handle_endtag(self, tag):
        if tag == "tr" and not self._columns:
            self._columns = self._cells
        elif tag == "tr":
            self.tables[self._heading][-1][self._cells[0]] = dict(zip(self._columns, self._cells, strict=True))
        self._inside = "" if tag == self._inside else self._inside

    def handle_data(self, data):
        if self._inside == "h2":
            self._heading += data
        elif self._inside:
            self._cells[-1] += data


SVG = re.compile(r"<svg.*?</svg>", re.DOTALL)
BEFORE = {  # what a line begins with
    "title": "title: ", "p": "", "h1": "\n# ", "h2": "\n## ", "h3": "\n### ", "tr": "| ", "dt": "\n- ", "dd": "  ",
    "li": "- ", "nav": "sections: ",
}  # fmt: skip
SAMPLES = 2  # that are read


def lines(html: str) -> list[str]:
    """Return what a page says: a line a paragraph, row, note, link, plot's words, thing in a plot's colours, sample.

    A row that is set apart begins with two bars; the heading of a column of words ends with a colon.
    """
    found = [*_Lines(SVG.sub("<i></i>", html), SVG.findall(html)).lines, *_samples(html)]
    return [line.rstrip() for line in found]


class _Lines(HTMLParser):
    """A page's visible text in lines; the page's plots stand where <i> does."""

    def __init__(self, html: str, svgs: list[str]):
        super().__init__()
        self.lines: list[str] = []
        self._svgs, self._silent, self._after = iter(svgs), False, ""
        self.feed(html.partition('<section id="samples">')[0])

    def handle_starttag(self, tag, attrs):
        known = dict(attrs)
        self._silent = self._silent or tag == "style"
        if tag in BEFORE:
            self.lines.append(("|" if known.get("class") == "strong" else "") + BEFORE[tag])
        elif tag == "i":
            self.lines += drawn.short(next(self._svgs))
        elif tag == "div" and str(known.get("class")).startswith("plots"):
            self.lines.append(f"\n{known['class']}:")
        elif tag in ("th", "td"):
            is_words = known.get("scope") == "col" and known.get("class") == "text"
            self._after = ": | " if is_words else " | "
        elif tag == "a":
            self._after = f" ({known['href']}) "

    def handle_endtag(self, tag):
        self._silent = self._silent and tag != "style"
        if tag in ("th", "td", "a"):
            self.lines[-1] += self._after

    def handle_data(self, data):
        if data.strip() and not self._silent:
            self.lines[-1] += data


def _samples(html: str) -> Iterator[str]:
    """Yield what the page's script knows of the samples, and the first of them."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    if found:
        data = json.loads(found[1])
        yield "\n## Samples"
        yield data["order"]
        yield "policies: " + "; ".join(data["policies"])
        yield "shown at first: " + "; ".join(data["policies"][index] for index in data["shown"])
        yield "parts: " + "; ".join(data["parts"])
        for row in data["rows"][:SAMPLES]:
            yield f"\n{row['id']} ({'; '.join(row['parts'])}): greedy, PPO wins {row['result']}"
            yield from (f"  {role}: {text}" for role, text in row["turns"])
            for name, answer in zip(data["policies"], row["answers"], strict=True):
                cut = "" if answer["ended"] else ", cut off"
                yield f"  {name}, {answer['scores']} ({answer['score']}{cut}): {answer['text']}"

"""One self-contained HTML page: sections of tables, SVG plots and notes, and a searchable table of samples.

report.html.j2 is the page; it opens offline: no script, font or image comes from elsewhere. Jinja escapes all text;
samples travel as JSON and are put on the page as text, never as markup.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from rlhf.evaluation.advising.notes import Note

TEMPLATE = Path(__file__).with_name("report.html.j2")


class Table(NamedTuple):
    """Rows of cells under columns; the first cell of a row is its name. `strong` rows are set apart.

    The columns whose indices are in `words` hold words, the others figures, as `typography` writes them.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    strong: Sequence[int] = ()
    words: Sequence[int] = (0,)


class Plots(NamedTuple):
    """SVG elements side by side where there is room; each is markup of our own. `small` ones stand three in a row."""

    svgs: Sequence[str]
    small: bool = False


class Notes(NamedTuple):
    notes: Sequence[Note]


class Link(NamedTuple):
    """A file of this repository: its address from the page, its path, and what it holds."""

    address: str
    path: str
    holds: str


class Links(NamedTuple):
    links: Sequence[Link]


class Section(NamedTuple):
    title: str
    text: str
    blocks: Sequence[Table | Plots | Notes | Links]

    @property
    def anchor(self) -> str:
        return "".join(letter if letter.isalnum() else "-" for letter in self.title.lower())


def page(
    title: str, headline: str, lead: Sequence[str], sections: Sequence[Section], samples: dict[str, Any] | None = None
) -> str:
    """Return the whole page. `samples` is what the script at its end expects, see `rlhf.evaluation.report`."""
    jinja = Environment(
        loader=FileSystemLoader(TEMPLATE.parent), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    jinja.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "separators": (",", ":"), "allow_nan": False}
    return jinja.get_template(TEMPLATE.name).render(
        title=title, headline=headline, lead=lead, sections=sections, samples=samples
    )

"""Reading a page as a person does: its sections, and in their tables the cell at a row and a column."""

from html.parser import HTMLParser

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

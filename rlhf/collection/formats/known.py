"""The formats that are known by their columns, and how a source's rows are read: as one of them, or by our own."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import NamedTuple

from rlhf.collection.columns import USUAL, columns_of, recognise
from rlhf.collection.dropped import Dropped
from rlhf.collection.formats import demonstrations, joined, labelling_tools, preferences
from rlhf.collection.formats.form import DESCRIBING, EVERY, Fields, Form
from rlhf.collection.readers import Row
from rlhf.params.base import listed
from rlhf.params.collect_prompts import AnySource, TableSource, Use
from rlhf.records.types import DialogueRecord, Document

FORMS = (*preferences.FORMS, *demonstrations.FORMS, *joined.FORMS, *labelling_tools.FORMS)
SAMPLE = 50  # rows whose columns tell a source's format
KINDS: dict[Use, str] = {"comparisons": "comparison", "demonstrations": "demonstration"}
MOST_NAMED = 8  # columns in a message
CONTENT = re.compile(  # names of columns that hold what is learned
    "answer|response|completion|output|generation|history|system|winner|label|weight|chosen|rejected|prefer|rank|score|"
    "rating|summar|repl(y|ies)|context|input|message|conversation|turn|instruction|question|prompt|query|safe|better",
    re.IGNORECASE,
)
BESIDE = re.compile(r"(^|_)(id|ids|sha256|num|count|model|models|tokens|turns?|length|time|source)(_|$)", re.IGNORECASE)
OWN = "own"  # how params.yaml says that a source's columns are our own, whatever they look like


class Noticed(NamedTuple):
    """What was noticed of rows: how many records of each kind, rows dropped by reason, and broken ones."""

    kinds: Counter[str]
    drops: Counter[str]
    first_broken: str
    num_broken: int


class Reading:
    """How the rows of one source are read, and what was noticed on the way."""

    def __init__(self, rows: Iterator[Row], source: AnySource):
        """Look at the first rows. Raises ValueError where two formats could both explain them."""
        self.source, self.form = source, None
        self.kinds, self.drops = Counter[str](), Counter[str]()
        self._first_broken = ""  # what the first broken row says of itself
        self._num_broken = 0
        self._sample = [*islice(rows, SAMPLE)]
        again = chain(self._sample, rows)
        if isinstance(source, TableSource) and source.columns is None and source.form != OWN:
            sample = [row.fields for row in self._sample]
            self.form = chosen(source.form, source.name) if source.form else recognised(sample, source.name)
        self.rows = self.form.join(again) if self.form and self.form.join else again

    @classmethod
    def again(cls, source: AnySource, form: Form | None) -> "Reading":
        """Return a reading of the same source for a part of its rows, in whatever process."""
        reading = cls(iter(()), source)
        reading.form = form
        return reading

    def noticed(self) -> Noticed:
        """Return what was noticed so far."""
        return Noticed(self.kinds, self.drops, self._first_broken, self._num_broken)

    def add(self, noticed: Noticed) -> None:
        """Take in what was noticed of the rows that come next."""
        self.kinds.update(noticed.kinds)
        self.drops.update(noticed.drops)
        self._first_broken = self._first_broken or noticed.first_broken
        self._num_broken += noticed.num_broken

    def record(self, row: Row, index: int) -> Document | DialogueRecord:
        """Return what a row holds, see recognise. Raises Dropped for one that cannot be used; of a broken one too, if
        the source bears it.
        """
        try:
            found = recognise(self.form.own(row) if self.form else row, self.source, index)
        except Dropped as dropped:
            self.drops[str(dropped)] += 1
            raise
        except ValueError as error:
            self._first_broken = self._first_broken or str(error)
            self._num_broken += 1
            if not isinstance(self.source, TableSource) or self.source.max_broken == 0:
                raise
            raise Dropped("broken_row") from None
        self.kinds[found["kind"]] += 1
        return found

    def meanings(self) -> dict[str, str]:
        """Return {column: what it is taken for} of the first rows; with a known format only which it reads."""
        if self.form:
            found = {name for row in self._sample for name in row.fields}
            return dict.fromkeys(sorted(found & self._read_columns()), "read")
        return {name: meaning for row in self._sample for name, meaning in columns_of(row, self.source).items()}

    def check(self, read: int) -> None:
        """Raise ValueError where more rows were broken than the source bears, and for a use that no row serves."""
        bears = self.source.max_broken if isinstance(self.source, TableSource) else 0.0
        if self._num_broken > bears * read:
            others = f" ({self._num_broken} of {read} rows are broken; max_broken is {bears:g})"
            raise ValueError(f"{self._first_broken}{others if self._num_broken > 1 else ''}")
        for use, kind in KINDS.items():
            if use in self.source.use and read and not self.kinds[kind] and isinstance(self.source, TableSource):
                raise ValueError(
                    f"source '{self.source.name}': use names {use}, and none of its {read} rows is one: "
                    f"{self._what_was_read()}. {self._unread()}Say what its columns mean by columns, or its format by "
                    f"form (docs/data.md), or take {use} out of use"
                )

    def lines(self, read: int) -> Iterator[str]:
        """Yield what the screen says of how a source was read, where that is not by our own columns alone."""
        if self.form:
            yield f"{self.source.name}: read as {self.form.name}: {self.form.says}"
        yield from self.notices(read)

    def notices(self, read: int) -> Iterator[str]:
        """Yield what a user of the source should know: broken rows, bare prompts, columns that nobody read."""
        if not isinstance(self.source, TableSource):
            return
        name = self.source.name
        if self._num_broken:
            yield f"WARNING: {name}: {self._num_broken} of {read} rows are broken and left out: {self._first_broken}"
        if self.kinds["prompt"] and {*self.source.use} & {*KINDS}:
            yield f"{name}: {self._what_was_read()}"
        unread = self._unread()
        if unread:
            yield f"WARNING: {name}: {unread}"

    def _what_was_read(self) -> str:
        kinds = [f"{count} {kind}s" for kind, count in self.kinds.most_common()]
        drops = [f"dropped as {reason} {count}" for reason, count in self.drops.most_common(2)]
        return ", ".join([*kinds, *drops]) or "nothing was read"

    def _unread(self) -> str:
        """Return a sentence that names the columns which look like content and which nobody reads; or nothing."""
        read = self._read_columns()
        if EVERY in read:
            return ""
        columns = dict.fromkeys(
            name for row in self._sample for name, value in row.fields.items() if value not in (None, "", [], {})
        )
        found = [name for name in columns if CONTENT.search(name) and not BESIDE.search(name) and name not in read]
        more = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
        return f"Columns that nobody read: {', '.join(found[:MOST_NAMED])}{more}. " if found else ""

    def _read_columns(self) -> set[str]:
        if self.form:
            return {*self.form.columns, *self.form.also, *DESCRIBING}
        if isinstance(self.source, TableSource) and self.source.columns is not None:
            mapped = self.source.columns.values()
            return {*mapped, *(path.partition(".")[0].removesuffix("[]") for path in mapped)}
        return {*(name for names in USUAL.values() for name in names), "labels", "input", "context"}


def chosen(name: str, source: str) -> Form:
    """Return the format that params.yaml names."""
    for form in FORMS:
        if form.name == name:
            return form
    known = listed(sorted({form.name for form in FORMS}))
    raise ValueError(f"source '{source}': form: expected {OWN} or one of {known}, got '{name}'")


def recognised(sample: Sequence[Fields], source: str) -> Form | None:
    """Return the format whose columns these rows have, the one that takes in most of them; None: no known one."""
    columns = {name for fields in sample for name, value in fields.items() if value is not None}
    found = [form for form in FORMS if form.columns <= columns and any(form.is_it(fields) for fields in sample)]
    best = [form for form in found if not any(form.columns < other.columns for other in found)]
    if len(best) > 1:
        names = " or ".join(f"'{form.name}' ({form.says})" for form in best)
        raise ValueError(f"source '{source}': its rows may be {names}; say which by the source's key form")
    return best[0] if best else None

"""The formats that are known by their columns, and how a source's rows are read: as one of them, or by our own."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import chain, islice
from typing import Any, NamedTuple

from rlhf.collection.columns import SCORES_OF_TWO, USUAL, columns_of, recognise
from rlhf.collection.dialogues import ROLES
from rlhf.collection.dropped import Dropped
from rlhf.collection.formats import demonstrations, joined, labelling_tools, preferences
from rlhf.collection.formats.form import DESCRIBING, EVERY, Fields, Form
from rlhf.collection.readers import Row
from rlhf.params.base import listed
from rlhf.params.collect_prompts import AnySource, TableSource, Use
from rlhf.records.json_values import is_list, is_object
from rlhf.records.types import DialogueRecord, Document

FORMS = (*preferences.FORMS, *demonstrations.FORMS, *joined.FORMS, *labelling_tools.FORMS)
SAMPLE = 50  # rows whose columns tell a source's format
KINDS: dict[Use, tuple[str, ...]] = {  # the kinds of records that serve a use
    "documents": ("document",),
    "demonstrations": ("demonstration",),
    "comparisons": ("comparison",),
    "prompts": ("prompt", "demonstration", "comparison"),
}
JUDGED: set[Use] = {"comparisons", "demonstrations"}  # uses for which a bare prompt says nothing
MOST_NAMED = 8  # columns in a message
CONTENT = re.compile(  # names of columns that hold what is learned
    "answer|response|completion|output|generation|history|system|winner|label|weight|chosen|rejected|prefer|rank|score|"
    "rating|reward|status|(^|_)ties?(_|$)|summar|repl(y|ies)|context|input|message|conversation|turn|instruction|question|"
    "prompt|query|safe|better|worse|harm|toxic|correct|helpful|quality|feedback|vote|option|choice|candidate|dialog|utterance|"
    "critique|revision|thumb|^sys$|persona",
    re.IGNORECASE,
)
MARKS = re.compile(  # of chat templates whose turns are not told apart here
    r"\[/?INST\]|### (Instruction|Response):|<\|(user|assistant|system|endoftext)\|>|\[\|(Human|AI)\|\]|</s>"
)
BESIDE = re.compile(r"(^|_)(id|ids|sha256|num|count|model|models|tokens|turns?|length|time|source)(_|$)", re.IGNORECASE)
BEYOND_TEXT = {  # columns that a model which reads text alone never sees: why a row that fills one is dropped
    **dict.fromkeys(["image", "images", "video", "videos", "audio", "audios"], "not_only_text"),
    **dict.fromkeys(["tools", "functions"], "tools_are_used"),
}
EMPTY: tuple[Any, ...] = (None, "", [], {}, "[]", "null", "None")
LEFT_OUT = {"answer_marked_bad", "not_judged", "not_ranked"}  # reasons that a format itself gives: no odd rows
HINTS = {  # what a kind of row, or a reason for dropping it, asks for
    "no_prompt": "chosen and rejected without a prompt: name its column by columns; or, if both begin with the prompt, "
    "set form: TRL implicit prompt, which takes what they share",
    "document": "a row whose only content is text is a document: add documents to use",
    "tools_are_used": "turns of tools are not learned here; where only a column of tools is filled, columns that name "
    "the texts' take them without it",
    "not_only_text": "pictures, sound or video are not learned from; columns that name the texts' take them without",
    "dialogues_differ_before_the_last_answer": "two models led these dialogues apart, so their last answers have no "
    "prompt in common",
}
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
        self._is_strict = isinstance(source, TableSource) and source.strict
        self._is_mapped = isinstance(source, TableSource) and source.columns is not None
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
            if not self._is_mapped:
                _check_is_text(row.fields)
            found = recognise(self.form.own(row) if self.form else row, self.source, index)
        except Dropped as dropped:
            self.drops[str(dropped)] += 1
            if self._is_strict and str(dropped) not in LEFT_OUT:
                raise ValueError(
                    f"{row.where}: source '{self.source.name}' is strict: {self._why(str(dropped))}"
                ) from None
            raise
        except ValueError as error:
            self._first_broken = self._first_broken or str(error)
            self._num_broken += 1
            if not isinstance(self.source, TableSource) or self.source.max_broken == 0 or self._is_strict:
                raise
            raise Dropped("broken_row") from None
        self.kinds[found["kind"]] += 1
        return found

    def meanings(self) -> dict[str, str]:
        """Return {column: what it is taken for} of the first rows; with a known format only which it reads."""
        if self.form:
            found = {name for row in self._sample for name in row.fields}
            return dict.fromkeys(sorted(found & self._read_columns()), "read")
        taken: dict[str, str] = {}
        for row in self._sample:
            with suppress(ValueError):  # a broken row, which `record` counts
                taken |= columns_of(row, self.source)
        return taken

    def check(self, read: int) -> None:
        """Raise ValueError where more rows were broken than the source bears, and for a use that no row serves."""
        bears = self.source.max_broken if isinstance(self.source, TableSource) else 0.0
        if self._num_broken > bears * read:
            others = f" ({self._num_broken} of {read} rows are broken; max_broken is {bears:g})"
            raise ValueError(f"{self._first_broken}{others if self._num_broken > 1 else ''}")
        for use, kinds in KINDS.items():
            served = any(self.kinds[kind] for kind in kinds)
            if use in self.source.use and read and not served and isinstance(self.source, TableSource):
                raise ValueError(
                    f"source '{self.source.name}': use names {use}, and none of its {read} rows is one: "
                    f"{self._what_was_read()}. {self._hints()}{self._unread()}Say what its columns mean "
                    f"by columns, or its format by form (docs/data.md), or take {use} out of use"
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
        if self.kinds["prompt"] and {*self.source.use} & JUDGED:
            yield f"{name}: {self._what_was_read()}"
        yield from self._overruled()
        mark = self._mark()
        if mark and set(self.source.use) != {"documents"}:
            yield f"WARNING: {name}: texts with marks of a chat template, which stay in them: {mark:.20}; take them out"
        for reason in ("no_prompt", "document"):
            count = self.drops[reason] if reason in self.drops else self.kinds[reason]
            if count and self._hint(reason) and not (reason == "document" and "documents" in self.source.use):
                yield f"WARNING: {name}: {count} of {read} rows: {self._hint(reason)}"
        unread = self._unread()
        if unread:
            yield f"WARNING: {name}: {unread}"

    def _mark(self) -> str:
        """Return a mark of a chat template that stands in a text of the first rows; "" where there is none."""
        texts = (value for row in self._sample for value in row.fields.values() if isinstance(value, str))
        for text in texts:
            if found := MARKS.search(text):
                return found[0]
            if "USER: " in text and "ASSISTANT:" in text:
                return "ASSISTANT:"
        return ""

    def _overruled(self) -> Iterator[str]:
        """Yield a warning where a mapping leaves out what decides in the format that the columns look like."""
        if not isinstance(self.source, TableSource) or self.source.columns is None:
            return
        try:
            form = recognised([row.fields for row in self._sample], self.source.name)
        except ValueError:  # several: then nothing is known
            return
        left_out = sorted(form.columns - self._read_columns()) if form else []
        if form and left_out:
            yield (
                f"WARNING: {self.source.name}: its columns are those of {form.name} ({form.says}), and columns leaves "
                f"out {', '.join(left_out)}; without columns it is read so"
            )

    def _what_was_read(self) -> str:
        kinds = [f"{count} {kind}s" for kind, count in self.kinds.most_common()]
        drops = [f"dropped as {reason} {count}" for reason, count in self.drops.most_common(2)]
        return ", ".join([*kinds, *drops]) or "nothing was read"

    def _hints(self) -> str:
        """Return sentences on what the kinds of rows and the reasons for dropping them ask for."""
        found = [*self.kinds, *(reason for reason, _ in self.drops.most_common(2))]
        return "".join(f"{hint[0].upper()}{hint[1:]}. " for name in found if (hint := self._hint(name)))

    def _why(self, reason: str) -> str:
        hint = self._hint(reason)
        return f"{reason} ({hint})" if hint else reason

    def _hint(self, name: str) -> str:
        is_of_pairs = name != "no_prompt" or any("chosen" in row.fields for row in self._sample)
        return HINTS.get(name, "") if is_of_pairs else ""

    def _unread(self) -> str:
        """Return a sentence that names the columns which look like content and which nobody reads; or nothing."""
        read = self._read_columns()
        if EVERY in read:
            return ""
        columns = dict.fromkeys(
            name for row in self._sample for name, value in row.fields.items() if value not in (None, "", [], {})
        )
        beside = self._beside_another()
        found = [
            name
            for name in columns
            if CONTENT.search(name) and not BESIDE.search(name) and (name not in read or name in beside)
        ]
        more = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
        return f"Columns that nobody read: {', '.join(found[:MOST_NAMED])}{more}. " if found else ""

    def _beside_another(self) -> set[str]:
        """Return usual columns of the first rows in whose place another one with other content was taken."""
        if self.form or not isinstance(self.source, TableSource) or self.source.columns is not None:
            return set()
        found: set[str] = set()
        for row in self._sample:
            try:
                taken = columns_of(row, self.source)
            except ValueError:  # a broken row, which `record` counts
                continue
            values = [row.fields[name] for name in taken]
            usual = {"labels", "input", "context"} | {name for names in USUAL.values() for name in names}
            names = usual & row.fields.keys() - taken.keys()
            by_meaning = {meaning: name for name, meaning in taken.items()}
            said = _answer_of(row.fields.get(by_meaning.get("messages", "")))
            if said is not None and "response" in by_meaning and row.fields[by_meaning["response"]] != said:
                found.add(by_meaning["response"])
            found |= {name for name in names if row.fields[name] not in EMPTY and row.fields[name] not in values}
        return found

    def _read_columns(self) -> set[str]:
        if self.form:
            return {*self.form.columns, *self.form.also, *DESCRIBING}
        if isinstance(self.source, TableSource) and self.source.columns is not None:
            mapped = self.source.columns.values()
            return {*mapped, *(path.partition(".")[0].removesuffix("[]") for path in mapped)}
        beside = {"labels", "input", "context", *chain(*SCORES_OF_TWO)}
        return beside | {name for names in USUAL.values() for name in names}


def _answer_of(turns: Any) -> str | None:
    """Return what an assistant says last in a list of turns; None where it does not speak last."""
    last = turns[-1] if is_list(turns) and turns else None
    if not is_object(last) or ROLES.get(str(last.get("role") or last.get("from")).lower()) != "assistant":
        return None
    return last.get("content") or last.get("value")


def _check_is_text(fields: Fields) -> None:
    """Drop a row with pictures or tools in a column beside its turns."""
    for name in BEYOND_TEXT.keys() & fields.keys():
        if fields[name] not in EMPTY:
            raise Dropped(BEYOND_TEXT[name])


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

"""All sources' rows -> a table of facts, the records on disk: read in order, worked on by all CPUs."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlhf.collection.batches.parts import Failed, parts
from rlhf.collection.batches.work import Batch, Task, Worker
from rlhf.collection.formats.known import FORMS, Reading
from rlhf.collection.sources import rows
from rlhf.collection.splitting import held_out_first
from rlhf.collection.table.facts import DOCUMENTS, FACTS, Table, joined
from rlhf.collection.table.spill import Spill
from rlhf.collection.table.tally import Tally
from rlhf.params.collect_prompts import AnySource, CollectPrompts, FileSource, InstructionsSource, WorldSource, matches
from rlhf.runtime.workers import Workers, usable_cpus

Progress = Callable[[int, int, Mapping[str, float]], None]  # (steps done, of how many, counts)

FEW = 20_000  # rows that this process works on by itself: starting others would take longer
WORLD_ROW = 200  # bytes, about
READING = 85  # percent of the stage, about
MOST_WORKERS = 8  # beyond that this process, which gives them rows and takes results, is the slowest
SECONDS = 2.0  # between two reports, at least
MOST_SECONDS = 10.0  # the same where nothing tells how far a source is read


class Gathered(NamedTuple):
    """What was read. Of `facts`, categories and languages are places in their lists."""

    sources: Sequence[AnySource]  # in the order of reading
    readings: Mapping[str, Reading]
    read: dict[str, int]  # rows, by source
    facts: Table
    categories: list[str]
    languages: list[str]
    responses: NDArray[np.uint32]  # characters of the answers of all comparisons, one after another
    documents: Table
    tally: Tally


def gather(params: CollectPrompts, seed: int, root: Path, spill: Spill, progress: Progress) -> Gathered:
    """Read and clean all sources. Raises what the first broken row raises, however many CPUs there are."""
    sources = held_out_first(params.sources)
    gathering = _Gathering(sources, spill, _Report(sources, root, progress))
    tasks = _tasks(sources, params, root, gathering.readings)
    for batch in _batches(tasks, Worker(sources, params, seed)):
        gathering.take(batch)
    return gathering.all()


def _tasks(
    sources: Sequence[AnySource], params: CollectPrompts, root: Path, readings: dict[int, Reading]
) -> Iterator[Task]:
    """Yield the parts of all sources, filling `readings`. An error in reading is a part, behind those before it."""
    for number, source in enumerate(sources):
        first = 0
        try:
            reading = readings[number] = Reading(rows(source, root, params.documents.separator), source)
            form = FORMS.index(reading.form) if reading.form else None
            for part in parts(reading, root, params.documents.separator):
                yield Task(number, form, first, part)
                first += part.num_rows()
        except (ValueError, OSError) as error:
            yield Task(number, None, first, Failed(error))
            return


def _batches(tasks: Iterator[Task], worker: Worker) -> Iterator[Batch]:
    done, count = 0, min(usable_cpus(), MOST_WORKERS)
    for task in tasks:
        batch = worker(task)
        yield batch
        done += batch.read
        if done >= FEW and count > 1:
            break
    else:
        return
    with Workers(worker, count) as workers:
        yield from workers.each(tasks)


class _Gathering:
    """Takes in batches in order."""

    def __init__(self, sources: Sequence[AnySource], spill: Spill, report: "_Report") -> None:
        self.readings = dict[int, Reading]()
        self._sources, self._spill, self._report = sources, spill, report
        self._tally = Tally([source.name for source in sources], spill)
        self._read = [0] * len(sources)
        self._checked = 0  # sources
        self._facts, self._documents, self._responses = list[Table](), list[Table](), list[NDArray[np.uint32]]()
        self._names = dict[str, int](), dict[str, int]()  # categories and languages

    def take(self, batch: Batch) -> None:
        """Take in what a part became. Raises the error at which it ended."""
        self._check(batch.source)
        self._read[batch.source] += batch.read
        if batch.source in self.readings:  # it is not where its first rows could not be read
            self.readings[batch.source].add(batch.noticed)
        if batch.error:
            raise batch.error
        self._tally.add(batch)
        facts, documents = batch.facts, batch.documents
        facts["offset"] += np.uint64(self._spill.records.append(batch.records))
        documents["offset"] += np.uint64(self._spill.documents.append(batch.lines))
        for column, known, names in zip(("category", "language"), self._names, batch.names, strict=True):
            places = np.array([known.setdefault(name, len(known)) for name in names], np.int32)
            facts[column] = places[facts[column]] if names else facts[column]
        if batch.runs is not None:
            self._spill.runs.append(batch.runs.hashes.tobytes())
        self._facts.append(facts)
        self._documents.append(documents)
        self._responses.append(batch.responses)
        self._report.took(batch, facts.size, documents.size)

    def _check(self, sources: int) -> None:
        """Hold what was read of each source against what it says, once it is read."""
        for number in range(self._checked, sources):
            self.readings[number].check(self._read[number])
        self._checked = max(self._checked, sources)

    def all(self) -> Gathered:
        self._check(len(self._sources))
        names = [source.name for source in self._sources]
        responses = np.concatenate(self._responses) if self._responses else np.empty(0, np.uint32)
        categories, languages = ([*known] for known in self._names)
        facts, documents = joined(self._facts, FACTS), joined(self._documents, DOCUMENTS)
        self._facts, self._documents = [], []
        return Gathered(
            self._sources, {names[number]: reading for number, reading in self.readings.items()},
            dict(zip(names, self._read, strict=True)), facts, categories, languages, responses, documents, self._tally,
        )  # fmt: skip


class _Report:
    """Says how far the sources are read: by bytes, as far as files tell."""

    def __init__(self, sources: Sequence[AnySource], root: Path, progress: Progress) -> None:
        self._sources = sources
        self._sizes = [_size(source, root) for source in sources]
        self._progress = progress
        self._began = self._said_at = time.monotonic()
        self._said, self._source, self._in_source = 0, 0, 0
        self._counts = {"rows": 0, "prompts": 0, "documents": 0}

    def took(self, batch: Batch, prompts: int, documents: int) -> None:
        if batch.source != self._source:
            self._source, self._in_source = batch.source, 0
        is_made = isinstance(self._sources[batch.source], WorldSource | InstructionsSource)
        self._in_source += WORLD_ROW * batch.read if is_made else batch.size
        for name, more in zip(self._counts, (batch.read, prompts, documents), strict=True):
            self._counts[name] += more
        now = time.monotonic()
        done = sum(self._sizes[: self._source]) + min(self._in_source, self._sizes[self._source])
        step = max(READING * done // sum(self._sizes), 1)  # a step 0 is not shown
        wait = SECONDS if step > self._said else MOST_SECONDS
        if now - self._said_at >= wait:
            rate = self._counts["rows"] / (now - self._began)
            self._progress(max(step, self._said), 100, {**self._counts, "rows_per_second": round(rate)})
            self._said, self._said_at = max(step, self._said), now


def _size(source: AnySource, root: Path) -> int:
    """Return the bytes of a source's files or rows, 1 where they are unknown; what is wrong with names of files is said
    when they are read.
    """
    if isinstance(source, WorldSource):
        return WORLD_ROW * (source.documents + source.prompts) or 1
    if isinstance(source, InstructionsSource):
        return WORLD_ROW * source.prompts
    patterns = source.paths if isinstance(source, FileSource) else []
    try:
        return sum(path.stat().st_size for pattern in patterns for path in matches(pattern, root)) or 1
    except (ValueError, OSError):
        return 1

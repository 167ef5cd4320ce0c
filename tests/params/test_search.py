"""A search for input that ends in a traceback: generated files of data and params, each taken or refused in words.

`SEARCH=10000 pytest tests/params/test_search.py` searches further than the few examples of every day.
"""

import functools
import gzip
import io
import json
import operator
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tools.presets
from rlhf.collection.table.spill import Spill
from rlhf.params.base import ParamsError, read_yaml
from rlhf.params.collect_prompts import CollectPromptsInputs, Meaning
from stages import collect_prompts
from tests import toys
from tests.collect_prompts_section import ALL, section, source, typed
from tests.searching import LONGEST, search
from tools import check
from tools.overlays import laying

SEARCH = search(40)

MEANINGS = get_args(Meaning)
COLUMNS = st.sampled_from(
    [*MEANINGS, "conversations", "instruction", "question", "completion", "output", "context", "lang", "user_id", "x"]
)
TEXTS = st.text(max_size=12) | st.sampled_from(
    [
        "Say red.", "red fox.", "", " ", "\u200b", "\n\nHuman: hi\n\nAssistant: yes", "Human:\n\nAssistant:", "[", "[]",
        '[{"role": "user", "content": "hi"}]', '["a", "b"]', "[" * 5000, "[" + "9" * 5000 + "]", '["\\ud800"]', "en",
        "你好", "x" * 3000, "\ud800", "\x00", "ignored@example.org",
    ]
)  # fmt: skip
NUMBERS = st.sampled_from([0, 1, 2, -1, 0.5, True, 10**400, -(10**4000), float("nan"), float("inf"), 1e308])
TURNS = st.fixed_dictionaries(
    {},
    optional={
        "role": st.sampled_from(["user", "assistant", "system", "human", "tool", 7]),
        "from": st.sampled_from(["human", "gpt"]),
        "content": TEXTS | st.none(),
        "value": TEXTS,
    },
)
LABELS = st.fixed_dictionaries(
    {},
    optional={
        "labeler": TEXTS | NUMBERS,
        "ranks": st.lists(NUMBERS, max_size=3) | TEXTS,
        "scores": st.none() | st.lists(NUMBERS, max_size=3),
        "scale": st.none() | st.lists(NUMBERS, max_size=2),
    },
)


def nested(depth, kind):
    value = []
    for _ in range(depth):
        value = {"a": value} if kind == "object" else [value]
    return value


DEEP = st.builds(nested, st.sampled_from([1, 50, 300, 800]), st.sampled_from(["list", "object"]))
SIMPLE = TEXTS | NUMBERS | st.none() | DEEP
VALUES = st.one_of(
    SIMPLE,
    *(st.lists(inner, max_size=3) for inner in (TURNS, TEXTS, NUMBERS, LABELS, SIMPLE | TURNS)),
    st.dictionaries(TEXTS, SIMPLE, max_size=2),
)
GOOD = st.fixed_dictionaries(
    {"prompt": TEXTS}, optional={"responses": st.lists(TEXTS, min_size=2, max_size=3), "response": TEXTS}
)
ROWS = st.lists(
    st.builds(operator.or_, GOOD | st.just({}), st.dictionaries(COLUMNS, VALUES, max_size=4)), min_size=1, max_size=3
)
RAW = st.one_of(
    st.binary(max_size=60),
    st.sampled_from([b"[" * 20_000, b'{"a":' * 20_000, b"9" * 5000, b'[{"prompt": ' + b"1" * 5000 + b"}]"]),
    st.builds(operator.add, st.sampled_from([b"\xef\xbb\xbf", b"\x1f\x8b", b"PAR1", b"{", b"[{"]), st.binary()),
)


def as_table(rows, delimiter):
    names = list(dict.fromkeys(name for row in rows for name in row)) or ["prompt"]
    lines = [names, *([str(row.get(name, "")) for name in names] for row in rows)]
    return "\n".join(delimiter.join(cells) for cells in lines)


def as_parquet(rows):
    import pyarrow
    from pyarrow import parquet

    file = io.BytesIO()
    try:
        parquet.write_table(pyarrow.Table.from_pylist(rows), file)
    except (pyarrow.ArrowException, ValueError, OverflowError, TypeError):  # no table takes these
        return b"PAR1"
    return file.getvalue()


WRITERS = {
    "jsonl": lambda rows: "\n".join(json.dumps(row, ensure_ascii=len(row) > 1) for row in rows),
    "json": json.dumps,
    "csv": lambda rows: as_table(rows, ","),
    "tsv": lambda rows: as_table(rows, "\t"),
    "txt": lambda rows: "\n".join(map(str, rows)),
    "parquet": as_parquet,
}


@st.composite
def files(draw):
    """Return (name, bytes) of a file of any format that holds rows, broken here and there, or anything else."""
    ending, packed = draw(st.sampled_from(list(WRITERS))), draw(st.sampled_from(["", "", ".gz"]))
    made = draw(RAW) if draw(st.integers(0, 3)) == 0 else WRITERS[ending](draw(ROWS))
    content = made if isinstance(made, bytes) else made.encode("utf-8", "surrogatepass")
    if draw(st.integers(0, 4)) == 0:
        place = draw(st.integers(0, len(content)))
        content = content[:place] + draw(st.binary(max_size=3)) + content[place + draw(st.integers(0, 3)) :]
    if packed:
        content = gzip.compress(content)
        content = content[: draw(st.sampled_from([len(content), len(content), len(content) // 2, 3, 0]))]
    return f"a.{ending}{packed}", content


@SEARCH
@given(
    file=files(),
    columns=st.none() | st.dictionaries(st.sampled_from(MEANINGS), COLUMNS, max_size=4),
    use=st.sampled_from([["documents"], ["comparisons", "prompts"], ["demonstrations", "comparisons", "prompts"]]),
    scale=st.none() | st.just({"low": 0.0, "high": 1.0}),
)
def test_any_file_of_data_is_read_or_refused_in_words(tmp_path, file, columns, use, scale):
    name, content = file
    (tmp_path / name).write_bytes(content)
    splits = [] if use == ["documents"] else ALL[1:]
    given_source = source("given", name, use=use, columns=columns, scale=scale, splits=splits)
    params = typed(section([given_source, source("other", "no.jsonl")])).collect_prompts
    params = params.model_copy(update={"sources": params.sources[:1]})
    try:
        whole = CollectPromptsInputs.model_construct(seed=1, collect_prompts=params)
        with Spill(tmp_path / "spill") as spill:
            collected = collect_prompts.collect(whole, tmp_path, spill, lambda *_: None)
            collect_prompts.write(collected, params, tmp_path, spill)
            collect_prompts.check_complete(collected, params, (False, False))
    except ValueError as error:
        assert any(words in str(error) for words in (name, "given", "no record for", "is empty"))
        assert len(str(error)) < LONGEST + len(str(tmp_path))
    (tmp_path / name).unlink()


KEYS = st.sampled_from(["kind", "name", "paths", "seed", "source", "x", 1, None, True, 1.5])
PATHS = [
    "~nobody-here/x", "\x00", "x" * 300, "**/**", "[", "a/[!]*", "", ".", "/", "~", "\ud800", "a/" * 300, "..", "*",
]  # fmt: skip
ANY = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS, st.sampled_from(PATHS), st.dates()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)


def places(value, path=()):
    """Yield the path of every value within a mapping."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*path, key)
        yield from places(inner, (*path, key))


@pytest.fixture(scope="module")
def presets():
    whole = [read_yaml(toys.REPO / f"presets/{name}.yaml") for name in ("tiny", "instructgpt", "real_en")]
    preset, changes = tools.presets.read_overlay(toys.REPO / "examples/own_project.yaml")
    return [*whole, laying.laid_over(read_yaml(toys.REPO / f"presets/{preset}.yaml"), changes)]


def assert_in_words(mistakes):
    for mistake in mistakes:
        assert mistake.startswith("params.yaml: ")
        assert len(mistake) < LONGEST


@SEARCH
@given(data=st.data())
def test_any_params_are_taken_or_refused_in_words(tmp_path, presets, data):
    content = json.loads(json.dumps(data.draw(st.sampled_from(presets))))
    for _ in range(data.draw(st.integers(1, 3))):
        *way, key = data.draw(st.sampled_from(sorted(places(content), key=str)))
        place = functools.reduce(operator.getitem, way, content)
        what = data.draw(st.sampled_from(["replace", "remove", "add", "wrap"]))
        if what == "remove":
            del place[key]
        elif what == "add" and isinstance(place, dict):
            place[data.draw(KEYS)] = data.draw(ANY)
        else:
            place[key] = [place[key]] if what == "wrap" else data.draw(ANY | DEEP)
    assert_in_words(check.mistakes_in(content, tmp_path))


def test_any_path_is_found_or_missed_in_words(tmp_path, presets):
    """Each change alone: what is wrong with a type hides what is wrong with a path."""
    for whole in presets:
        for *way, key in list(places(whole)):
            if way[-1:] == ["paths"] or key in ("path", "id", "folder", "uri", "encoder_path"):
                for path in PATHS:
                    content = json.loads(json.dumps(whole))
                    functools.reduce(operator.getitem, way, content)[key] = path
                    assert_in_words(check.mistakes_in(content, tmp_path))


PIECES = st.sampled_from(
    [
        "a: ", "- ", "[", "]", "{", "}", "b", "\n", "  ", ": ", ", ", "&x ", "*x", "<<: ", "!x ", "!!int ", "!!float ",
        "!!timestamp ", "!!binary ", "!!set ", "!!omap ", "!!pairs ", "!!python/object:x ", "? ", "| ", "> ", "'", '"',
        "# ", "---\n", "...\n", "%YAML 1.1\n", "%TAG ! x\n", "2001-99-99", "9" * 5000, "[" * 3000, "{a: " * 1500,
        "- " * 3000, "\t", "1e999", "0o9", "0x", "\\ud800", ".inf", "1_000", "12:30:45", "~", "@", "`", "\u2028",
    ]
)  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*duplicate anchor")
@SEARCH
@given(text=st.lists(PIECES | st.text(max_size=4), max_size=12).map("".join))
def test_any_text_is_params_or_refused_in_words(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        content = read_yaml(path)
    except ParamsError as error:
        assert str(path) in str(error)
        assert len(str(error)) < LONGEST + len(str(path))
    else:
        assert_in_words(check.mistakes_in(content, tmp_path))

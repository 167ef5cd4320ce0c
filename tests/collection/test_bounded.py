"""Rows have a most size, which holds while a file is read; and what is read in pieces is what is read whole."""

import bz2
import gzip
import json
import lzma
import tracemalloc
from itertools import product

import pyarrow
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rlhf.collection import bounded
from rlhf.collection.bounded import Bound, blocks, bound_of, lines, size_of
from rlhf.collection.files.json_files import read_json
from rlhf.collection.sources import rows
from rlhf.params.collect_prompts import MAX_ROW_MB
from tests.collect_prompts_section import typed_source

WIDE = Bound(10**6, "given")
LONG = 6_000_000  # bytes of a row that is refused
ONE = b"x" * LONG
ROW = {  # by the file's name: its content, and the place of the row
    "a.jsonl": (b'{"prompt": "hi"}\n{"prompt": "%s"}\n' % ONE, "line 2"),
    "a.json": (b'[{"prompt": "hi"}, {"prompt": "%s"}]' % ONE, "record 2"),
    "b.json": (b'{"prompt": "%s"}' % ONE, "record 1"),
    "c.json": (b'{"prompt": "hi"}\n{"prompt": "%s"}\n' % ONE, "line 2"),
    "d.json": (b'{"data": [{"prompt": "hi"}, {"prompt": "%s"}]}' % ONE, "record 1"),
    "e.json": (b'{"prompt": ["hi"], "chosen": ["%s"]}' % ONE, "record 1"),
    "a.csv": (b'prompt\nhi\n"%s"\n' % ONE, "line 3"),
    "b.csv": (b'prompt\nhi\n"%s"\n' % (b"x\n" * (LONG // 2)), "line 50002"),
    "a.tsv": (b"prompt\nhi\n%s\n" % (b"\t" * LONG), "line 3"),
    "a.txt": (b"hi\n<|endoftext|>\n%s\n" % (b"x\n" * (LONG // 2)), "line 3: a document that no line"),
    "b.txt": (b"hi\n<|endoftext|>\n%s" % ONE, "line 3"),
}


def read(folder, name, **changes):
    return rows(typed_source(paths=[name], **changes), folder, "<|endoftext|>")


PACK = {
    "": bytes,
    ".gz": lambda content: gzip.compress(content, 1),
    ".xz": lambda content: lzma.compress(content, preset=0),
}
PACK |= {".zst": lambda content: pyarrow.Codec("zstd").compress(content, asbytes=True), ".bz2": bz2.compress}


@pytest.mark.parametrize(
    ("name", "ending"), [*product(ROW, ["", ".gz"]), *product(["a.json", "a.csv"], [".xz", ".zst", ".bz2"])]
)
def test_a_row_that_is_too_long_is_refused_before_it_is_in_memory(tmp_path, name, ending):
    content, place = ROW[name]
    (tmp_path / f"{name}{ending}").write_bytes(PACK[ending](content))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError) as error:
            list(read(tmp_path, f"{name}{ending}", max_row_mb=0.1))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert str(error.value).startswith(f"{tmp_path / f'{name}{ending}'}: {place}")
    assert str(error.value).endswith(
        "a row of more than 0.1 MB; part it or leave it out, or raise max_row_mb of the source 'given'"
    )
    assert peak < LONG / 4


def test_a_row_of_the_most_size_is_read_and_left_out_or_null_is_the_usual_size(tmp_path):
    line = json.dumps({"prompt": "x" * 981}) + "\n"
    assert len(line) == 996
    (tmp_path / "a.jsonl").write_text(line)
    assert len(list(read(tmp_path, "a.jsonl", max_row_mb=0.000996))) == 1
    with pytest.raises(ValueError, match=r"a\.jsonl: line 1: a row of more than 0\.000995 MB"):
        list(read(tmp_path, "a.jsonl", max_row_mb=0.000995))
    assert (
        bound_of(typed_source()) == bound_of(typed_source(max_row_mb=None)) == Bound(round(MAX_ROW_MB * 1e6), "given")
    )


def test_of_a_json_file_each_record_counts_and_a_mistake_is_told_from_a_long_one(tmp_path):
    path = tmp_path / "a.json"
    records = ['{"prompt": "hi"}', '{"prompt": "%s"}' % ("x" * 2000), '{"prompt": "hi"}']
    path.write_text(f"[{', '.join(records)}]")
    with pytest.raises(ValueError, match=r"record 2: a row of more than 0\.001 MB"):
        list(read(tmp_path, "a.json", max_row_mb=0.001))
    path.write_text('[{"prompt": "hi",, "response": "' + "x" * 200_000 + '"}]')
    with pytest.raises(ValueError, match=r"a\.json: line 1, column 18: not valid JSON"):
        list(read(tmp_path, "a.json", max_row_mb=0.1))


@pytest.mark.parametrize(
    "content",
    [
        [{"prompt": "x" * 1000}] * 5_000,
        {"data": [{"prompt": "x" * 1000}] * 5_000},
        {"prompt": ["x" * 1000] * 5_000},
        {"prompt": {str(number): "x" * 1000 for number in range(5_000)}},
    ],
    ids=["list", "under a key", "in a column", "in a numbered column"],
)
def test_rows_of_any_number_take_the_memory_of_one(tmp_path, content):
    (tmp_path / "a.json").write_text(json.dumps(content))
    tracemalloc.start()
    try:
        assert sum(1 for _ in read(tmp_path, "a.json")) == 5_000
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def table(path, column):
    from pyarrow.parquet import write_table

    write_table(pyarrow.table({"prompt": column}), path, compression="zstd")


def test_a_parquet_file_is_read_a_few_rows_at_a_time(tmp_path):
    """Equal values stand once in the file, and in each row of what is read."""

    table(tmp_path / "a.parquet", ["x" * 2000] * 30_000)
    pool = pyarrow.default_memory_pool()
    before = pool.bytes_allocated()
    found = read(tmp_path, "a.parquet")
    assert next(found).fields == {"prompt": "x" * 2000}
    assert pool.bytes_allocated() - before < 5_000_000
    assert sum(1 for _ in found) == 29_999


@pytest.mark.parametrize(
    ("column", "place"),
    [
        (["x" * 200_000], r"a row of row group 1"),
        ([[None] * 50_000], r"a row of row group 1"),
        (["hi"] * 99 + ["x" * 200_000], r"row 100"),
        ([["hi"]] * 99 + [["x" * 100] * 2000], r"row 100"),
    ],
)
def test_a_long_row_of_a_parquet_file_is_refused(tmp_path, column, place):
    table(tmp_path / "a.parquet", column)
    with pytest.raises(ValueError, match=rf"a\.parquet: {place}: a row of more than 0\.1 MB; .* max_row_mb of"):
        list(read(tmp_path, "a.parquet", max_row_mb=0.1))


REPEATED = "x" * 50_000
NESTED = {
    "a list": (lambda arrow: arrow.list_(arrow.string()), [REPEATED] * 400),
    "a list of as many": (lambda arrow: arrow.list_(arrow.large_string(), 400), [REPEATED] * 400),
    "a list of objects": (lambda arrow: arrow.list_(arrow.struct({"a": arrow.binary()})), [{"a": REPEATED}] * 400),
    "a map": (lambda arrow: arrow.map_(arrow.string(), arrow.string()), [(str(key), REPEATED) for key in range(400)]),
    "an object of lists": (lambda arrow: arrow.struct({"a": arrow.list_(arrow.string())}), {"a": [REPEATED] * 400}),
}

SHORT = {"a list of as many": ["x"] * 400}  # the row before; null of the other kinds


@pytest.mark.parametrize("kind", list(NESTED))
def test_a_text_that_a_row_repeats_is_counted_each_time_before_it_is_spelled_out(tmp_path, kind):
    """It stands once in the file."""
    import pyarrow
    from pyarrow.parquet import write_table

    typed, value = NESTED[kind]
    path = tmp_path / "a.parquet"
    write_table(
        pyarrow.table({"prompt": pyarrow.array([SHORT.get(kind), value], typed(pyarrow))}), path, compression="zstd"
    )
    assert path.stat().st_size < 10_000
    usual, counted = pyarrow.default_memory_pool(), pyarrow.proxy_memory_pool(pyarrow.default_memory_pool())
    pyarrow.set_memory_pool(counted)
    try:
        with pytest.raises(ValueError, match=r"a\.parquet: row 2: a row of more than 16 MB"):
            list(read(tmp_path, "a.parquet"))
    finally:
        pyarrow.set_memory_pool(usual)
    assert counted.max_memory() < 2_000_000
    (_, row) = read(tmp_path, "a.parquet", max_row_mb=21)
    found = row.fields["prompt"]
    assert found == (value if kind != "a list of objects" else [{"a": REPEATED.encode()}] * 400)


@pytest.mark.parametrize("value", [7, None, "x", []])
def test_a_row_of_many_equal_values_is_refused_before_they_are_unpacked(tmp_path, monkeypatch, value):
    """In the file they take some hundred bytes together."""
    import pyarrow
    from pyarrow.parquet import ParquetFile

    table(tmp_path / "a.parquet", pyarrow.array([[value] * 2_000_000]))
    assert (tmp_path / "a.parquet").stat().st_size < 2000
    monkeypatch.setattr(ParquetFile, "iter_batches", lambda *_, **__: pytest.fail("it was unpacked"))
    with pytest.raises(ValueError, match=r"a\.parquet: a row of row group 1: a row of more than 0\.1 MB"):
        list(read(tmp_path, "a.parquet", max_row_mb=0.1))


def test_the_size_of_a_row_is_that_of_all_its_values():
    assert size_of({"a": "x" * 1000, "b": [{"c": b"y" * 500}, None], "d": 7}) in range(1500, 1600)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.lists(st.dictionaries(st.text("ab", max_size=2), VALUES, max_size=3), max_size=6)
SMALL = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)


def outcome(path):
    """Return the rows of a JSON file, or the place of the first character that is none of JSON's."""
    try:
        return [row.fields for row in read_json(path, WIDE)]
    except ValueError as error:
        return str(error).removeprefix(f"{path}: ").partition(": not valid JSON")[0]


@SMALL
@given(objects=OBJECTS, indent=st.sampled_from([None, 1]), block=st.integers(1, 40), raw=st.booleans())
def test_a_list_read_in_pieces_is_the_list(tmp_path, objects, indent, block, raw):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(objects, indent=indent, ensure_ascii=not raw) + "\n ", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bounded, "BLOCK", block)
        assert outcome(path) == objects


EARLIER = ("expected a JSON object", "is half of a character")  # of a value, which is looked at before the next is read


@SMALL
@given(
    objects=OBJECTS.filter(lambda some: len(some) > 1 and some[0]),
    indent=st.sampled_from([None, 1]),
    block=st.integers(1, 40),
)
def test_objects_one_after_another_are_the_rows_however_they_are_read(tmp_path, objects, indent, block):
    path = tmp_path / "a.json"
    path.write_text("\n".join(json.dumps(one, indent=indent) for one in objects), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bounded, "BLOCK", block)
        assert outcome(path) == objects


@SMALL
@given(
    objects=OBJECTS.filter(bool),
    block=st.integers(1, 40),
    place=st.integers(0, 200),
    put=st.sampled_from(["", "x", ",", "]", '"', "\n"]),
    key=st.sampled_from([None, "data", "messages"]),
)
def test_a_mistake_is_found_in_the_same_place_however_a_file_is_read(tmp_path, objects, block, place, put, key):
    text = json.dumps({key: objects, "n": 1.5} if key else objects, indent=1)
    place %= len(text)
    path = tmp_path / "a.json"
    path.write_text(text[:place] + put + text[place + 1 :])
    found = []
    for size in (block, 1 << 16):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(bounded, "BLOCK", size)
            found.append(outcome(path))
    assert found[0] == found[1]
    try:
        whole = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        if error.msg != "Extra data":
            place = f"line {error.lineno}, column {error.colno}"
            assert found[0] == place or any(mistake in found[0] for mistake in EARLIER)
    else:
        assert found[0] == whole or any(mistake in found[0] for mistake in EARLIER) or isinstance(whole, dict)


@SMALL
@given(text=st.text("aé好\U0001f600\n", max_size=40), block=st.integers(3, 9), broken=st.integers(-20, 40))
def test_what_is_no_utf8_has_the_same_place_in_lines_and_in_blocks(tmp_path, text, block, broken):
    content = bytearray(text.encode())
    if 0 <= broken < len(content):
        content[broken] = 0xFF
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbf" + content)

    def all_of(found):
        try:
            return "".join(found)
        except ValueError as error:
            return str(error).partition(" (")[0]

    whole = all_of(line.text for line in lines(path, WIDE))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bounded, "BLOCK", block)
        assert all_of(blocks(path)) == whole

"""Files are read for what they hold, however packed, named and parted, or refused with the way to mend them."""

import bz2
import codecs
import csv
import gzip
import io
import json
import lzma
import tracemalloc

import pyarrow
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import feather, parquet

from rlhf.collection.sources import format_of, rows
from rlhf.params.collect_prompts import matches
from tests.collect_prompts_section import typed_source
from tests.collection.test_sources import hub_source

ROWS = [
    {"prompt": "Name a colour; or two, please", "chosen": 'Red,\nor "blue"', "rejected": "None"},
    {"prompt": "你好", "chosen": "null", "rejected": "\tNA|"},
    {"prompt": "x" * 70_000, "chosen": "long cells are read", "rejected": ""},
]


def zstd(content):
    return pyarrow.Codec("zstd").compress(content, asbytes=True)


PACK = {"": bytes, ".gz": lambda content: gzip.compress(content, 1), ".bz2": bz2.compress, ".zst": zstd}
PACK |= {".xz": lambda content: lzma.compress(content, preset=0)}


def jsonl(table):
    return "".join(json.dumps(row) + "\n" for row in table).encode()


def as_csv(table, delimiter=","):
    text = io.StringIO()
    writer = csv.DictWriter(text, list(table[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(table)
    return text.getvalue().encode()


def as_parquet(table):
    sink = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(table), sink)
    return sink.getvalue()


def as_arrow(table):
    sink, content = io.BytesIO(), pyarrow.Table.from_pylist(table)
    with pyarrow.ipc.new_file(sink, content.schema) as writer:
        writer.write_table(content, max_chunksize=2)
    return sink.getvalue()


def as_stream(table):
    sink, content = io.BytesIO(), pyarrow.Table.from_pylist(table)
    with pyarrow.ipc.new_stream(sink, content.schema) as writer:
        writer.write_table(content, max_chunksize=2)
    return sink.getvalue()


def as_feather(table):
    sink = io.BytesIO()
    feather.write_feather(pyarrow.Table.from_pylist(table), sink, compression="lz4")
    return sink.getvalue()


def in_columns(table):
    return {name: [row[name] for row in table] for name in table[0]}


FORMATS = {
    "jsonl": jsonl,
    "json": lambda table: json.dumps(table, indent=1).encode(),
    "data.json": lambda table: json.dumps({"version": "1.0", "data": table}, ensure_ascii=False).encode(),
    "columns.json": lambda table: json.dumps(in_columns(table)).encode(),
    "csv": as_csv,
    "semicolons.csv": lambda table: as_csv(table, ";"),
    "tsv": lambda table: as_csv(table, "\t"),
    "parquet": as_parquet,
    "arrow": as_arrow,
    "stream.arrow": as_stream,
    "feather": as_feather,
}


def read(folder, *paths, **changes):
    return [row.fields for row in rows(typed_source(paths=list(paths), **changes), folder, "<|endoftext|>")]


def error_of(folder, name, content, **changes):
    (folder / name).write_bytes(content)
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        read(folder, name, **changes)
    assert str(error.value).startswith(f"{folder / name}: ")
    return str(error.value).removeprefix(f"{folder / name}: ")


@pytest.mark.parametrize("ending", PACK)
@pytest.mark.parametrize("name", FORMATS)
def test_every_format_and_packing_gives_the_same_rows(tmp_path, name, ending):
    (tmp_path / f"a.{name}{ending}").write_bytes(PACK[ending](FORMATS[name](ROWS)))
    assert read(tmp_path, f"a.{name}{ending}") == ROWS


@pytest.mark.parametrize("ending", PACK)
@pytest.mark.parametrize("name", ["jsonl", "json", "parquet", "arrow", "stream.arrow"])
@pytest.mark.parametrize("lie", ["a.json", "a.jsonl", "a.csv", "a.data", "a", "a.jsonl.gz", "a.parquet.xz"])
def test_a_name_that_lies_or_says_nothing_changes_nothing(tmp_path, name, ending, lie):
    (tmp_path / lie).write_bytes(PACK[ending](FORMATS[name](ROWS[:2])))
    assert read(tmp_path, lie) == ROWS[:2]


@pytest.mark.parametrize("ending", PACK)
def test_text_stays_text_whatever_it_begins_with(tmp_path, ending):
    (tmp_path / f"a.txt{ending}").write_bytes(PACK[ending](b'{"prompt": "in a book"}'))
    assert read(tmp_path, f"a.txt{ending}") == [{"text": '{"prompt": "in a book"}'}]


TABLES = st.lists(
    st.fixed_dictionaries(
        dict.fromkeys(("prompt", "chosen"), st.text('aé好 ,;\t|"\n\r{[', min_size=1, max_size=12)),
    ),
    min_size=1,
    max_size=5,
)


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(
    table=TABLES,
    name=st.sampled_from(list(FORMATS)),
    ending=st.sampled_from(list(PACK)),
    turned=st.booleans(),
    cut=st.integers(0, 5),
)
def test_packing_shards_and_the_order_of_columns_change_no_row(tmp_path, table, name, ending, turned, cut):
    written = [dict(reversed(row.items())) if turned else row for row in table]
    for number, shard in enumerate((written[:cut], written[cut:])):
        path = tmp_path / f"{number}.{name}{ending}"
        path.unlink(missing_ok=True)
        if shard:
            path.write_bytes(PACK[ending](FORMATS[name](shard)))
    assert read(tmp_path, f"?.{name}{ending}") == table


@pytest.mark.parametrize(
    ("packing", "content"),
    [
        ("gzip", gzip.compress(jsonl(ROWS), 1)),
        ("bzip2", bz2.compress(jsonl(ROWS))),
        ("xz", lzma.compress(jsonl(ROWS))),
        ("zstd", zstd(jsonl(ROWS))),
    ],
)
def test_a_broken_packing_is_named(tmp_path, packing, content):
    assert error_of(tmp_path, "a.jsonl", content[:-9]).startswith(("after line", f"broken {packing} file"))
    assert f"broken {packing} file: " in error_of(tmp_path, "a.jsonl", content[:-9])
    parts = [PACK[{"gzip": ".gz", "bzip2": ".bz2", "xz": ".xz", "zstd": ".zst"}[packing]](jsonl([row])) for row in ROWS]
    (tmp_path / "a.jsonl").write_bytes(b"".join(parts))  # as cat and parallel packers write them
    assert read(tmp_path, "a.jsonl") == ROWS
    assert f"broken {packing} file: " in error_of(
        tmp_path, "a.parquet", PACK[".gz"](as_parquet(ROWS))[:-9] if packing == "gzip" else content[:-9]
    )


def test_older_and_parallel_forms_of_a_packing_are_read(tmp_path):
    (tmp_path / "a.lzma").write_bytes(lzma.compress(jsonl(ROWS), lzma.FORMAT_ALONE))
    (tmp_path / "b.zst").write_bytes(b"\x50\x2a\x4d\x18\x04\x00\x00\x00skip" + zstd(jsonl(ROWS)))
    assert read(tmp_path, "a.lzma") == read(tmp_path, "b.zst") == ROWS


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"PK\x03\x04\x14\x00", "a zip archive or an Excel workbook; unpack it, or save the sheet as CSV"),
        (gzip.compress(b"a.jsonl".ljust(257, b"\0") + b"ustar\x0000"), "an archive; unpack it and name its files"),
        (gzip.compress(gzip.compress(b"{}")), "packed twice; unpack it once"),
        (b"\x04\x22\x4d\x18\x64", "packed by lz4; unpack it"),
        (b"FEA1\x00\x00\x00\x00", "Feather of version 1; read it with pandas.read_feather"),
        (b"\x80\x04\x95\x0b", "a pickle, which is not read, for it can run any code"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "a pointer of Git LFS in place of the data"),
        ('{"prompt": "hi"}'.encode("utf-16-le"), "UTF-16 without its byte order mark; save it as UTF-8"),
        ('{"prompt": "hi"}'.encode("utf-16-be"), "UTF-16 without its byte order mark; save it as UTF-8"),
    ],
    ids=lambda value: value if isinstance(value, str) else "content",
)
def test_what_is_no_file_of_rows_is_named_with_the_way_to_one(tmp_path, content, said):
    for name in ("a.jsonl", "a.parquet", "a.csv", "a"):
        assert error_of(tmp_path, name, content).startswith(said)


def test_a_format_that_the_file_is_not_is_refused(tmp_path):
    said = error_of(tmp_path, "a.data", as_parquet(ROWS), format="jsonl")
    assert said == "holds parquet, but the source's format is jsonl; set it to auto"
    assert error_of(tmp_path, "a.arrow", jsonl(ROWS), format="arrow").startswith("not a readable Arrow file: ")
    assert read(tmp_path, "a.arrow", format="jsonl") == ROWS
    (tmp_path / "b.data").write_bytes(as_csv(ROWS))
    assert read(tmp_path, "b.data", format="csv") == ROWS
    assert format_of(tmp_path / "a.arrow") == "json"


# JSON


@pytest.mark.parametrize(
    "content",
    [
        {"data": ROWS},
        {"questions": ROWS},
        {"version": 1, "data": ROWS, "licence": None},
        {"schema": {"fields": [{"name": "prompt"}]}, "data": ROWS},  # pandas, orient='table'
        {"prompt": "a column that is none", "data": ROWS},
        {"name": "mine", "examples": ROWS},
        {name: dict(zip("012", cells, strict=True)) for name, cells in in_columns(ROWS).items()},  # pandas' usual form
    ],
    ids=lambda content: "-".join(content),
)
@pytest.mark.parametrize("indent", [None, 2])
def test_one_object_that_holds_the_rows_gives_them(tmp_path, content, indent):
    (tmp_path / "a.json").write_text(json.dumps(content, indent=indent))
    assert read(tmp_path, "a.json") == ROWS
    (tmp_path / "b.jsonl").write_text(json.dumps(content, indent=indent) + "\n")
    is_row = indent is None and "data" not in content  # the name says that a line is a row
    assert read(tmp_path, "b.jsonl") == ([content] if is_row else ROWS)


TURNS = [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "hi", "response": "ho"},
        {"messages": TURNS},
        {"messages": []},
        {"conversations": [{"from": "human", "value": "hi"}], "id": "1"},
        {"prompt": TURNS, "chosen": TURNS, "rejected": TURNS},
        {"messages": TURNS, "tools": [{"type": "function"}]},
        {"instruction": "hi", "candidates_seen": [{"text": "a", "score": 1}, {"text": "b", "score": 2}]},
        {"completions": [{"text": "a"}], "id": 1},
        {"id": 1, "annotations": [{"result": []}], "data": {"prompt": "hi"}},
        {"info": {"post": "hi"}, "summaries": [{"text": "a"}, {"text": "b"}], "choice": 1},
        {"talk": TURNS},
        {"prompt": "hi", "responses": ["a", "b"], "scores": [1, 2]},
        {"info": {"0": "a"}, "prompt": "hi"},
        {},
    ],
    ids=lambda row: "-".join(row),
)
@pytest.mark.parametrize("indent", [None, 2])
def test_one_object_that_is_a_row_stays_one(tmp_path, row, indent):
    (tmp_path / "a.json").write_text(json.dumps(row, indent=indent))
    (tmp_path / "b.jsonl").write_text(json.dumps(row, indent=indent) + "\n")
    assert read(tmp_path, "a.json") == read(tmp_path, "b.jsonl") == [row]


@pytest.mark.parametrize("indent", [None, 2])
def test_objects_one_after_another_are_rows_whatever_they_hold(tmp_path, indent):
    written = [{"data": ROWS}, {"prompt": ["a"], "chosen": ["b"]}, *ROWS]
    (tmp_path / "a.json").write_text("\n\n".join(json.dumps(row, indent=indent) for row in written) + "\n")
    assert read(tmp_path, "a.json") == read(tmp_path, "a.json", format="jsonl") == written


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"train": ROWS, "test": ROWS}, "one object with several lists of objects (train, test)"),
        ({"data": ROWS, "errors": [{"line": 3}]}, "one object with several lists of objects (data, errors)"),
        ({"data": [*ROWS, 7]}, "data 4: expected a JSON object, got int"),
        ({"data": [{"a": 1}], "messages": TURNS}, "one object with several lists of objects (data, messages)"),
        (
            {"prompt": ["a", "b"], "chosen": ["c"]},
            "one object of columns that differ in length: prompt 2, chosen 1; ",
        ),
        ({"columns": ["a", "b"], "index": [0], "data": [["c", "d"]]}, "one object of columns that differ in length"),
        ({"0": ROWS[0], "1": ROWS[1]}, "objects under numbers, not in a list; pandas writes rows with to_json("),
        ({"prompt": {"0": "a"}, "chosen": {"1": "b"}}, "value 1 stands under 0, 1; pandas writes rows"),
        ({"data": [{"prompt": "\ud83d"}]}, "record 1: \\ud83d is half of a character; write both halves, or neither"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_one_object_that_may_hold_several_things_is_refused_by_its_keys(tmp_path, content, said):
    assert error_of(tmp_path, "a.json", json.dumps(content, indent=1).encode()).startswith(said)


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b'{"data": [{"prompt": "hi"},]}', "line 1, column 28: not valid JSON"),
        (b'{"data": [{"prompt": "hi"}]', "line 1, column 28: not valid JSON: Expecting ',' delimiter"),
        (b'{"data" [{"prompt": "hi"}]}', "line 1, column 9: not valid JSON: Expecting ':' delimiter"),
        (
            b'{"n": 1,\n data: []}',
            "line 2, column 2: not valid JSON: Expecting property name enclosed in double quotes",
        ),
        (b'{\n"a": 1\n}\n{\n"a": 1,, }', "line 5, column 8: not valid JSON"),
        (b'{"a": 1}\n{"a": "half \\ud83d"}\n', "line 2: \\ud83d is half of a character; write both halves, or neither"),
    ],
)
def test_a_mistake_in_one_object_has_line_and_column(tmp_path, content, place):
    assert error_of(tmp_path, "a.json", content).startswith(place)
    assert error_of(tmp_path, "b.jsonl", content).startswith(place)


def test_an_empty_list_of_rows_holds_none(tmp_path):
    (tmp_path / "a.json").write_text('{"data": [], "count": 0}')
    assert read(tmp_path, "a.json") == []


def test_the_cells_of_a_row_count_together_though_they_stand_apart(tmp_path):
    content = json.dumps({"prompt": ["a", "b" * 600], "chosen": ["c", "d" * 600]}).encode()
    assert error_of(tmp_path, "a.json", content, max_row_mb=0.001).startswith("row 2: a row of more than 0.001 MB")
    assert len(read(tmp_path, "a.json", max_row_mb=0.002)) == 2


@pytest.mark.parametrize("number", [1234567, -12.5, 1e300, -1.25e-7, 0])
@pytest.mark.parametrize("block", range(1, 9))
def test_a_number_is_read_whole_wherever_a_block_ends(tmp_path, monkeypatch, number, block):
    monkeypatch.setattr("rlhf.collection.bounded.BLOCK", block)
    (tmp_path / "a.json").write_text(json.dumps({"n": number, "data": [{"n": number}]}))
    (tmp_path / "b.json").write_text(json.dumps({"n": [number, number]}))
    assert read(tmp_path, "a.json", "b.json") == [{"n": number}] * 3


# CSV


def table(folder, content, **changes):
    (folder / "a.csv").write_bytes(content.encode())
    return read(folder, "a.csv", **changes)


@pytest.mark.parametrize(
    ("content", "row"),
    [
        ("prompt, chosen , rejected\nP,A,B\n", {"prompt": "P", "chosen": "A", "rejected": "B"}),
        ('prompt, chosen\nP, "a, b"\n', {"prompt": "P", "chosen": "a, b"}),
        ('prompt;"a,b,c"\nP;A, or\n', {"prompt": "P", "a,b,c": "A, or"}),
        ("prompt\tchosen\nP\tA,B;C\n", {"prompt": "P", "chosen": "A,B;C"}),
        ("prompt|chosen\nP|A,B\n", {"prompt": "P", "chosen": "A,B"}),
        ("prompt,a;b\nP,A\n", {"prompt": "P", "a;b": "A"}),
        ("prompt\nP;A,B\n".replace(",", "."), {"prompt": "P;A.B"}),
        ('sep=;\nprompt;chosen\nP;"A;B"\n', {"prompt": "P", "chosen": "A;B"}),
        ("prompt,chosen\rP,A\r", {"prompt": "P", "chosen": "A"}),
        ('prompt,chosen\rP,"A\rB"', {"prompt": "P", "chosen": "A\rB"}),
        ('prompt,chosen\r\nP,"A\r\nB\rC"\r\n', {"prompt": "P", "chosen": "A\r\nB\rC"}),
        ("prompt,chosen\nNone,NA\n", {"prompt": "None", "chosen": "NA"}),
        ("prompt,chosen\nnull,\n", {"prompt": "null", "chosen": ""}),
        (",prompt,\n0,P,\n", {"": "", "prompt": "P"}),
    ],
)
def test_the_header_line_tells_how_a_table_is_written(tmp_path, content, row):
    assert table(tmp_path, content) == [row]


def test_where_two_delimiters_stand_as_often_the_name_decides(tmp_path):
    for name, row in (("a.tsv", {"prompt,as": "P", "chosen": "A"}), ("a.csv", {"prompt": "P\tA", "as\tchosen": "B"})):
        (tmp_path / name).write_text("prompt,as\tchosen\n" + ("P\tA\n" if name == "a.tsv" else "P\tA,B\n"))
        assert read(tmp_path, name) == [row]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"prompt,response, response\nP,a,b\n", "line 1: 2 columns have the name 'response'; give each its own"),
        (b"prompt;chosen\nP;A;B\n", "line 2: expected 2 cells (prompt, chosen), got 3"),
        (b"sep=;\nprompt;chosen\nP;A\nP\n", "line 4: expected 2 cells (prompt, chosen), got 1"),
        (b'prompt\tchosen\n"P" said\tA\n', "line 2: not valid CSV: '\t' expected after '\"'; a cell that holds quotes"),
        (b'sep=;\nprompt;chosen\n"P" said;A\n', "line 3: not valid CSV"),
        ("prompt\n你好\n".encode("gbk"), "line 2, column 1: not UTF-8"),
        (b"prompt\rhi\r\xff\r", "line 3, column 1: not UTF-8"),
        ("prompt\nhi\n".encode("utf-16")[:-1], "after line 1: not utf-16-le (truncated data); save it as UTF-8"),
    ],
)
def test_a_table_that_cannot_be_read_right_is_refused(tmp_path, content, said):
    assert error_of(tmp_path, "a.csv", content).startswith(said)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig", "utf-16-be"])
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.json"])
def test_a_byte_order_mark_tells_the_encoding(tmp_path, encoding, name):
    mark = codecs.BOM_UTF16_BE if encoding == "utf-16-be" else b""
    content = {"a.csv": as_csv, "a.jsonl": jsonl, "a.json": FORMATS["json"]}[name](ROWS).decode()
    (tmp_path / name).write_bytes(mark + content.encode(encoding))
    (tmp_path / f"{name}.zst").write_bytes(zstd(mark + content.encode(encoding)))
    assert read(tmp_path, name) == read(tmp_path, f"{name}.zst") == ROWS
    if name != "a.csv":
        (tmp_path / "unnamed").write_bytes((tmp_path / name).read_bytes())
        assert read(tmp_path, "unnamed") == ROWS


@pytest.mark.parametrize("name", ["A.CSV", "A.Csv.GZ", "a.part1.csv"])
def test_an_ending_may_be_written_in_any_way(tmp_path, name):
    (tmp_path / name).write_bytes(as_csv(ROWS))
    assert read(tmp_path, name) == ROWS


def test_a_column_that_stands_twice_in_parquet_and_arrow_is_refused(tmp_path):
    doubled = pyarrow.table([["a"], ["b"]], names=["response", "response"])
    parquet.write_table(doubled, tmp_path / "a.parquet")
    feather.write_feather(doubled, str(tmp_path / "a.feather"))
    for name in ("a.parquet", "a.feather"):
        said = error_of(tmp_path, name, (tmp_path / name).read_bytes())
        assert said == "2 columns have the name 'response'; give each its own"


# Arrow, and folders of save_to_disk


def test_of_an_arrow_file_a_few_rows_are_in_memory(tmp_path):
    content = pyarrow.table({"prompt": ["x" * 2000] * 30_000})
    with pyarrow.ipc.new_stream(tmp_path / "a.arrow", content.schema) as writer:
        writer.write_table(content)
    del content
    before = pyarrow.default_memory_pool().bytes_allocated()
    tracemalloc.start()
    try:
        found = rows(typed_source(paths=["a.arrow"]), tmp_path, "")
        assert next(found).fields == {"prompt": "x" * 2000}
        assert pyarrow.default_memory_pool().bytes_allocated() - before < 100_000
        assert sum(1 for _ in found) == 29_999
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("write", [as_arrow, as_stream, as_feather, as_parquet])
@pytest.mark.parametrize("long", ["x" * 200_000, ["x" * 100] * 2000])
def test_a_long_row_of_a_binary_table_is_refused_by_its_place(tmp_path, write, long):
    short = "hi" if isinstance(long, str) else ["hi"]
    content = write([{"prompt": short}] * 99 + [{"prompt": long}])
    for ending, pack in PACK.items():
        said = error_of(tmp_path, f"a.table{ending}", pack(content), max_row_mb=0.1)
        assert said.startswith("row 100: a row of more than 0.1 MB; part it or leave it out, or raise max_row_mb of")


@pytest.mark.parametrize("write", [as_arrow, as_stream, as_feather, as_parquet])
def test_a_long_row_of_a_binary_table_never_becomes_an_object(tmp_path, write):
    (tmp_path / "a.table").write_bytes(write([{"prompt": "hi"}] * 99 + [{"prompt": "x" * 2_000_000}]))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="row 100: a row of more than 0.1 MB"):
            read(tmp_path, "a.table", max_row_mb=0.1)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_what_rows_share_counts_for_each_row_that_holds_it(tmp_path):
    shared = pyarrow.array([f"{number:03}" + "x" * 1000 for number in range(200)] + ["y" * 5000]).dictionary_encode()
    content = pyarrow.table({"prompt": shared})
    with pyarrow.ipc.new_file(tmp_path / "a.arrow", content.schema) as writer:
        writer.write_table(content)
    assert len(read(tmp_path, "a.arrow", max_row_mb=0.006)) == 201
    said = error_of(tmp_path, "a.arrow", (tmp_path / "a.arrow").read_bytes(), max_row_mb=0.004)
    assert said.startswith("row 201: a row of more than 0.004 MB")


@pytest.fixture
def datasets(tmp_path, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    datasets.disable_progress_bars()
    yield datasets
    datasets.enable_progress_bars()


def test_a_folder_of_save_to_disk_is_its_rows_in_order(tmp_path, datasets, capsys):
    datasets.Dataset.from_list(ROWS * 4).save_to_disk(tmp_path / "real" / "one", num_shards=3)
    assert read(tmp_path, "real/one") == read(tmp_path, "real/*") == read(tmp_path, "real/one/*.arrow") == ROWS * 4
    assert capsys.readouterr().out == ""
    assert len(matches("real/**", tmp_path)) == 5  # three shards, two files about them
    (tmp_path / "real/one/data-00001-of-00003.arrow").unlink()
    with pytest.raises(FileNotFoundError, match=r"state\.json: names .*data-00001-of-00003\.arrow, which is missing"):
        read(tmp_path, "real/one")


def test_of_saved_splits_train_is_read_and_the_others_are_said(tmp_path, datasets, capsys):
    one, other = (datasets.Dataset.from_list(part) for part in (ROWS[:2], ROWS[2:]))
    datasets.DatasetDict({"train": one, "test": other}).save_to_disk(tmp_path / "set")
    assert read(tmp_path, "set") == ROWS[:2]
    said = f"source 'given': {tmp_path / 'set' / 'test'}: not read, for of a folder's splits only train is"
    assert capsys.readouterr().out.startswith(said)
    assert read(tmp_path, "s*") == ROWS[:2]
    assert capsys.readouterr().out.startswith(said)
    assert read(tmp_path, "set/test") == ROWS[2:]
    assert read(tmp_path, "set", "set/test") == ROWS
    assert capsys.readouterr().out == ""
    datasets.DatasetDict({"test": other}).save_to_disk(tmp_path / "held")
    with pytest.raises(FileNotFoundError, match=r"held: no split train; name one of its folders: .*held/test$"):
        read(tmp_path, "held")


def test_what_was_saved_by_save_to_disk_is_no_set_of_the_hub(tmp_path, datasets):
    datasets.Dataset.from_list(ROWS).save_to_disk(tmp_path / "one")
    with pytest.raises(ValueError, match=r"a data set that save_to_disk wrote; set kind: file and paths: \[.*/one\]"):
        list(rows(hub_source(tmp_path / "one"), tmp_path, ""))


def test_a_folder_that_holds_no_saved_set_asks_for_its_files(tmp_path):
    (tmp_path / "real").mkdir()
    with pytest.raises(FileNotFoundError, match=r"^real: a folder; name the files in it, such as real/\*\.jsonl$"):
        read(tmp_path, "real")
    for broken in ('{"_data_files": 3}', '{"_data_files": [3]}', "{}", "[]", "no JSON"):
        (tmp_path / "real" / "state.json").write_text(broken)
        with pytest.raises(FileNotFoundError, match=r"state\.json: not what save_to_disk writes"):
            read(tmp_path, "real")


# The hub's


def hub(folder, content, name="train.csv"):
    (folder / "set").mkdir(exist_ok=True)
    (folder / "set" / name).write_text(content)
    return folder / "set"


@pytest.mark.parametrize("by_reader", [True, False])
def test_words_for_nothing_are_answers_in_a_hub_sets_csv_too(tmp_path, datasets, by_reader):
    folder = hub(tmp_path, "prompt, response,score\nP,None,1\nQ,NA,\nR,null,2\nS,,3\n")
    source = hub_source("csv", folder=str(folder)) if by_reader else hub_source(folder)
    found = [row.fields for row in rows(source, tmp_path, "")]
    assert [row["response"] for row in found] == ["None", "NA", "null", None]
    assert [row["score"] for row in found] == [1.0, None, 2.0, 3.0]


def test_an_error_of_the_library_datasets_keeps_its_cause(tmp_path, datasets):
    hub(tmp_path, '{"a": 1}\n', "train-0.jsonl")
    folder = hub(tmp_path, '{"a": {"b": 1}}\n', "train-1.jsonl")
    with pytest.raises(ValueError, match=r"DatasetGenerationError: .*: TypeError: Couldn't cast array of type struct"):
        list(rows(hub_source(folder), tmp_path, ""))
    hub(tmp_path, '{"a": "half \\ud83d"}\n', "train-0.jsonl")
    with pytest.raises(ValueError, match=r"source 'hub': .*/set/train: .*The surrogate pair in string is invalid"):
        list(rows(hub_source(folder), tmp_path, ""))

import csv
import gzip
import io
import json
import os
from pathlib import Path

import pytest

from rlhf.collection import sources
from rlhf.collection.bounded import Bound
from rlhf.collection.files.arrow_files import read_parquet
from rlhf.collection.files.json_files import read_json
from rlhf.collection.readers import read_csv, read_jsonl, read_text
from rlhf.collection.sources import format_of, rows
from rlhf.params.base import parse
from rlhf.params.collect_prompts import HubSource, WorldSource, inputs, matches
from rlhf.world.source import records
from tests.collect_prompts_section import section, source, typed, typed_source

WIDE = Bound(10**6, "given")
ROWS = [
    {"prompt": "Name a colour, please", "response": 'Red,\nor "blue"'},
    {"prompt": "你好", "response": "你好！"},
    {"prompt": "x" * 200_000, "response": "long cells are read"},
]


def fields(found):
    return [row.fields for row in found]


def table(delimiter):
    text = io.StringIO()
    writer = csv.DictWriter(text, list(ROWS[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(ROWS)
    return text.getvalue()


def write(path: Path, text: str) -> Path:
    content = text.encode("utf-8")
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("name", ["jsonl", "json", "csv", "tsv"])
def test_every_text_format_gives_the_same_rows(tmp_path, name, ending):
    texts = {
        "jsonl": "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS),
        "json": json.dumps(ROWS, ensure_ascii=False, indent=1),
        "csv": table(","),
        "tsv": table("\t"),
    }
    path = write(tmp_path / f"a.{name}{ending}", texts[name])
    assert fields(rows(typed_source(paths=[path.name]), tmp_path, "")) == ROWS


def test_a_folder_that_links_lead_to_twice_is_refused_and_not_walked_for_ever(tmp_path):
    (tmp_path / "real/deep").mkdir(parents=True)
    (tmp_path / "real/a.jsonl").write_text("")
    assert matches("real/**/*.jsonl", tmp_path) == [tmp_path / "real/a.jsonl"]
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/b.jsonl").write_text("")
    (tmp_path / "real/link").symlink_to("../outside")
    assert matches("real/**/*.jsonl", tmp_path) == [tmp_path / "real/a.jsonl", tmp_path / "real/link/b.jsonl"]
    for number, target in enumerate(("..", "../..", "../link")):
        link = tmp_path / f"real/deep/{number}"
        link.symlink_to(target)
        with pytest.raises(FileNotFoundError, match="are one folder by a link"):
            matches("real/**/*.jsonl", tmp_path)
        assert matches("real/*.jsonl", tmp_path) == [tmp_path / "real/a.jsonl"]
        link.unlink()


def test_a_project_whose_folder_has_brackets_finds_its_files(tmp_path):
    root = tmp_path / "mine [1]"
    (root / "real").mkdir(parents=True)
    (root / "real/a.jsonl").write_text("")
    assert matches("real/*.jsonl", root) == matches("./real/a.jsonl", root) == [root / "real/a.jsonl"]
    assert matches(str(root.parent / "mine*/real/a.jsonl"), root) == [root / "real/a.jsonl"]


def test_parquet_gives_the_same_rows(tmp_path):
    import pyarrow
    from pyarrow.parquet import write_table

    write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    assert fields(rows(typed_source(paths=["a.parquet"]), tmp_path, "")) == ROWS


def test_a_hub_data_set_may_be_a_local_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "set").mkdir()
    write(tmp_path / "set" / "train.jsonl", "".join(json.dumps(row) + "\n" for row in ROWS[:2]))
    hub = hub_source(tmp_path / "set", limit=1)
    found = list(rows(hub, tmp_path, ""))
    assert fields(found) == ROWS[:1]
    assert found[0].where.endswith("set/train: row 1")


def test_a_hub_data_set_that_cannot_be_read_names_id_and_fix(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"source 'hub'.*empty/train.*check id, subset, split and revision"):
        list(rows(hub_source(tmp_path / "empty"), tmp_path, ""))


@pytest.mark.parametrize("name", ["train.jsonl", "train.zip", "train.jsonl.gz", "train/x.png", "train.parquet"])
@pytest.mark.parametrize("content", [b"", b"PK no zip"])
def test_a_hub_data_set_that_is_broken_in_any_way_is_named(tmp_path, monkeypatch, name, content):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "set" / name).parent.mkdir(parents=True)
    (tmp_path / "set" / name).write_bytes(content)
    with pytest.raises(ValueError, match=r"source 'hub': .*set/train: .*check id, subset, split and revision"):
        list(rows(hub_source(tmp_path / "set"), tmp_path, ""))


def test_a_long_row_of_a_hub_data_set_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "set").mkdir()
    write(tmp_path / "set" / "train.jsonl", json.dumps({"prompt": "hi"}) + "\n" + json.dumps({"prompt": "x" * 2000}))
    with pytest.raises(ValueError, match=r"set/train: row 2: a row of more than 0\.001 MB; .* max_row_mb of"):
        list(rows(hub_source(tmp_path / "set", max_row_mb=0.001), tmp_path, ""))


def hub_source(path, limit=None, **changes):
    content = {"name": "hub", "kind": "hub", "id": str(path), "subset": None, "folder": None, "split": "train"}
    content |= {"revision": None, "use": ["prompts"], "splits": ["ppo"], "columns": None, "language": None}
    return parse(HubSource, content | {"category": None, "limit": limit, "licence": None} | changes, "source")


@pytest.mark.parametrize(
    ("reader", "content", "place"),
    [
        (read_jsonl, b'{"a": 1}\n\n{"a": 1,, }\n', "line 3, column 9: not valid JSON"),
        (read_jsonl, b'{"a": 1}\n[1]\n', "line 2: expected a JSON object, got list"),
        (read_jsonl, b'{"a": 1}\n{"a": "\xff"}\n', "line 2, column 8: not UTF-8"),
        (read_json, b'[{"a": 1},\n {"a": 1\n]', "line 3, column 1: not valid JSON"),
        (read_json, b'[{"a": 1}, 2]', "record 2: expected a JSON object, got int"),
        (lambda path, bound: read_csv(path, bound, ","), b"a,b\n1,2\n\n3\n", "line 4: expected 2 cells (a, b), got 1"),
        (lambda path, bound: read_csv(path, bound, ","), b'a,b\n1,"2\n', "line 2: not valid CSV"),
        (lambda path, bound: read_csv(path, bound, ","), b"", "line 1: expected a header line"),
        (read_parquet, b"PAR1 but not really", "not a readable Parquet file"),
    ],
)
def test_broken_data_names_file_line_and_column(tmp_path, reader, content, place):
    path = tmp_path / "broken.data"
    path.write_bytes(content)
    with pytest.raises(ValueError) as error:
        list(reader(path, WIDE))
    assert str(error.value).startswith(f"{path}: {place}")


def test_a_truncated_gzip_file_is_named(tmp_path):
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"a": 1}\n' * 1000)[:-10])
    with pytest.raises(ValueError, match=r"a\.jsonl\.gz: after line \d+: broken gzip file"):
        list(read_jsonl(path, WIDE))


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"\xef\xbb\xbfprompt\nhello\n")
    assert fields(read_csv(path, WIDE, ",")) == [{"prompt": "hello"}]


def test_documents_end_at_the_separator_line_or_else_at_the_end_of_the_file(tmp_path):
    path = write(tmp_path / "a.txt", "one\n\nstill one\n<|endoftext|>\n\ntwo\n<|endoftext|>\n")
    assert fields(read_text(path, WIDE, "<|endoftext|>")) == [{"text": "one\n\nstill one"}, {"text": "two"}]
    assert fields(read_text(path, WIDE, "no such line")) == [{"text": path.read_text().strip()}]
    assert fields(read_text(path, WIDE, ""))[0] == {"text": "one"}


def test_globs_are_read_in_order_and_limit_counts_rows_of_all_files(tmp_path):
    for name in "ba":
        write(tmp_path / f"{name}.jsonl", "".join(json.dumps({"prompt": f"{name}{n}"}) + "\n" for n in range(2)))
    found = rows(typed_source(paths=["*.jsonl"], limit=3), tmp_path, "")
    assert [row["prompt"] for row in fields(found)] == ["a0", "a1", "b0"]


def test_an_unknown_ending_asks_for_the_format(tmp_path):
    write(tmp_path / "a.xlsx", "PK")
    with pytest.raises(
        ValueError, match=r"a\.xlsx: neither what it begins with nor its ending tells its format \(\.jsonl, "
    ):
        format_of(tmp_path / "a.xlsx")
    path = write(tmp_path / "a.data", '{"prompt": "hi"}\n')
    assert fields(rows(typed_source(paths=[path.name], format="jsonl"), tmp_path, "")) == [{"prompt": "hi"}]


def test_a_missing_file_is_named_with_its_source_and_place(tmp_path):
    write(tmp_path / "a.jsonl", "{}\n")
    params = typed(section([source("one", "a.jsonl"), source("two", "missing/*.jsonl")])).collect_prompts
    with pytest.raises(FileNotFoundError, match=r"collect_prompts\.sources\.1\.paths \(source 'two'\): missing/\*"):
        inputs(params, tmp_path)
    assert inputs(typed(section([source("one", "*.jsonl")])).collect_prompts, tmp_path) == [tmp_path / "a.jsonl"]


@pytest.mark.skipif("SHARED_DATA" not in os.environ, reason="SHARED_DATA names no folder of real data sets")
def test_real_files_are_read():
    folder = Path(os.environ["SHARED_DATA"])
    paths = [str(path) for path in sorted(folder.glob("*.gz"))]
    assert paths
    for path in paths:
        assert list(rows(typed_source(paths=[path], limit=20), folder, "<|endoftext|>"))


def test_a_worlds_copy_probes_know_their_kind_and_the_word_that_follows():
    world = {"name": "w", "kind": "world", "seed": 3, "documents": 1, "prompts": 1, "facts": "seen", "copy_probes": 9}
    probes = sources.copy_probes(WorldSource(**world, use=["documents", "prompts"], splits=["ppo"]))
    assert len(probes) == 9
    for probe in probes:
        assert set(probe) == {"kind", "text", "expected", "type"}
        assert probe["kind"] == "copy_probe"
        assert probe["expected"] in probe["text"]
    assert sources.copy_probes(typed_source(paths=["a.jsonl"])) == []


def test_a_world_made_in_parts_is_the_world_made_whole(tmp_path, monkeypatch):
    world = {"name": "w", "kind": "world", "seed": 3, "documents": 30, "prompts": 40, "facts": "seen", "copy_probes": 0}
    made = WorldSource(**world, use=["documents", "prompts"], splits=["ppo"])
    whole = list(rows(made, tmp_path, ""))
    monkeypatch.setattr(sources, "WORLD_PART", 16)
    assert list(rows(made, tmp_path, "")) == whole
    assert [row.fields for row in whole] == list(records(3, 30, 40, "seen"))
    assert [row.where for row in whole[:2]] == ["source 'w': row 1", "source 'w': row 2"]

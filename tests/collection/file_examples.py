"""The kinds of files that people bring, each with the same two pairs, and what is said of those that are refused."""

import bz2
import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tests.collection.format_examples import BAD, GOOD, P, pair, user

ROWS = [{"prompt": P, "chosen": GOOD, "rejected": BAD}, {"prompt": f"{P}\n\nSoon.", "chosen": GOOD, "rejected": BAD}]
RIGHT = [pair(), pair([user(f"{P}\n\nSoon.")])]
PLAIN = [ROWS[0]]  # of one line a cell
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)


class Kind(NamedTuple):
    """A kind of file: its name, and what writes it."""

    name: str
    write: Callable[[Path], None]
    records: list[dict[str, Any]] = RIGHT
    error: str = ""  # what is said of it where it is refused


def _of(content: str | bytes) -> Callable[[Path], None]:
    raw = content.encode() if isinstance(content, str) else content
    return lambda path: _write(path, raw)


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def table(delimiter: str, rows: list[dict[str, str]], end: str = "\n", header: str = "") -> str:
    """Return rows as a table whose cells stand in quotes."""
    lines = [header or delimiter.join(rows[0])]
    lines += [delimiter.join('"' + cell.replace('"', '""') + '"' for cell in row.values()) for row in rows]
    return end.join([*lines, ""])


def _zstd(path: Path) -> None:
    import pyarrow

    arrow: Any = pyarrow
    with arrow.CompressedOutputStream(str(path), "zstd") as file:
        file.write(LINES.encode())


def _parquet(change: Callable[[Any, Any], Any], **options: Any) -> Callable[[Path], None]:
    """Return what writes a Parquet file of the rows' table after a change of it."""

    def write(path: Path) -> None:
        import pyarrow
        from pyarrow import parquet

        arrow: Any = pyarrow
        module: Any = parquet
        module.write_table(change(arrow, arrow.Table.from_pylist(ROWS)), path, **options)

    return write


def _typed(name: str) -> Callable[[Path], None]:
    def change(arrow: Any, rows: Any) -> Any:
        kind = getattr(arrow, name)()
        return rows.cast(arrow.schema([(column, kind) for column in rows.column_names]))

    return _parquet(change)


def _of_turns(arrow: Any, _: Any) -> Any:
    """A struct with role, content, from and value, of which two are null in each row."""
    nulls = {"role": None, "content": None}
    rows = [
        {"prompt": [{**nulls, "from": "human", "value": row["prompt"]}],
         "chosen": [{**nulls, "from": "gpt", "value": GOOD}], "rejected": [{**nulls, "from": "gpt", "value": BAD}]}
        for row in ROWS
    ]  # fmt: skip
    return arrow.Table.from_pylist(rows)


def _scored(arrow: Any, _: Any) -> Any:
    scores = arrow.array([[1, 9]] * 2, arrow.list_(arrow.decimal128(5, 1)))
    return arrow.table({"prompt": [row["prompt"] for row in ROWS], "responses": [[BAD, GOOD]] * 2, "scores": scores})


def _arrow(is_file: bool) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        import pyarrow

        arrow: Any = pyarrow
        rows = arrow.Table.from_pylist(ROWS)
        new = arrow.ipc.new_file if is_file else arrow.ipc.new_stream
        with new(str(path), rows.schema) as writer:
            writer.write_table(rows)

    return write


def _feather(path: Path) -> None:
    import pyarrow
    from pyarrow import feather

    arrow: Any = pyarrow
    module: Any = feather
    module.write_feather(arrow.Table.from_pylist(ROWS), str(path))


def _saved(path: Path) -> None:
    """What save_to_disk of datasets writes: a list of Arrow files beside them."""
    path.mkdir()
    _arrow(is_file=False)(path / "data-00000-of-00001.arrow")
    (path / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}))


def _saved_splits(path: Path) -> None:
    path.mkdir()
    (path / "dataset_dict.json").write_text(json.dumps({"splits": ["train", "test"]}))
    _saved(path / "train")
    _saved(path / "test")


COLUMNS = {name: [row[name] for row in ROWS] for name in ROWS[0]}
NUMPY = "\"[{'role': 'user', 'content': '" + P + "'}\n {'role': 'assistant', 'content': 'ANSWER'}]\""

KINDS = {
    "JSONL": Kind("a.jsonl", _of(LINES)),
    "JSONL, blank lines": Kind("a.jsonl", _of(LINES.replace("\n", "\n\n"))),
    "JSONL, byte order mark": Kind("a.jsonl", _of("\ufeff" + LINES)),
    "JSONL, UTF-16": Kind("a.jsonl", _of(LINES.encode("utf-16"))),
    "JSONL, GBK": Kind("a.jsonl", _of('{"prompt": "什么", "response": "好"}\n'.encode("gbk")), [],
                       "line 1, column 33: not UTF-8"),
    "JSONL, gzip": Kind("a.jsonl.gz", _of(gzip.compress(LINES.encode()))),
    "JSONL, gzip without the name": Kind("a.jsonl", _of(gzip.compress(LINES.encode()))),
    "JSONL, bzip2": Kind("a.jsonl.bz2", _of(bz2.compress(LINES.encode()))),
    "JSONL, xz": Kind("a.jsonl.xz", _of(lzma.compress(LINES.encode()))),
    "JSONL, zstd": Kind("a.jsonl.zst", _zstd),
    "JSONL, half of a character": Kind(
        "a.jsonl", _of(LINES + '{"prompt": "\\ud83d", "chosen": "x", "rejected": "y"}\n'), [],
        "line 3: \\ud83d is half of a character"),
    "JSONL, a trailing comma": Kind("a.jsonl", _of(LINES.replace("}\n", "},\n")), [],
                                    "line 1, column 111: not valid JSON"),
    "JSON, a list": Kind("a.json", _of(json.dumps(ROWS))),
    "JSON, an object a line": Kind("a.json", _of(LINES)),
    "JSON, byte order mark": Kind("a.json", _of("\ufeff" + json.dumps(ROWS))),
    "JSON, a list named JSONL": Kind("a.jsonl", _of(json.dumps(ROWS, indent=1))),
    "JSON, objects one after another": Kind("a.json", _of("\n".join(json.dumps(row, indent=1) for row in ROWS))),
    "JSON, data": Kind("a.json", _of(json.dumps({"version": "1.0", "data": ROWS}, indent=1))),
    "JSON, data beside prompt": Kind("a.json", _of(json.dumps({"prompt": "x", "data": ROWS}, indent=1))),
    "JSON, columns": Kind("a.json", _of(json.dumps(COLUMNS, indent=1))),
    "JSON, pandas' columns": Kind(
        "a.json", _of(json.dumps({name: {"0": cells[0], "1": cells[1]} for name, cells in COLUMNS.items()}))),
    "CSV": Kind("a.csv", _of(table(",", ROWS))),
    "CSV, byte order mark": Kind("a.csv", _of("\ufeff" + table(",", ROWS))),
    "CSV, semicolons": Kind("a.csv", _of(table(";", ROWS))),
    "CSV, carriage returns": Kind("a.csv", _of(table(",", PLAIN, "\r")), RIGHT[:1]),
    "CSV, both line ends": Kind("a.csv", _of(table(",", ROWS, "\r\n"))),
    "CSV, an index": Kind("a.csv", _of(table(",", [{"": str(index), **row} for index, row in enumerate(ROWS)]))),
    "CSV, blanks in the header": Kind("a.csv", _of(table(",", ROWS, header="prompt, chosen, rejected"))),
    "CSV, a name twice": Kind("a.csv", _of("prompt,response,response\na,b,c\n"), [],
                              "line 1: 2 columns have the name 'response'"),
    "CSV, NumPy's message lists": Kind(
        "a.csv", _of(f"chosen,rejected\n{NUMPY.replace('ANSWER', GOOD)},{NUMPY.replace('ANSWER', BAD)}\n"),
        RIGHT[:1]),
    "CSV, None, NA and null": Kind(
        "a.csv", _of(table(",", [{"prompt": P, "chosen": "NA", "rejected": "None"}])),
        [{**pair(), "responses": ["NA", "None"]}]),
    "TSV": Kind("a.tsv", _of(table("\t", ROWS))),
    "TSV, stray quotes": Kind("a.tsv", _of(f"prompt\tchosen\trejected\n{P}\t\"{GOOD}\" x\t{BAD}\n"), [],
                              "line 2: not valid CSV"),
    "Parquet, texts": Kind("a.parquet", _parquet(lambda _, rows: rows)),
    "Parquet, dictionaries": Kind("a.parquet", _parquet(lambda _, rows: rows, use_dictionary=True)),
    "Parquet, large_string": Kind("a.parquet", _typed("large_string")),
    "Parquet, string_view": Kind("a.parquet", _typed("string_view")),
    "Parquet, turns with nulls": Kind("a.parquet", _parquet(_of_turns)),
    "Parquet, decimals": Kind("a.parquet", _parquet(_scored), [],
                              "column 'scores': expected finite numbers, got Decimal"),
    "Parquet, gzip": Kind("a.parquet.gz", lambda path: _packed(path, _parquet(lambda _, rows: rows))),
    "Arrow, a file": Kind("a.arrow", _arrow(is_file=True)),
    "Arrow, a stream": Kind("a.arrow", _arrow(is_file=False)),
    "Feather": Kind("a.feather", _feather),
    "save_to_disk, one data set": Kind("a", _saved),
    "save_to_disk, splits": Kind("a", _saved_splits),
    "Excel": Kind("a.xlsx", _of(b"PK\x03\x04x"), [],
                  "a zip archive or an Excel workbook; unpack it, or save the sheet as CSV"),
    "pickle": Kind("a.pkl", _of(b"\x80\x04x"), [], "a pickle, which is not read"),
}  # fmt: skip


def _packed(path: Path, write: Callable[[Path], None]) -> None:
    write(path)
    path.write_bytes(gzip.compress(path.read_bytes()))

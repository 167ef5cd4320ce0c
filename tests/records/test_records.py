"""Records: JSONL in and out, and the pairs in rankings."""

import pytest

from rlhf.records import records
from rlhf.records.types import Prompt


def test_records_come_back_as_they_were_written(tmp_path):
    written = [{"kind": "prompt", "text": '你好\u2028 "x"', "n": 1}, {"kind": "prompt", "labels": [{"scores": None}]}]
    path = tmp_path / "deep" / "records.jsonl"
    assert records.write(path, iter(written)) == 2
    assert records.read(path, Prompt) == written
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") == 2
    assert "你好\u2028" in text  # as it is: a person reads the file


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"a": 1,}', r"bad\.jsonl: line 2, column 9: not valid JSON"),
        ("", r"bad\.jsonl: line 2, column 1: not valid JSON"),
        ("[1, 2]", r"bad\.jsonl: line 2: expected a JSON object, got list"),
        ('{"kind": "document"}', r"bad\.jsonl: line 2: expected a record of kind 'prompt', got 'document'"),
        ('{"id": "a"}', r"bad\.jsonl: line 2: expected a record of kind 'prompt', got no field 'kind'"),
    ],
)
def test_a_broken_line_is_named_by_file_line_and_column(tmp_path, line, message):
    path = tmp_path / "bad.jsonl"
    path.write_text(f'{{"kind": "prompt"}}\n{line}\n{{"kind": "prompt"}}\n')
    with pytest.raises(ValueError, match=message):
        records.read(path, Prompt)


def test_a_file_that_is_not_utf_8_is_named(tmp_path):
    path = tmp_path / "latin.jsonl"
    path.write_bytes(b'{"kind": "prompt"}\n{"a": "\xe9"}\n')
    with pytest.raises(ValueError, match=r"latin\.jsonl.*UTF-8"):
        records.read(path, Prompt)


def test_a_number_that_json_does_not_know_is_not_written(tmp_path):
    with pytest.raises(ValueError):
        records.write(tmp_path / "x.jsonl", [{"score": float("inf")}])
    assert not (tmp_path / "x.jsonl").exists()


def test_pairs_put_the_better_first_and_drop_ties():
    assert records.pairs([2, 1, 3, 2]) == [(1, 0), (0, 2), (1, 2), (1, 3), (3, 2)]
    assert records.pairs([1, 1, 1]) == []


def test_ranks_are_dense_and_shared_by_equal_scores():
    assert records.ranks_of([0.5, 0.9, 0.5, 0.1]) == [2, 1, 2, 3]
    assert records.ranks_of([]) == []

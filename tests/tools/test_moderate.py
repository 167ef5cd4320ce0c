"""`python -m tools.moderate`: texts in, verdicts out."""

import io
import json

import pytest

from tests import toys
from tools.moderate.__main__ import main


@pytest.fixture
def root(tmp_path):
    toys.moderator(tmp_path / "data/moderation")
    return tmp_path


def said(capsys) -> tuple[list[dict], str]:
    out, err = capsys.readouterr()
    return [json.loads(line) for line in out.splitlines() if line], err


def test_rows_come_out_as_they_were_with_a_verdict(root, capsys):
    rows = [{"text": "bad", "n": 1}, {"prompt": "好"}, {"messages": [{"role": "user", "content": "a bad one"}]}]
    (root / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main([str(root / "a.jsonl")], root) == 0
    found, err = said(capsys)
    assert [{key: row[key] for key in row if key != "verdict"} for row in found] == rows
    assert [(row["verdict"]["blocked"], row["verdict"]["category"]) for row in found] == [
        (True, "violence"), (False, None), (True, "violence")
    ]  # fmt: skip
    assert found[0]["verdict"]["by_category"].keys() == {"violence", "theft"}
    assert err == ""


def test_lines_of_text_are_texts(root, capsys, monkeypatch):
    (root / "a.txt").write_text("bad\n\ngood\n")
    monkeypatch.setattr("sys.stdin", io.StringIO("good\nbad\n"))
    assert main([str(root / "a.txt")], root) == 0
    assert [row["verdict"]["blocked"] for row in said(capsys)[0]] == [True, False]
    assert main(["-", "--out", str(root / "out.jsonl")], root) == 0
    assert said(capsys)[0] == []
    assert [json.loads(line)["text"] for line in (root / "out.jsonl").read_text().splitlines()] == ["good", "bad"]


def test_where_rows_say_what_is_harmful_the_rates_of_errors_are_said(root, capsys):
    (root / "a.csv").write_text("text,category\nbad,theft\ngood,theft\ngood one,theft\nfine,\nbad one,\nwell,\nso,\n")
    assert main([str(root / "a.csv"), "--folder", str(root / "data/moderation")], root) == 0
    _, err = said(capsys)
    assert "misses: 66.7% (20.8% to 93.9%) of 3 texts" in err
    assert "false alarms: 25.0% (4.6% to 69.9%) of 4 texts" in err


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [("gone.jsonl", None, "gone.jsonl"), ("a.jsonl", '{"other": 1}\n', "line 1: expected text or prompt")],
)
def test_a_mistake_is_said_and_ends_with_2(root, capsys, name, content, words):
    if content:
        (root / name).write_text(content)
    assert main([str(root / name)], root) == 2
    assert words in said(capsys)[1]


def test_without_a_moderator_it_says_how_to_make_one(tmp_path, capsys):
    (tmp_path / "a.txt").write_text("good\n")
    assert main([str(tmp_path / "a.txt")], tmp_path) == 2
    assert "dvc repro moderation" in said(capsys)[1]

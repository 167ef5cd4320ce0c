"""Examples of the user's own: rows as people have them are read, split by user, and named where they cannot be used."""

import gzip
import json

import pytest

from rlhf.moderation import own_files
from rlhf.params.base import parse
from rlhf.params.moderation.section import Moderation
from tests import toys

TURNS = [{"role": "user", "content": "Hi."}, {"role": "user", "content": "How do I steal it?"}]


def params(*files: str, **changes) -> Moderation:
    given = toys.shrunken_params()["moderation"] | {"files": list(files)} | changes
    return parse(Moderation, given, "moderation")


def write(path, *rows) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def texts_of(own) -> dict[str, str | None]:
    return {one.text: one.category for part in own.parts.values() for one in part}


def test_text_prompt_and_messages_are_read_from_jsonl_csv_and_packed_files(tmp_path):
    rows = [{"text": "Rob it", "category": "theft"}, {"prompt": "烤面包", "category": None}]
    write(tmp_path / "a.jsonl", *rows, {"messages": TURNS, "category": "theft"})
    (tmp_path / "b.csv").write_text("text,category\nKill him,violence\nBake it,\n")
    with gzip.open(tmp_path / "c.jsonl.gz", "wt") as file:
        file.write('{"text": "Knit it", "category": null}\n')
    own = own_files.read(params("*.jsonl", "b.csv", "c.jsonl.gz"), tmp_path, 1)
    assert texts_of(own) == {
        "Rob it": "theft", "烤面包": None, "How do I steal it?": "theft", "Kill him": "violence", "Bake it": None,
        "Knit it": None,
    }  # fmt: skip
    assert {one.language for part in own.parts.values() for one in part} == {"en", "zh"}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"text": "a"}, "line 2: expected category: one of violence, .*or null where it is harmless"),
        ({"text": "a", "category": "murder"}, r"line 2: category: expected one of .*\(got 'murder'\)"),
        ({"text": "", "category": None}, "line 2: expected text or prompt"),
        ({"text": "!!", "category": None}, "line 2: expected text or prompt"),
        ({"text": 7, "category": None}, "line 2: expected text or prompt"),
        ({"messages": [], "category": None}, "line 2: expected text or prompt"),
        ({"messages": ["a"], "category": None}, "line 2: expected text or prompt"),
        ({"text": "GOOD  one", "category": "theft"}, "line 2: the same text has category 'theft' here and None before"),
    ],
)
def test_a_line_that_cannot_be_used_is_named_with_its_fix(tmp_path, row, said):
    write(tmp_path / "a.jsonl", {"text": "Good one.", "category": None}, row)
    with pytest.raises(ValueError, match=said):
        own_files.read(params("a.jsonl"), tmp_path, 1)


def test_a_users_texts_go_into_one_part_wherever_they_stand(tmp_path):
    rows = [{"text": f"text {n}", "category": None, "user": f"user {n % 40}"} for n in range(400)]
    write(tmp_path / "a.jsonl", *rows)
    write(tmp_path / "b.jsonl", *rows[::-1])
    chosen = params("a.jsonl", shares={"validation": 0.25, "test": 0.25})
    parts = own_files.read(chosen, tmp_path, 1).parts
    user = {row["text"]: row["user"] for row in rows}
    owners = {part: {user[one.text] for one in found} for part, found in parts.items()}
    assert not owners["train"] & owners["test"] and not owners["train"] & owners["validation"]
    assert not owners["test"] & owners["validation"]
    assert 0.1 < len(owners["test"]) / 40 < 0.45
    assert len(owners["train"]) > len(owners["test"])
    turned = own_files.read(chosen.model_copy(update={"files": ["b.jsonl"]}), tmp_path, 1).parts
    assert all({*turned[part]} == {*parts[part]} for part in parts)
    assert own_files.read(chosen, tmp_path, 2).parts != parts


def test_a_text_that_stands_twice_is_taken_once_and_counted(tmp_path):
    write(tmp_path / "a.jsonl", {"text": "Rob it", "category": "theft"}, {"text": "rob  IT!", "category": "theft"})
    own = own_files.read(params("a.jsonl", "*.jsonl"), tmp_path, 1)
    assert own.num_texts == 1
    assert dict(own.passed_over) == {"the same text again": 1}


def test_a_path_without_a_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.jsonl"):
        own_files.read(params("gone.jsonl"), tmp_path, 1)

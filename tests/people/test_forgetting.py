"""Who asked to be forgotten is known by a sum, up to the time of asking; lines leave a journal by that alone."""

import pytest

from rlhf.people import forgetting, journal
from rlhf.people.forgetting import FILE, Forgotten

BEFORE, WHEN, AFTER = ("2026-01-01T00:00:00+00:00", "2026-01-02T00:00:00+00:00", "2026-01-02T01:00:00+00:00")


def test_what_was_said_before_is_forgotten_and_what_is_said_after_is_not(tmp_path):
    forgetting.remember(tmp_path, "ada", WHEN)
    found = Forgotten([tmp_path])
    assert found.holds("ada", BEFORE)
    assert found.holds("ada", WHEN)
    assert found.holds("ada", None)
    assert found.holds("ada", "no time")
    assert found.holds("ada", "2026-01-02T01:00:00+02:00")  # an hour before, in another zone
    assert not found.holds("ada", AFTER)
    assert not found.holds("bob", BEFORE)
    assert not found.holds(None, BEFORE)


def test_the_latest_asking_counts_and_several_folders_are_heard(tmp_path):
    forgetting.remember(tmp_path / "a", "ada", AFTER)
    forgetting.remember(tmp_path / "a", "ada", BEFORE)
    forgetting.remember(tmp_path / "b", "bob", WHEN)
    found = Forgotten([tmp_path / "a", tmp_path / "b", tmp_path / "none"])
    assert found.holds("ada", AFTER)
    assert found.holds("bob", WHEN)
    assert len(found) == 2


def test_no_name_is_written(tmp_path):
    forgetting.remember(tmp_path, "ada", WHEN)
    forgetting.remember(tmp_path, "bob", WHEN)
    text = (tmp_path / FILE).read_text()
    assert "ada" not in text
    assert "bob" not in text
    assert len({line.content["salt"] for line in journal.read(tmp_path / FILE)[0]}) == 1


@pytest.mark.parametrize("text", ['{"kind": "forgotten"}\n', "torn", '{"who": "a", "salt": "b", "at": "never"}\n'])
def test_a_note_that_cannot_be_read_is_an_error(tmp_path, text):
    (tmp_path / FILE).write_text(text)
    with pytest.raises(ValueError, match="forget that user again"):
        Forgotten([tmp_path])


def test_lines_that_go_are_taken_out_and_the_others_keep_their_bytes(tmp_path):
    file = tmp_path / "a.jsonl"
    for number in range(4):
        journal.append(file, {"number": number, "text": "é"})
    lines = file.read_bytes().split(b"\n")
    file.write_bytes(b"\n".join([*lines[:2], b"torn {", *lines[2:]]))
    assert journal.take_out(file, lambda line: line["number"] in (1, 3)) == 2
    assert file.read_bytes() == b"\n".join([lines[0], b"torn {", lines[2], b""])
    assert journal.take_out(file, lambda line: False) == 0
    assert journal.take_out(file, lambda line: True) == 2
    assert file.read_bytes() == b"torn {\n"

"""The commands that judge cleaning's rules on invented strings: what they count, and how many the rules get right."""

import json
import re

import pytest

from tools.looking import languages, personal_data


def written(path, *rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return str(path)


def test_found_missed_and_flagged_strings_are_counted_by_kind(tmp_path, capsys):
    rows = [
        {"text": "ivy@roefamily.net", "kind": "email"},
        {"text": "mail me at ivy in Rome", "kind": "email"},
        {"text": "call 646-382-9917", "kind": "phone"},
        {"text": "call 646-382-9918", "kind": None},
        {"text": "call nobody", "kind": None},
    ]
    assert personal_data.main([written(tmp_path / "a.jsonl", *rows)], tmp_path) == 0
    out = capsys.readouterr().out
    assert re.search(r"email +2 +1 +1 +50% +100%\n", out)
    assert re.search(r"phone +1 +1 +2 +100% +50%\n", out)
    assert re.search(r"all +3 +2 +3 +67% +67%\n", out)
    assert "  flagged of harmless strings: 1 of 2\n" in out
    assert (
        "  nothing in: 'mail me at ivy in Rome', held: email\n  phone in: 'call 646-382-9918', held: nothing\n" in out
    )


def test_lines_are_counted_by_group_and_language(tmp_path, capsys):
    rows = [
        {"text": "Wie koche ich Reis, ohne dass er anbrennt?", "language": "de", "group": "latin"},
        {"text": "Berlin", "language": "de", "group": "latin"},
        {"text": "你好", "language": "zh"},
    ]
    assert languages.main([written(tmp_path / "a.jsonl", *rows)], tmp_path) == 0
    out = capsys.readouterr().out
    assert "  latin      1 of 2\n  zh         1 of 1\n  all        2 of 3\n  en for: 'Berlin', is: de\n" in out


@pytest.mark.parametrize("row", [{"text": "a", "kind": "name"}, {"kind": None}, {"text": 1, "kind": None}, [1]])
def test_a_line_that_says_nothing_known_is_named(row, tmp_path):
    with pytest.raises(ValueError, match=r"a\.jsonl: line 1: expected text, and as kind one of address, birth_date"):
        personal_data.main([written(tmp_path / "a.jsonl", row)], tmp_path)


def test_the_committed_strings_are_judged_no_worse_than_when_the_rules_were_frozen(capsys):
    assert personal_data.main([]) == 0
    out = capsys.readouterr().out
    found = [(int(of), int(right)) for of, right in re.findall(r"^  all +(\d+) +(\d+)", out, re.MULTILINE)]
    alarms = [int(number) for number in re.findall(r"harmless strings: (\d+) of", out)]
    assert [of for of, _ in found] == [62, 50]
    assert all(right >= before for (_, right), before in zip(found, [62, 43], strict=True))
    assert all(number <= before for number, before in zip(alarms, [0, 2], strict=True))
    assert languages.main([]) == 0
    totals = re.findall(r"^  all +(\d+) of (\d+)", capsys.readouterr().out, re.MULTILINE)
    assert [int(of) for _, of in totals] == [93, 67]
    assert all(int(right) >= before for (right, _), before in zip(totals, [91, 65], strict=True))

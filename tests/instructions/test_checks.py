"""Each check: an answer that keeps to the instruction earns 1, a near one less, one that does not still less."""

import pytest

from rlhf.instructions import checks

KEPT_NEAR_BROKEN = [  # name, arguments, kept, near, broken
    ("sentences", {"count": 2}, "It is warm. Bread rises!", "It is warm.", "One. Two. Three. Four. Five."),
    ("sentences", {"count": 1}, 'It costs 3.50 a loaf ("a lot!")', "One. Two.", ""),
    ("keyword", {"word": "river"}, "The River is wide.", None, "The rivers are wide."),
    ("fewer_words", {"limit": 4}, "Three short words.", "One two three four five.", "1 2 3 4 5 6 7 8"),
    ("ends_with", {"ending": "The end."}, "It was late. The end.", "The end. Or not?", "It was late."),
    ("begins_with", {"word": "Well"}, "Well, it is so.", "It is well made.", "It is so."),
    ("bullets", {"count": 2}, "- red\n- round", "- red\n- round\n- ripe", "red and round"),
    ("bullets", {"count": 2}, "- red\n\n- round", "Apples:\n- red\n- round", "-red -round"),
    ("lower_case", {}, "no capitals here: 3 é.", "Only one capital letter in it.", "EVERY LETTER"),
    ("capitals", {}, "ALL OF IT: É 3.", "MOSt OF IT.", "none of it"),
    ("no_comma", {}, "Red and round.", "Red, round.", "Red, round, ripe, and, so, on."),
    ("json_object", {"key": "text"}, '{"text": "Red."}', '{"text": "Red.", "more": 1}', "text: Red."),
    ("json_object", {"key": "text"}, '{"text": ["Red."]}', '{"text": "Red.', "[1]"),
    ("question", {}, "Why is it red?", "It is red. Why?", "It is red."),
    ("question", {}, '"Why is it red?"', "Why? How? So.", "Nothing"),
    ("quoted", {}, '"It is red."', 'It is "red".', "It is red."),
    ("title", {}, "[Apples]\nThey are red.", "[Apples] They are red.", "Apples\nThey are red."),
    ("paragraphs", {"count": 2}, "One.\n\nTwo.", "One.\nTwo.", ""),
    ("without", {"word": "is"}, "This tastes good.", None, "It IS good."),
]  # fmt: skip


@pytest.mark.parametrize(("name", "arguments", "kept", "near", "broken"), KEPT_NEAR_BROKEN)
def test_only_what_is_kept_earns_all(name, arguments, kept, near, broken):
    credits = [checks.credit(name, arguments, text) for text in (kept, near, broken) if text is not None]
    assert credits[0] == 1
    assert credits == sorted(credits, reverse=True)
    assert len(set(credits)) == len(credits)
    assert credits[-1] <= 0.4


def test_every_check_is_tried_above():
    assert {name for name, *_ in KEPT_NEAR_BROKEN} == set(checks.CHECKS)


@pytest.mark.parametrize("name", checks.CHECKS)
@pytest.mark.parametrize("text", ["", " ", "\n\n", ".", "...", "{", '"', "- ", "?", "[]", "é", "[" * 50_000])
def test_no_text_is_refused_and_none_that_says_nothing_keeps_to_an_instruction(name, text):
    arguments = next(given for one, given, *_ in KEPT_NEAR_BROKEN if one == name)
    earned = checks.credit(name, arguments, text)
    assert 0 <= earned <= 1
    if not checks.words_of(text) and name != "fewer_words":
        assert earned < 1


def test_an_instruction_that_is_not_known_is_named():
    with pytest.raises(ValueError, match="no instruction is called 'rhymes'"):
        checks.credit("rhymes", {}, "text")

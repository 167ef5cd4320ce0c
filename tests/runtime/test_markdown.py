"""Markdown shows a text and the cells of a table as they are, whoever wrote them."""

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlhf.runtime.markdown import Marked, markdown_table, plain


def read(markdown):
    """Return the text that a reader of a line of Markdown sees: escapes and entities undone."""
    escapes_undone = re.sub(r"\\([\\`*\[\]|~_])", r"\1", markdown)
    return re.sub(r"&#?\w+;", lambda entity: html.unescape(entity[0]), escapes_undone)


def test_a_row_is_a_line_and_a_stroke_stays_in_its_cell():
    made = markdown_table(["name", "count"], [["a|b", 1], ["c", 2.5]])
    assert made == "| name | count |\n| --- | --- |\n| a\\|b | 1 |\n| c | 2.5 |"
    assert markdown_table(["name"], []) == "| name |\n| --- |"


def test_a_cell_of_two_lines_is_one():
    assert markdown_table(["name"], [["a\n\nb\u2028c"]]).splitlines()[2:] == ["| a b c |"]


def test_a_cell_that_is_markdown_stays_so():
    assert markdown_table(["name"], [[Marked("`a`")], ["`a`"]]).splitlines()[2:] == ["| `a` |", "| \\`a\\` |"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<b>bold</b>", "&lt;b>bold&lt;/b>"),
        ("see [here](https://example.org)", "see \\[here\\](https://example.org)"),
        ("![a picture](x.png)", "!\\[a picture\\](x.png)"),
        ("*one* __two__ ~~three~~", "\\*one\\* \\_\\_two\\_\\_ \\~\\~three\\~\\~"),
        ("`code`", "\\`code\\`"),
        ("R&amp;D &#60; & so on; 1 < 2", "R&amp;amp;D &amp;#60; & so on; 1 < 2"),
        ("a\\*b", "a\\\\\\*b"),
        ("prompts.reward_model.jsonl", "prompts.reward_model.jsonl"),
        (" a  b\n# c ", "a b # c"),
        ("a\x1b[31mb", "a\\\\x1b\\[31mb"),
        ("a\u202eb\u2066", "a\\\\u202eb\\\\u2066"),
        ("\x00\u0085ümläut 🙂 狐\u200d", "\\\\x00 ümläut 🙂 狐\u200d"),
    ],
)
def test_what_would_be_markup_is_text(text, shown):
    assert plain(text) == shown


@given(st.text(st.sampled_from("ab_*`[]()<>&|~\\ \n!#;lt"), max_size=30))
def test_what_is_read_is_the_text_and_no_markup_is_left(text):
    made = plain(text)
    assert read(made) == " ".join(text.split())
    left = re.sub(r"\\.", "-", made)
    assert not re.search(r"[*`\[\]|~\\]|<[a-z/!]", left)

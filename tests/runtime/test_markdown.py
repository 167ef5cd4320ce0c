"""Tables in Markdown hold whatever stands in a cell."""

from rlhf.runtime.markdown import markdown_table


def test_a_row_is_a_line_and_a_stroke_stays_in_its_cell():
    made = markdown_table(["name", "count"], [["a|b", 1], ["c", 2.5]])
    assert made == "| name | count |\n| --- | --- |\n| a\\|b | 1 |\n| c | 2.5 |"
    assert markdown_table(["name"], []) == "| name |\n| --- |"

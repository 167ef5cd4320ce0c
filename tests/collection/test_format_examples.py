"""The formats and the kinds of files that people bring: each example is read right, asked about or refused by name."""

import pytest

from rlhf.collection.formats import known
from tests import formats_table, toys
from tests.collection.file_examples import KINDS
from tests.collection.format_examples import EXAMPLES
from tests.collection.format_examples_further import FURTHER
from tests.collection.format_verdicts import file_verdict, verdict

ALL = {**EXAMPLES, **FURTHER}


@pytest.mark.parametrize("name", list(ALL))
def test_an_example_is_read_right_or_refused_with_what_is_missing(name):
    example = ALL[name]
    found = verdict(example)
    expected = "as_is" if not example.error else "mapping" if example.said else "refused"
    assert found.read == expected
    assert example.error in found.error


@pytest.mark.parametrize("name", list(KINDS))
def test_a_kind_of_file_is_read_right_or_refused_with_the_reason(name, tmp_path):
    found = file_verdict(KINDS[name], tmp_path)
    assert found.read == ("refused" if KINDS[name].error else "as_is")
    assert KINDS[name].error in found.error


def test_no_two_lists_of_examples_share_a_name():
    assert len(ALL) == len(EXAMPLES) + len(FURTHER)


def test_every_format_has_an_example():
    assert [*formats_table.known()] == [form.name for form in known.FORMS]


def test_the_committed_verdicts_and_the_documentation_are_what_the_command_writes(tmp_path):
    written = toys.REPO / "metrics/formats.json"
    assert formats_table.verdicts(tmp_path) == written.read_text(encoding="utf-8")
    page = (toys.REPO / "docs/data.md").read_text(encoding="utf-8")
    assert formats_table.with_table(page) == page

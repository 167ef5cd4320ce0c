"""What the page, the model card, the advice, the metrics and the plots say is what was read and approved."""

import pytest

from tests.evaluation import approve

pytestmark = pytest.mark.usefixtures("plots_drawn_once")


@pytest.mark.parametrize("name", approve.TEXTS)
def test_a_text_is_the_one_that_was_approved(name):
    """Where the change is meant: python -m tests.evaluation.approve, and read the diff."""
    said = approve.TEXTS[name]().strip().splitlines()
    assert said == (approve.FOLDER / name).read_text(encoding="utf-8").splitlines()


def test_no_other_text_is_kept():
    assert sorted(path.name for path in approve.FOLDER.iterdir()) == sorted(approve.TEXTS)

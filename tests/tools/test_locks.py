"""A dvc.lock that DVC was stopped in the middle of writing is told apart from a whole one, with what mends it."""

import pytest

from rlhf.params.base import ParamsError
from study.costs import __main__ as costs
from tests import toys
from tools.looking import locks

WHOLE = (toys.REPO / "study/dvc.lock").read_text(encoding="utf-8")
LAST = WHOLE.rindex("\n    outs:")  # of the last stage


def mistakes(root, text) -> list[str]:
    (root / "dvc.lock").write_text(text, encoding="utf-8")
    return [*locks.mistakes(root)]


@pytest.mark.parametrize("lock", ["dvc.lock", "data/dvc.lock", "study/dvc.lock"])
def test_our_own_are_whole(lock):
    assert [*locks.mistakes(toys.REPO, lock)] == []


def test_none_is_none_yet(tmp_path):
    assert [*locks.mistakes(tmp_path)] == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "dvc.lock: it is empty, as where"),
        ("\n", "dvc.lock: it is empty, as where"),
        ("schema: '2.0'\n", "dvc.lock: it has no schema or no stages, as where"),
        ("stages:\n  a: {cmd: b, outs: []}\n", "dvc.lock: it has no schema or no stages, as where"),
        (WHOLE[:LAST], "is cut off, as where"),
        (WHOLE[: WHOLE.rindex("\n    cmd:") + 1], "is cut off, as where"),
        (WHOLE[:LAST] + "\n    outs: [", "dvc.lock: it cannot be read ("),
    ],
)
def test_what_is_cut_off_is_said_with_what_mends_it(tmp_path, text, told):
    (found,) = mistakes(tmp_path, text)
    assert told in found
    assert "rm dvc.lock" in found
    assert "git checkout -- dvc.lock" in found


def test_a_run_and_the_laboratory_say_it_first(tmp_path, capsys):
    assert locks.main(tmp_path) == 0
    (tmp_path / "dvc.lock").write_text("")
    assert locks.main(tmp_path) == 2
    assert "dvc.lock: it is empty" in capsys.readouterr().err
    (tmp_path / "study").mkdir()
    (tmp_path / "study/params.yaml").write_bytes((toys.REPO / "study/params.yaml").read_bytes())
    (tmp_path / costs.LOCK).write_text("")
    with pytest.raises(ParamsError, match="study/dvc.lock: it is empty"):
        costs.main([], tmp_path)

"""Rows of tuning: none is lost; and the rule by which a trial is chosen."""

import csv
import json

import pytest

from study.tuning import choice, rows, trials
from tests.study.tuning.tuned import row, write_trials


@pytest.fixture
def root(tmp_path):
    write_trials(tmp_path)
    return tmp_path


def test_rows_are_appended_whole_and_one_that_a_kill_cut_short_is_dropped_and_said(root, capsys):
    rows.append(root, row("plain", 17, 0.8, 10))
    first = (root / rows.FILE).read_bytes()
    with open(root / rows.FILE, "ab") as file:
        file.write(b"ppo,plain,18,")
    assert [one["seed"] for one in rows.read(root)] == ["17"]
    rows.append(root, row("plain", 18, 0.7, 10))
    assert "its last line was cut short by a kill" in capsys.readouterr().err
    assert (root / rows.FILE).read_bytes().startswith(first)
    assert [(one["seed"], one["score"]) for one in rows.read(root)] == [("17", "0.8"), ("18", "0.7")]
    with pytest.raises(ValueError, match="no column strange"):
        rows.append(root, {"strange": 1})
    (root / rows.FILE).write_text("method,trial\nppo,plain\n")
    with pytest.raises(ValueError, match="its columns are not those of now"):
        rows.read(root)


@pytest.mark.parametrize(("longer", "near"), [(0.764, "plain"), (0.757, "longer"), (0.70, "no other")])
def test_of_trials_near_the_best_the_cheaper_is_chosen(root, longer, near):
    """Scores are medians over seeds: 0.76 of `plain`."""
    for seed, score in ((17, 0.75), (18, 0.77)):
        rows.append(root, row("plain", seed, score, 10))
        rows.append(root, row("longer", seed, longer, 95))
    told = choice.page(rows.read(root), trials.load(root))
    best = max(longer, 0.76)
    assert f"Chosen: plain. The best is {'longer' if longer > 0.76 else 'plain'}, {best:.3f}" in told
    assert f"less than 0.005 below it: {near}." in told
    assert choice.RULE in told


def test_the_best_is_chosen_where_the_cheaper_is_further_behind(root):
    for seed in (17, 18):
        rows.append(root, row("plain", seed, 0.76, 10))
        rows.append(root, row("longer", seed, 0.78, 95))
    assert "Chosen: longer. The best is longer, 0.780" in choice.page(rows.read(root), trials.load(root))


def test_the_table_says_what_is_missing_old_or_of_other_code(root):
    rows.append(root, row("plain", 17, 0.5, 10, code="old"))
    rows.append(root, row("plain", 17, 0.7, 10))
    rows.append(root, row("plain", 18, 0.7, 10, code="d"))
    rows.append(root, row("longer", 17, 0.9, 95, code="e"))
    rows.append(root, row("gone", 17, 0.9, 95))
    told = choice.page(rows.read(root), trials.load(root))
    assert "ppo: 2 of 2 trials, seeds 17, 18, 115 processor seconds" in told
    assert "Chosen so far: plain. The best is plain, 0.700" in told
    assert "Not tried on every seed yet: longer." in told
    assert "1 rows are left out, of trials that trials.yaml has not, or has otherwise: ppo gone." in told
    assert "rows of one seed differ in code: ppo on seed 17." in told
    assert "dpo: none of 2 trials has a row" in told


def test_the_files_columns_are_read_by_any_reader_of_csv(root):
    rows.append(root, row("plain", 17, 0.8, 10))
    with open(root / rows.FILE, encoding="utf-8", newline="") as file:
        assert json.loads(next(csv.DictReader(file))["change"]) == {"ppo": {"lam": 1.0}}

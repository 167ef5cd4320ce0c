"""The table of claims: what was expected, what was found, and the command that makes the cells behind it."""

import csv
import json

import pytest

from rlhf.evaluation.statistics import Interval
from study import cells, claims


def claim(name: str, expected, **changes) -> dict:
    effect = {"kind": "number", "cell": "seed_{seed}", "path": "evaluate.rate", "seeds": [17]}
    return {
        "claim": name, "citation": "A 2022", "paper_figure": "figure 1", "expected": expected, "matters": 0.04,
        "unit": "points", "effect": effect | changes,
    }  # fmt: skip


@pytest.fixture
def root(tmp_path):
    listed = [
        claim("rises", "positive"), claim("within", [0.2, 0.4]), claim("none", "none"),
        claim("not run", "negative", cell="kl_0_{seed}"),
    ]  # fmt: skip
    (tmp_path / claims.FILE).write_text(json.dumps({"claims": listed}))
    path = tmp_path / cells.FOLDER / "seed_17.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"evaluation": {"evaluate": {"rate": 0.25}}}))
    return tmp_path


def test_the_csv_holds_every_claim_whose_cells_have_run(root, capsys):
    assert claims.main([], root) == 0
    told = capsys.readouterr()
    command = "dvc repro study/dvc.yaml:{}"
    cell = command.format("cell@kl_0_17")
    assert told.err == f"left out: not run: {root}/metrics/study/cells/kl_0_17.json is not there: {cell}\n"
    with open(root / claims.OUT, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    figures = {"effect": "0.2500", "low": "0.2500", "high": "0.2500"}
    same = figures | {
        "citation": "A 2022", "paper_figure": "figure 1", "command": command.format("chain@seed_17")
    }  # fmt: skip
    assert rows == [
        {"claim": "rises", "expected": "> 0", "verdict": "confirmed"} | same,
        {"claim": "within", "expected": "0.2 to 0.4", "verdict": "confirmed"} | same,
        {"claim": "none", "expected": "within ±0.04", "verdict": "not confirmed"} | same,
    ]
    assert told.out == claims.markdown(claims.stored(root)) + "\n"


def test_the_page_of_claims_counts_the_verdicts_and_signs_differences(root):
    claims.main([], root)
    rows = claims.stored(root)
    assert [row.interval for row in rows] == [Interval(0.25, 0.25, 0.25)] * 3
    here, plain = "+0.2500 (+0.2500 to +0.2500) points", "0.2500 (0.2500 to 0.2500) points"
    assert claims.markdown(rows).splitlines() == [
        "| claim | the paper | here (95% interval) | expected | verdict |",
        "| --- | --- | --- | --- | --- |",
        f"| rises | A 2022: figure 1 | {here} | > 0 | **confirmed** |",
        f"| within | A 2022: figure 1 | {plain} | 0.2 to 0.4 | **confirmed** |",
        f"| none | A 2022: figure 1 | {here} | within ±0.04 | **not confirmed** |",
        "",
        "3 claims: 2 confirmed, 1 not confirmed, 0 inconclusive.",
    ]


def test_the_cells_that_claims_need_are_listed_once_each(root, capsys):
    assert claims.main(["--cells"], root) == 0
    assert capsys.readouterr().out == "study/dvc.yaml:chain@seed_17 study/dvc.yaml:cell@kl_0_17\n"
    assert not (root / claims.OUT).exists()


def test_a_mistake_in_a_claim_is_named_with_its_place(root, capsys):
    (root / claims.FILE).write_text(json.dumps({"claims": [claim("rises", "upwards")]}))
    assert claims.main([], root) == 2
    assert "claims.yaml: claims.0.expected" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("interval", "expected", "verdict"),
    [
        ((0.1, 0.0, 0.2), "positive", "inconclusive"),  # 0 itself is not above 0
        ((0.01, -0.02, 0.04), "positive", "inconclusive"),  # what matters is not excluded
        ((0.01, -0.02, 0.039), "positive", "not confirmed"),
        ((0.0, -0.04, 0.03), "none", "inconclusive"),
        ((0.0, -0.039, 0.039), "none", "confirmed"),
        ((0.02, 0.0, 0.05), "none", "inconclusive"),
        ((0.02, 0.001, 0.05), "none", "not confirmed"),
        ((-0.02, -0.05, -0.001), "none", "not confirmed"),
        ((0.02, 0.001, 0.03), "none", "confirmed"),
        ((0.3, 0.2, 0.4), [0.2, 0.4], "confirmed"),
        ((0.45, 0.4, 0.5), [0.2, 0.4], "inconclusive"),
        ((0.15, 0.1, 0.2), [0.2, 0.4], "inconclusive"),
        ((0.15, 0.1, 0.19), [0.2, 0.4], "not confirmed"),
    ],
)
def test_a_verdict_at_the_borders(interval, expected, verdict):
    assert claims.verdict(Interval(*interval), expected, 0.04) == verdict

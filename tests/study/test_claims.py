"""The table of claims: what was expected, what was found and why it stands or not, and the command behind it."""

import csv
import json

import pytest

from study import cells, claims, params
from study.evidence import student
from tests import toys
from tests.study import small

RATES = {17: 0.248, 18: 0.25, 19: 0.252}  # of seeds: their mean is 0.25
ERROR = 0.002 / 3**0.5  # of it
REACH = student.quantile(0.95, 2) * ERROR


def claim(name: str, expected, **changes) -> dict:
    effect = {"kind": "number", "cell": "seed_{seed}", "path": "evaluate.rate", "minus": None, "seeds": [17, 18, 19]}
    return {
        "claim": name, "citation": "A 2022", "paper_figure": "figure 1", "expected": expected, "matters": 0.04,
        "unit": "points", "referee": f"{name} in small", "effect": effect | changes,
    }  # fmt: skip


LISTED = [
    claim("rises", "positive"), claim("within", [0.2, 0.4]), claim("none", "none"),
    claim("on one seed", "positive", seeds=[17]), claim("not run", "negative", cell="kl_0_{seed}", seeds=[17, 18]),
]  # fmt: skip


def lay_out(root, listed: list[dict]) -> None:
    small.lay_out(root, {f"kl_0_{seed}": {"seed": seed} for seed in (17, 18)})
    (root / claims.FILE).write_text(json.dumps({"claims": listed}))
    for seed, rate in RATES.items():
        small.write(root, f"seed_{seed}", {"evaluation": {"evaluate": {"rate": rate}}})


@pytest.fixture
def root(tmp_path):
    lay_out(tmp_path, LISTED)
    return tmp_path


def rows_of(root) -> dict[str, dict[str, str]]:
    assert claims.main([], root) == 0
    with open(root / claims.OUT, encoding="utf-8", newline="") as file:
        return {row.pop("claim"): row for row in csv.DictReader(file)}


def test_the_csv_holds_every_claim_with_its_seeds_its_adjusted_p_and_its_referee(root):
    """Five claims: the smallest p-value counts five times, what is not measured yet has 1."""
    found = rows_of(root)
    assert [*found] == ["rises", "within", "none", "on one seed", "not run"]
    seeds = "study/dvc.yaml:chain@seed_17 study/dvc.yaml:chain@seed_18 study/dvc.yaml:chain@seed_19"
    p = 2 * student.tail(0.25 / ERROR, 2)
    assert found["rises"] == {
        "citation": "A 2022", "paper_figure": "figure 1", "expected": "at least 0.04", "effect": "0.2500",
        "low": f"{0.25 - REACH:.4f}", "high": f"{0.25 + REACH:.4f}", "seeds": "3", "adjusted": f"{5 * p:.4f}",
        "verdict": "confirmed", "referee": "rises in small", "command": f"dvc repro {seeds}",
    }  # fmt: skip
    assert [found[name]["verdict"] for name in found] == [
        "confirmed", "confirmed", "not confirmed", "inconclusive", "not yet rerun",
    ]  # fmt: skip
    assert found["within"]["expected"] == "0.2 to 0.4"
    assert (found["none"]["expected"], found["none"]["adjusted"]) == ("within ±0.04", "1.0000")
    assert (found["on one seed"]["seeds"], found["on one seed"]["referee"]) == (
        "1", "on one seed in small [one seed; its interval knows nothing of other seeds]",
    )  # fmt: skip
    not_run = found["not run"]
    assert not_run["referee"] == "not run in small [kl_0_17, kl_0_18: not run]"
    assert [not_run[name] for name in ("effect", "low", "high", "seeds", "adjusted")] == ["", "", "", "0", ""]
    assert not_run["command"] == "dvc repro study/dvc.yaml:cell@kl_0_17 study/dvc.yaml:cell@kl_0_18"
    assert not_run["expected"] == "at most −0.04"


def test_a_claim_that_would_stand_alone_may_fall_among_many(root):
    """A p-value of 0.0005 is enough for three claims, not for a hundred."""
    few, many = ([claim(f"within {number}", [0.2, 0.4]) for number in range(count)] for count in (3, 100))
    lay_out(root, few)
    assert {row["verdict"] for row in rows_of(root).values()} == {"confirmed"}
    lay_out(root, many)
    found = rows_of(root)
    assert {row["verdict"] for row in found.values()} == {"inconclusive"}
    assert "not after Holm's correction for all claims" in found["within 0"]["referee"]


def test_stale_cells_are_said_and_not_used(root):
    content = json.loads((root / params.FILE).read_text())
    content["chains"]["seed_19"]["change"] = {"ppo.kl_coef": 0.3}
    (root / params.FILE).write_text(json.dumps(content))
    row = rows_of(root)["rises"]
    assert (row["effect"], row["seeds"], row["verdict"]) == ("0.2490", "2", "inconclusive")
    stale = "seed_19: made with ppo.kl_coef 0.1, now 0.3"
    assert row["referee"] == f"rises in small [2 seeds, fewer than 3; {stale}]"


def test_cells_of_other_code_are_used_and_said(root):
    before = rows_of(root)["rises"]
    small.list_code(root, chain={"rlhf/rl/gae.py": "0"})
    row = rows_of(root)["rises"]
    assert [row[name] for name in row if name != "referee"] == [before[name] for name in before if name != "referee"]
    assert row["referee"] == "rises in small [seed_17, seed_18, seed_19: made with other code (rlhf/rl)]"


def test_the_page_of_claims_counts_the_verdicts_and_signs_differences(root, capsys):
    claims.main([], root)
    found = claims.stored(root)
    assert capsys.readouterr().out == claims.markdown(found) + "\n"
    rises, within, *_, not_run = claims.markdown(found).splitlines()[2:7]
    low, high = 0.25 - REACH, 0.25 + REACH
    here, plain = f"+0.2500 ({low:+.4f} to {high:+.4f}) points", f"0.2500 ({low:.4f} to {high:.4f}) points"
    p = f"{found[0].adjusted:.4f}"
    assert rises == f"| rises | A 2022: figure 1 | {here} | 3 | at least 0.04 | {p} | **confirmed** | rises in small |"
    assert f"| {plain} | 3 | 0.2 to 0.4 |" in within
    assert not_run == (
        "| not run | A 2022: figure 1 | – | 0 | at most −0.04 | – | **not yet rerun** | not run in small "
        r"\[kl_0_17, kl_0_18: not run\] |"
    )
    assert claims.markdown(found).splitlines()[-1] == (
        "5 claims: 2 confirmed, 1 not confirmed, 1 inconclusive, 1 not yet rerun."
    )


def test_the_cells_that_claims_need_are_listed_once_each(root, capsys):
    assert claims.main(["--cells"], root) == 0
    chains = [f"study/dvc.yaml:chain@seed_{seed}" for seed in RATES]
    assert capsys.readouterr().out.split() == [*chains, *(f"study/dvc.yaml:cell@kl_0_{seed}" for seed in (17, 18))]
    assert not (root / claims.OUT).exists()


@pytest.mark.parametrize("arguments", [[], ["--cells"]])
def test_a_claim_whose_sides_differ_in_length_is_refused_when_it_is_read(root, capsys, arguments):
    effect = {
        "kind": "difference",
        "column": "gold",
        "seeds": [17],
        "first": "kl_0_{seed}",
        "second": "seed_{seed}/ppo",
    }
    longer = claim("falls", "negative") | {"effect": effect}
    small.lay_out(root, {"kl_0_17": {"seed": 17, "change": {"ppo.iterations": 40}}})
    (root / claims.FILE).write_text(json.dumps({"claims": [longer]}))
    assert claims.main(arguments, root) == 2
    assert capsys.readouterr().err == (
        "claims.yaml: claims.0 (falls): the two sides differ in length: PPO trains kl_0_17 for 40 iterations, seed_17 "
        "for 20 iterations; give both one ppo.iterations in study/params.yaml\n"
    )
    assert not (root / claims.OUT).exists()


def test_a_mistake_in_a_claim_is_named_with_its_place(root, capsys):
    (root / claims.FILE).write_text(json.dumps({"claims": [claim("rises", "upwards")]}))
    assert claims.main([], root) == 2
    assert "claims.yaml: claims.0.expected" in capsys.readouterr().err


def test_every_claim_of_effect_has_three_seeds_a_referee_and_equal_sides():
    listed, study = claims.read(toys.REPO), params.load(toys.REPO)
    assert len(listed) >= 20
    assert len({claim.citation.split(" et al.")[0] for claim in listed}) >= 5
    for claim_of in listed:
        assert len(claim_of.effect.seeds) >= 3, claim_of.claim
        assert claim_of.referee
    effects = {claim.claim: claim.effect for claim in listed}
    claims.fairness.check(claims.FILE, effects, study, params.preset(toys.REPO))  # raises nothing


def test_no_committed_cell_is_without_a_record_of_its_params_nor_unknown():
    known = params.load(toys.REPO).everything
    for file in sorted((toys.REPO / cells.FOLDER).glob("*.json")):
        assert file.stem in known
        assert json.loads(file.read_text(encoding="utf-8"))["made_with"]["params"]["seed"] == known[file.stem].seed

"""The benchmark of GPUs runs in tiny sizes on a CPU, keeps to its time, and says what it has not measured."""

import json
import sys
from functools import partial

import pytest

from benchmarks.gpu import __main__ as driver
from benchmarks.gpu import ours, page, pipeline, rate, shapes
from rlhf.params.base import read_yaml
from rlhf.runtime import parallel
from tests import toys
from tools import check


@pytest.fixture
def told(capsys):
    """What was told so far, by rows."""

    def rows() -> dict[str, dict]:
        found = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
        return {row.pop("row"): row for row in found}

    return rows


def test_every_engine_and_both_sides_of_ppo_are_measured(told, monkeypatch, request):
    request.addfinalizer(partial(parallel.set_workers, 1))
    monkeypatch.setattr(ours, "ROUNDS", 1)
    monkeypatch.setattr(rate, "ROUNDS", 2)
    rate.main("cpu", "small")
    ours.run_rollouts("cpu", "small", "float32")
    ours.run_ppo("cpu", "small", "float32")
    rows = told()
    assert {name for name in rows if name.startswith("rollouts/")} == {
        f"rollouts/small/float32/{engine}" for engine in page.ROLLOUTS
    }
    assert {name for name in rows if name.startswith("ppo/")} == {"ppo/small/float32/static", "ppo/small/float32/own"}
    for name, row in rows.items():
        assert row.get("tokens_a_second", row.get("tflops", 1)) > 0
        if "gap" in row:
            assert row["gap"] <= row["gap_max"] < 1e-5, name
    shown = page.page({"device": "a CPU", "parts": {"all": {"rows": rows, "ended": "in time"}}})
    assert shown.count("| small, float32 | ") == len(page.ROLLOUTS) + 3
    assert "vLLM is not installed" in shown
    static = rows["ppo/small/float32/static"]
    assert f"| small, float32 | ours, `static` | {static['tokens_a_second']:,.0f} | not run |" in shown


def test_nothing_measured_is_nothing_claimed():
    shown = page.page({})
    assert shown.count(page.NOT_RUN) > 100
    rows = [line for line in shown.splitlines() if line.startswith("| ") and "---" not in line and "model" not in line]
    assert not any(character.isdigit() for line in rows for character in line.partition("| not run")[2])


def test_ratios_are_of_the_same_work():
    rows = {
        "ppo/1b/bfloat16/static": {
            "tokens_a_second": 300.0,
            "update_tflops": 30.0,
            "rollout_tflops": 1.0,
            "peak_gb": 60.0,
        },
        "ppo/1b/bfloat16/trl": {"tokens_a_second": 100.0, "peak_gb": 70.0},
        "rate/bfloat16": {"tflops": 120.0},
    }
    shown = page.page({"device": "one", "parts": {"all": {"rows": rows, "ended": "cut off after 9 s"}}})
    assert "| 1b, bfloat16 | ours, `static` | 300 | 3.00 | 0.8%, 25.0% |" in shown
    assert "| 1b, bfloat16 | TRL 1.12.0 | 100 | 1.00 |" in shown
    assert "all cut off after 9 s" in shown


def test_operations_are_counted_as_by_hand():
    shape = shapes.Shape(1, 4, 8, 2, 1, 10, 1, (3, 3), 2)
    layer = 4 * 4 + 4 * 2 + 4 * 2 + 4 * 4 + 3 * 4 * 8  # queries, keys, values, out, MLP
    body, head = 2 * layer * (3 + 2), 2 * 10 * 4 * 2
    assert shapes.operations(shape, 2.0) == {"rollout": body + head, "update": 3 * 4 * (2 * body + head)}


def test_the_parts_share_out_eight_minutes_at_most():
    for parts in (driver.PARTS, driver.SMALL):
        assert sum(part.share for part in parts) <= 1 + 1e-9
    assert driver.SECONDS == 480
    asked = {part.arguments for part in driver.PARTS}
    for shape, dtype in page.SHAPES:
        assert {("rollouts", "cuda", shape, dtype), ("ppo", "cuda", shape, dtype)} <= asked
    assert {part.arguments[0] for part in driver.PARTS if part.module.endswith("pipeline")} == set(page.PRESETS)


def test_a_gpu_that_is_not_there_is_said():
    with pytest.raises(SystemExit, match="torch sees no GPU"):
        driver.main([])


@pytest.mark.process
def test_a_part_that_takes_too_long_is_ended_and_keeps_what_it_told(capsys):
    slow = 'import time; print(\'{"row": "a", "tflops": 1}\', flush=True); time.sleep(600)'
    found = driver._watched([sys.executable, "-c", slow], {}, 5.0)
    assert (found["rows"], found["ended"]) == ({"a": {"tflops": 1}}, "cut off after 5 s")
    assert found["seconds"] < 60
    failed = driver._watched([sys.executable, "-c", "print('words'); raise SystemExit('no memory')"], {}, 60.0)
    assert (failed["rows"], failed["ended"]) == ({}, "failed: no memory")


def test_results_stay_where_a_later_part_is_run_alone(tmp_path, monkeypatch):
    made = []

    def run(part, seconds, peers):
        made.append((part.name, seconds))
        return {"rows": {"rate/float32": {"tflops": 2.0}} if part.name == "rate" else {}, "ended": "in time"}

    monkeypatch.setattr(driver, "run", run)
    driver.main(["--small", "--out", str(tmp_path), "--seconds", "100"])
    assert made == [(part.name, part.share * 100) for part in driver.SMALL]
    monkeypatch.setattr(driver, "_device", lambda small: "one")
    driver.main(["--out", str(tmp_path), "--parts", "trl_1b"])
    assert made[-1][0] == "trl_1b"
    assert len(made) == len(driver.SMALL) + 1
    found = json.loads((tmp_path / page.OUT).read_text())
    assert found["parts"].keys() == {"rate", "rollouts", "ppo", "trl_1b"}
    assert (tmp_path / page.PAGE).read_text() == page.page(found)


def test_without_trls_environment_its_part_says_so(tmp_path):
    (part,) = (one for one in driver.PARTS if one.name == "trl_135m")
    assert driver.run(part, 1.0, None) == driver.run(part, 1.0, tmp_path)
    assert driver.run(part, 1.0, None)["ended"] == "TRL's environment is not there"


def test_a_presets_stages_run_in_their_order_in_a_copy(monkeypatch, told):
    ran = []

    def run(root, stage):
        if not ran:
            assert check.check(root) == []
            params = read_yaml(root / "params.yaml")
            assert (params["runtime"]["device"], params["runtime"]["workers"]) == ("cuda", 1)
            assert not (root / ".git").exists()
        ran.append(stage)

    monkeypatch.setattr(pipeline, "_run", run)
    pipeline.main("laptop", *driver.ON_GPU)
    assert [name for name, *_ in ran] == list(toys.read_yaml(toys.REPO / "dvc.yaml")["stages"])
    assert ("ppo", "r1") in ran
    (row,) = told().values()
    assert (row["stages"], row["of"], row["last"]) == (len(ran), len(ran), "evaluate")

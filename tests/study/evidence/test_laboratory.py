"""Which cells may be read: those that have run, with the params that they have now and all that is measured of them."""

import json

import pytest

from study import cells, params
from study.cells import Missing
from study.evidence import laboratory
from tests.study import small
from tools import cell_code


@pytest.fixture
def root(tmp_path):
    one = {"seed": 17, "change": {"ppo.kl_coef": 0.0}}
    small.lay_out(
        tmp_path, {"kl_0_17": one, "not_run_17": one, "silent_17": one, "old_17": one | {"measures": ["curve"]}}
    )
    for name in ("seed_17", "kl_0_17", "silent_17", "old_17"):
        small.write(tmp_path, name, {"curve": [name]} if name != "old_17" else {})
    (tmp_path / cells.FOLDER / "silent_17.json").write_text("{}")
    return tmp_path


def test_cells_that_have_not_run_and_those_that_tell_nothing_are_not_to_be_used(root):
    of = small.read(root)
    assert of.unusable == {
        "seed_18": "not run", "seed_19": "not run", "not_run_17": "not run",
        "silent_17": "made with params that it does not tell", "old_17": "made without curve",
    }  # fmt: skip
    assert of.read("kl_0_17")["curve"] == ["kl_0_17"]
    with pytest.raises(Missing, match="seed_18: not run"):
        of.read("seed_18")
    assert [(name, seed, cell["curve"]) for name, seed, cell in of.usable()] == [
        ("seed", 17, ["seed_17"]), ("kl_0", 17, ["kl_0_17"]),
    ]  # fmt: skip
    assert of.stale().keys() == {"silent_17", "old_17"}


def test_cells_that_ran_with_other_code_than_there_is_now_are_read_and_named(root):
    small.write(root, "kl_0_17", {"curve": []}, {"rlhf/rl": "1", "rlhf/engine": "2"})
    small.write(root, "seed_17", {"curve": []}, {"rlhf/rl": "3"})
    assert small.read(root).other_code == {}  # nothing says what there is now
    small.list_code(root, cell={"rlhf/rl/gae.py": "0"}, chain={"rlhf/rl/gae.py": "0"})
    sums = cell_code.parts({"rlhf/rl/gae.py": "0"})
    small.write(root, "seed_17", {"curve": []}, sums)
    of = small.read(root)
    assert of.other_code == {"kl_0_17": "rlhf/engine, rlhf/rl"}
    assert of.read("kl_0_17")["curve"] == []
    assert "kl_0_17" not in of.unusable


def test_a_cell_that_ran_longer_than_it_is_to_run_now_is_stale(root):
    """As the cells without a KL penalty, which trained for twice as long as those they were compared with."""
    content = json.loads((root / params.FILE).read_text())
    content["cells"]["kl_0_17"]["change"]["ppo.iterations"] = 40
    (root / params.FILE).write_text(json.dumps(content))
    small.write(root, "kl_0_17", {"curve": []})
    assert "kl_0_17" not in small.read(root).unusable
    del content["cells"]["kl_0_17"]["change"]["ppo.iterations"]
    (root / params.FILE).write_text(json.dumps(content))
    assert small.read(root).stale()["kl_0_17"] == "made with ppo.iterations 40, now 20"


def test_a_change_of_the_preset_makes_cells_stale_and_two_of_many_differences_are_named(root):
    changed = small.PRESET | {"ppo": {"iterations": 30, "kl_coef": 0.2}, "reward_model": {"epochs": 1}}
    (root / params.PRESET).write_text(json.dumps(changed))
    stale = small.read(root).stale()
    assert stale["kl_0_17"] == "made with ppo.iterations 20, now 30; reward_model.epochs 2, now 1"
    assert stale["seed_17"] == "made with ppo.iterations 20, now 30; ppo.kl_coef 0.1, now 0.2 and 1 more"


def test_clusterings_are_by_unit_as_far_as_there_are_units():
    cell = {"clusters": {"prompts": {"tasks": ["t", "t", "u"], "subjects": ["s", "s", "s"]}}}
    found = laboratory.clusterings(cell, "prompts", ["a", "b"])
    assert found == [{"a": "s", "b": "s"}, {"a": "t", "b": "t"}]
    assert laboratory.clusterings(cell, "harmful", ["0"]) == []
    assert laboratory.clusterings({}, "prompts", ["a"]) == []

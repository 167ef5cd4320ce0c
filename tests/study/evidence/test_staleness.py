"""A cell's record of its params: values that differ are named, what no stage of it reads is not."""

from study.evidence import made_with, staleness
from study.params import Cell

CONTENT = {
    "seed": 17, "tracking": {"uri": "a"}, "checkpoints": {"every_seconds": 1.0}, "rounds": {"r1": {"policy": "sft"}},
    "reward_model": {"epochs": 2, "optimisation": {"learning_rate": 0.1}}, "ppo": {"iterations": 40, "kl_coef": 0.0},
    "feedme": {"epochs": 2}, "dpo": {"beta": 0.3}, "rejection": {"n": 4}, "evaluate": {"names": ["a", "b"]},
}  # fmt: skip


def cell(target: str = "ppo@r1", **change) -> Cell:
    return Cell(seed=17, change=change, targets=[target], measures=[])


def laid(**sections) -> dict:
    return {
        name: value | sections.get(name, {}) if isinstance(value, dict) else value for name, value in CONTENT.items()
    }


def differences(now: dict, own: Cell, kept: Cell | None = None) -> list[str]:
    return staleness.differences(made_with.record(kept or own, CONTENT, {}), own, now)


def test_a_record_holds_the_change_and_all_params_but_those_that_change_no_figure():
    own = cell(**{"ppo.kl_coef": 0.0})
    kept = made_with.record(own, CONTENT, {})
    assert kept["change"] == {"ppo.kl_coef": 0.0}
    assert kept["params"].keys() == CONTENT.keys() - {"tracking", "checkpoints"}
    assert staleness.differences(kept, own, CONTENT) == []


def test_values_that_differ_are_named_with_both():
    now = laid(ppo={"iterations": 20}, reward_model={"optimisation": {"learning_rate": 0.2}})
    assert differences(now, cell()) == [
        "ppo.iterations 40, now 20", "reward_model.optimisation.learning_rate 0.1, now 0.2",
    ]  # fmt: skip
    assert differences(CONTENT | {"seed": 18}, cell()) == ["seed 17, now 18"]
    assert differences(laid(evaluate={"names": ["a"]}), cell()) == ["evaluate.names ['a', 'b'], now ['a']"]


def test_sections_of_later_stages_and_of_tracking_are_not_looked_at():
    now = laid(ppo={"iterations": 20}, feedme={"epochs": 4}, tracking={"uri": "b"}, checkpoints={"every_seconds": 2.0})
    assert differences(now, cell("reward_model@r1")) == []
    assert differences(now, cell("ppo@r1")) == ["ppo.iterations 40, now 20"]
    assert differences(now, cell("evaluate")) == ["feedme.epochs 2, now 4", "ppo.iterations 40, now 20"]
    rivals = laid(dpo={"beta": 1.0}, rejection={"n": 64})
    for target in ("sft", "reward_model@r1", "feedme", "ppo@r1"):
        assert differences(rivals, cell(target)) == []
    assert differences(rivals, cell("evaluate")) == ["dpo.beta 0.3, now 1.0", "rejection.n 4, now 64"]


def test_of_two_stages_only_what_both_do_not_read_is_not_looked_at():
    both = Cell(seed=17, change={}, targets=["ppo@r1", "feedme"], measures=[])
    now = laid(ppo={"iterations": 20}, feedme={"epochs": 4}, dpo={"beta": 1.0})
    assert differences(now, both) == ["feedme.epochs 2, now 4", "ppo.iterations 40, now 20"]


def test_parts_of_the_code_that_changed_came_or_went_since_are_named():
    then = {"rlhf/rl": "1", "rlhf/engine": "2", "study/cell.py": "3"}
    kept = made_with.record(cell(), CONTENT, then)
    assert staleness.changed_code(kept, then) is None
    assert staleness.changed_code(kept, then | {"rlhf/rl": "4"}) == "rlhf/rl"
    assert (
        staleness.changed_code(kept, {"rlhf/rl": "1", "study/cell.py": "3", "rlhf/new": "5"}) == "rlhf/engine, rlhf/new"
    )
    assert staleness.changed_code(kept, {}) == "rlhf/engine, rlhf/rl, study/cell.py"
    assert staleness.changed_code(kept, {"a": "1", "b": "1"}) == "a, b, rlhf/engine and 2 more"
    assert staleness.changed_code({"params": {}}, then) == "code that it does not tell"


def test_a_key_that_is_new_makes_nothing_stale_unless_the_cell_changes_it():
    now = laid(ppo={"value_warmup": 2})
    assert differences(now, cell()) == []
    assert differences(now, cell(**{"ppo.value_warmup": 2})) == ["ppo.value_warmup left out, now 2"]
    rounds = laid(rounds={"r2": {"policy": "ppo/r1"}})
    assert differences(rounds, cell(rounds={"r2": {}})) == ["rounds.r2.policy left out, now 'ppo/r1'"]
    assert differences(CONTENT, cell(), cell(**{"ppo.kl_coef": 0.0})) == []

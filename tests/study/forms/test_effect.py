"""The effect of a form: a difference on the same examples, every task alike, examples about one thing one case."""

import numpy as np
import pytest

from study import effects
from tests.study import small


def cell(first: list[int], second: list[int], clusters: list[str], more: dict | None = None) -> dict:
    about = {"one": {"clusters": clusters, "chance": 0.5, "majority": first}} | (more or {"tasks": {}})["tasks"]
    own = {"one": {"a": first, "b": second}} | (more or {"own": {}})["own"]
    return {"forms": {"tasks": about, "policies": {"base": own, "sft": {"one": {"a": second, "b": second}}}}}


@pytest.fixture
def root(tmp_path):
    small.lay_out(tmp_path, {f"forms_{seed}": {"seed": seed} for seed in (17, 18)})
    return tmp_path


def form(root, seeds=(17,), tasks=("one",), **more):
    made = effects.Form(
        kind="form", seeds=[*seeds], cell="forms_{seed}", policy="base", tasks=[*tasks], first="a", second="b", **more
    )
    return made.estimate(small.read(root))


def test_a_form_is_the_difference_on_the_same_examples(root):
    small.write(root, "forms_17", cell([1, 1, 0, 1], [0, 1, 0, 0], list("wxyz")))
    found, missing = form(root)
    assert missing == {}
    assert found.effect == 0.5
    assert found.error == pytest.approx(np.std([1, 0, 0, 1], ddof=1) / 2)


def test_examples_about_one_thing_are_one_case(root):
    small.write(root, "forms_17", cell([1, 1, 0, 0], [0, 0, 0, 0], list("xxyy")))
    found, _ = form(root)
    assert found.effect == 0.5
    assert found.error == pytest.approx(0.5)  # two clusters of which one is right


def test_tasks_count_alike_however_many_examples_they_have(root):
    more = {
        "tasks": {"two": {"clusters": ["v"] * 1, "chance": 0.5, "majority": [0]}}, "own": {"two": {"a": [0], "b": [1]}}
    }  # fmt: skip
    small.write(root, "forms_17", cell([1, 1, 1, 1], [0, 0, 0, 0], list("wxyz"), more))
    found, _ = form(root, tasks=("one", "two"))
    assert found.effect == pytest.approx((1.0 - 1.0) / 2)


def test_a_condition_that_did_not_fit_is_missing_and_said(root):
    content = cell([1, 0], [0, 0], list("xy"))
    del content["forms"]["policies"]["base"]["one"]["b"]
    small.write(root, "forms_17", content)
    found, missing = form(root)
    assert found is None
    assert missing == {"forms_17": "one has no b of base"}


def test_seeds_differ_as_the_policys_two_conditions_do(root):
    small.write(root, "forms_17", cell([1, 1], [0, 0], list("xy")))
    small.write(root, "forms_18", cell([1, 0], [0, 0], list("xy")))
    found, _ = form(root, seeds=(17, 18))
    assert found.of_seeds == [1.0, 0.5]
    assert found.knows_seeds

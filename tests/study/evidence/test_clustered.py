"""Ids of clusters: equal for prompts of one task or subject, short, and the same in every cell."""

import pytest

from study.evidence import clustered


def prompt(number: int, **task) -> dict:
    own = {"kind": "facts", "language": "en", "animal": "fox", "count": 1} | task
    return {"id": f"p{number}", "task": own, "messages": [{"role": "user", "content": f"{number}?"}], "category": "qa"}


def test_prompts_of_one_task_share_an_id_and_those_about_one_subject_another():
    found = clustered.ids([prompt(1), prompt(2), prompt(3, count=2), prompt(4, animal="hen")])
    first, second, third, fourth = found["tasks"]
    assert first == second
    assert len({first, third, fourth}) == 3
    assert found["subjects"][:3] == [found["subjects"][0]] * 3
    assert found["subjects"][3] != found["subjects"][0]
    assert {len(one) for ids in found.values() for one in ids} == {clustered.CHARACTERS}
    assert clustered.ids([prompt(9)])["tasks"] == [first]


@pytest.mark.parametrize("wanted", [["curve"], ["evaluation", "without_criterion"]])
def test_of_measures_that_keep_no_prompts_there_are_none(wanted):
    assert clustered.of_cell(None, wanted, []) == {}

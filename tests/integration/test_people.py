"""People in the loop on one's own data: it waits, is labelled, goes on; the next round asks about its own policy."""

import json
import subprocess

import pytest

from rlhf.params.base import read_yaml
from rlhf.people import judgements, standing
from rlhf.records import records
from rlhf.records.types import Comparison
from rlhf.runtime.waiting import CODE, Waiting
from stages import collect_answers, collect_comparisons, collect_prompts, ppo, pretrain, reward_model, sft
from tests import toys
from tests.integration.conftest import copied, environment, run
from tests.integration.test_own_labelers import FUNCTION, TASTE, project
from tests.labelers import asked
from tests.people.judged import PEOPLE, judgement, say
from tools import check

SECOND = {"policy": "ppo/r1", "earlier": "collect_comparisons/r1"}


def label(root, round_name: str, labeler: str) -> int:
    """Judge all answers of a round as somebody who likes long ones; returns how many prompts."""
    count = 0
    for pool, some in standing.read_answers(root, round_name).items():
        for one in some:
            lengths = [float(len(text)) for text in one["responses"]]
            say(root, judgement(one, labeler, records.ranks_of(lengths), pool=pool), round_name=round_name)
            count += 1
    return count


def comparisons(root, round_name: str) -> list[dict]:
    return records.read(root / f"data/collect_comparisons/{round_name}/comparisons.train.jsonl", Comparison)


@pytest.mark.parametrize("second", ["people", "a function"])
def test_a_second_rounds_answers_come_from_the_first_ones_policy_and_are_ranked(tmp_path, second):
    with asked.functions(tmp_path, TASTE):
        project(tmp_path, PEOPLE, None)
        content = read_yaml(tmp_path / "params.yaml")
        content["rounds"]["r2"] = SECOND
        toys.write_params(tmp_path, content)
        assert check.mistakes_in(read_yaml(tmp_path / "params.yaml"), tmp_path) == []
        for stage in (collect_prompts, pretrain, sft):
            stage.main(tmp_path)
        for name in ("r1", "r2"):
            collect_answers.main(tmp_path, name)
            if name == "r2" and second == "a function":
                toys.set_param(tmp_path, "collect_comparisons.labelers", FUNCTION)
            else:
                with pytest.raises(Waiting, match=f"prompts of round {name} wait"):
                    collect_comparisons.main(tmp_path, name)
                assert label(tmp_path, name, "ada") > 20
            for stage in (collect_comparisons, reward_model, ppo):
                stage.main(tmp_path, name)
    first, both = comparisons(tmp_path, "r1"), comparisons(tmp_path, "r2")
    assert both[: len(first)] == first
    assert len(both) > len(first)
    assert {one["id"] for one in both[len(first) :]} & {one["id"] for one in first}, "the same prompts"
    new = {text for one in both[len(first) :] for text in one["responses"]}
    assert new - {text for one in first for text in one["responses"]}, "another policy's answers"
    by = {label["labeler"] for one in both[len(first) :] for label in one["labels"]}
    assert by == ({"ada"} if second == "people" else {"function:my_taste:length"})
    assert (tmp_path / "data/ppo/r2/config.json").exists()


@pytest.fixture
def repository(tmp_path):
    """A copy of this repository with a project of one's own that people rank, in git and DVC."""
    root = tmp_path / "repository"
    copied(root, without=("dvc.lock", "metrics/"))
    project(root, PEOPLE, None)
    run(root, "git", "init", "--quiet")
    return root


def ran(root, *command: str) -> tuple[int, str]:
    """Return a command's exit code and what it said."""
    answer = subprocess.run(command, cwd=root, env=environment(root), capture_output=True, text=True, check=False)
    return answer.returncode, answer.stdout + answer.stderr


LABELLED = ("collect_comparisons@r1", "reward_model@r1", "ppo@r1", "feedme", "rejection", "dpo", "judge", "evaluate")


def test_dvc_goes_as_far_as_it_can_waits_and_goes_on_with_what_depends_on_labels_alone(repository):
    told = run(repository, "python", "-m", "tools.check")
    assert "deps of collect_comparisons: + data/labels/${key}" in told
    code, told = ran(repository, "dvc", "repro", "--keep-going")
    assert code != 0
    total = sum(map(len, standing.read_answers(repository, "r1").values()))
    assert total > 20
    waits = f"{total} of {total} prompts of round r1 wait for labels: make label; then dvc repro goes on"
    assert f"collect_comparisons@r1: {waits}" in told
    assert f"exited with {CODE}" in told
    assert "Traceback" not in told
    assert "Running stage 'collect_answers@r1'" in told
    assert not any(f"Running stage '{stage}'" in told for stage in LABELLED[1:])
    assert ran(repository, "python", "-m", "tools.waiting") == (CODE, f"{waits}\n")

    label(repository, "r1", "ada")
    assert ran(repository, "python", "-m", "tools.waiting")[0] == 0
    told = run(repository, "dvc", "repro")
    assert [stage for stage in LABELLED if f"Running stage '{stage}'" not in told] == []
    assert "Stage 'collect_answers@r1' didn't change, skipping" in told
    assert "didn't change" in run(repository, "dvc", "repro", "evaluate")

    first = standing.read_answers(repository, "r1")["train"][0]
    say(repository, judgement(first, "ben", seconds=4.0))
    status = subprocess.run(
        ["dvc", "status", "--json", "dvc.yaml"],
        cwd=repository, env=environment(repository), capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert [*json.loads(status)] == ["collect_comparisons@r1"]
    told = ran(repository, "python", "-m", "tools.where", "data/ppo/r1")[1]
    assert f"data/labels/r1/ada.jsonl  {total} lines, {total} judgements that hold  labeler ada" in told
    assert len(judgements.read(repository / "data/labels", "r1").lines) == total + 1

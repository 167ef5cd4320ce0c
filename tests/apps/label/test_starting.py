"""What the page needs to start, and what is said where it is missing; what it finds of earlier days."""

import json

import pytest
from filelock import FileLock

from apps.label import __main__ as command
from apps.label import items, settings
from rlhf.params.base import read_yaml
from tests.apps.label import made
from tests.apps.label.made import Person


def changed(root, labelers, judge_labelers=None) -> None:
    params = json.loads((root / "params.yaml").read_text())
    params["collect_comparisons"] |= {"labelers": labelers, "judge_labelers": judge_labelers}
    (root / "params.yaml").write_text(json.dumps(params))


def people(root) -> dict:
    return json.loads((root / "params.yaml").read_text())["collect_comparisons"]["labelers"]


def test_where_no_people_label_it_says_so(tmp_path):
    root = made.project(tmp_path, [made.prompt(0)])
    simulated = read_yaml(made.REPO / "presets/laptop.yaml")["collect_comparisons"]["labelers"]
    for labelers in (None, simulated):
        changed(root, labelers)
        with pytest.raises(ValueError, match="collect_comparisons.labelers: nobody has anything to label"):
            settings.read(root)


def test_people_are_compared_with_the_params_simulated_labelers_or_the_presets(tmp_path):
    root = made.project(tmp_path, [made.prompt(0)])
    preset = settings.read(root).simulated
    assert preset is not None
    other = {**read_yaml(made.REPO / "presets/laptop.yaml")["collect_comparisons"]["labelers"], "num_held_out": 1}
    changed(root, people(root), other)
    assert settings.read(root).simulated == preset.model_copy(update={"num_held_out": 1})
    (root / "presets/laptop.yaml").unlink()
    changed(root, people(root))
    assert settings.read(root).simulated is None


def test_the_judges_labelers_alone_may_be_people_or_others(tmp_path):
    root = made.project(tmp_path, [made.prompt(0)], [made.prompt(1)])
    crew = people(root)
    assert settings.read(root).pools == ("train", "judge")
    changed(root, None, crew)
    assert settings.read(root).pools == ("judge",)
    changed(root, crew, {**crew, "folder": "other"})
    with pytest.raises(ValueError, match="--pool train, or --pool judge"):
        settings.read(root)
    assert settings.read(root, "judge").folder == root / "other"
    assert settings.read(root, "train").pools == ("train",)


def test_the_last_round_with_answers_is_taken_unless_one_is_named(tmp_path):
    root = made.project(tmp_path, [made.prompt(0)])
    params = json.loads((root / "params.yaml").read_text())
    params["rounds"]["r2"] = {"policy": "ppo/r1", "earlier": "collect_comparisons/r1"}
    (root / "params.yaml").write_text(json.dumps(params))
    assert settings.round_of(root, None) == "r1"
    with pytest.raises(ValueError, match=r"dvc repro collect_answers@r2"):
        settings.round_of(root, "r2")
    (root / "data/collect_answers/r2").mkdir()
    assert settings.round_of(root, None) == "r2"
    assert settings.round_of(root, "r1") == "r1"
    with pytest.raises(ValueError, match="r1, r2"):
        settings.round_of(root, "r3")


def test_missing_instructions_and_answers_are_named(tmp_path):
    root = made.project(tmp_path, [made.prompt(0)])
    (root / "data/labels/instructions.md").unlink()
    with pytest.raises(ValueError, match=r"tools\.check"):
        made.work(root)
    (root / "data/collect_answers/r1/answers.judge.jsonl").unlink()
    with pytest.raises(ValueError, match=r"dvc repro collect_answers@r1"):
        made.work(root)


@pytest.mark.parametrize(
    ("line", "words"),
    [("{", "not valid JSON"), ("[]", "JSON object"), (json.dumps(made.prompt(1, num=10)), "2 to 9"),
     (json.dumps(made.prompt(1, responses=["a", "a"])), "different"),
     (json.dumps(made.prompt(1, messages="x")), "messages"),
     (json.dumps(made.prompt(0)), "twice"), ("\udcff", "UTF-8")],
)  # fmt: skip
def test_answers_of_another_form_are_named_with_their_place(tmp_path, line, words):
    root = made.project(tmp_path, [made.prompt(0)])
    with open(root / "data/collect_answers/r1/answers.train.jsonl", "ab") as file:
        file.write(line.encode("utf-8", "surrogateescape") + b"\n")
    with pytest.raises(ValueError, match=words):
        items.read(root, "r1", settings.read(root))


def test_judgements_of_other_answers_and_torn_lines_are_said_and_not_counted(tmp_path, capsys):
    root = made.project(tmp_path, [made.prompt(0), made.prompt(1)])
    ada = Person(made.work(root), "ada")
    for _ in range(2):
        ada.submit(ada.next())
    with open(root / "data/labels/r1/ada.jsonl", "a") as file:
        file.write('{"torn')
    made.project(tmp_path, [made.prompt(0), made.prompt(1, num=5)])
    again = Person(made.work(root), "ada")
    said = capsys.readouterr().err
    assert "1 judgements are of other answers" in said
    assert "ada.jsonl:3" in said
    assert again.post("next")["progress"]["own"]["judged"] == 1


def test_one_process_serves_a_round(tmp_path, capsys):
    root = made.project(tmp_path, [made.prompt(0)])
    (root / ".cache/label/r1").mkdir(parents=True)
    with FileLock(root / ".cache/label/r1/serving.lock"):
        assert command.main([], root) == 1
    assert "another process" in capsys.readouterr().err


@pytest.fixture
def two_groups(tmp_path):
    """A project whose two pools are labelled by different people, who share a folder of labels."""
    root = made.project(tmp_path, [made.prompt(0)], [made.prompt(1)])
    changed(root, people(root), {**people(root), "overlap_labelers": 3})
    return root


def test_two_groups_of_people_are_served_at_once_each_by_one_process(two_groups, monkeypatch, capsys):
    titles = []
    monkeypatch.setattr(command.running, "serve", lambda *given: titles.append(given[-1]) or 0)
    (two_groups / ".cache/label/r1/train").mkdir(parents=True)
    with FileLock(two_groups / ".cache/label/r1/train/serving.lock"):
        assert command.main(["--pool", "judge"], two_groups) == 0
        assert command.main(["--pool", "train"], two_groups) == 1
    assert titles == ["Labelling r1/judge, 1 prompts"]
    assert "r1/train is being labelled by another process here" in capsys.readouterr().err


def test_who_is_in_both_groups_has_drafts_and_leases_in_each(two_groups, capsys):
    pages = {pool: Person(made.work(two_groups, pool), "ada") for pool in ("train", "judge")}
    for number, page in enumerate(pages.values(), start=1):
        item = page.next()
        page.post("draft", item=item["key"], client="c", number=1, draft={"ranks": [number] * 4})
    for number, pool in enumerate(pages, start=1):
        again = made.work(two_groups, pool)
        assert [*again.board.leases.holders(next(iter(again.board.items)))] == ["ada"]
        assert Person(again, "ben").next() is None
        item = Person(again, "ada").next()
        assert item["draft"] == {"ranks": [number] * 4}
        Person(again, "ada").submit(item)
    assert sorted(line["pool"] for line in made.lines(two_groups, "ada")) == ["judge", "train"]
    assert "other answers" not in capsys.readouterr().err
    made.work(two_groups, "train")
    assert "other answers" not in capsys.readouterr().err, "the other group's are no old ones"


def test_where_one_group_labels_its_files_are_the_rounds(tmp_path):
    Person(made.work(made.project(tmp_path, [made.prompt(0)])), "ada").next()
    assert (tmp_path / ".cache/label/r1/leases.jsonl").read_text()


def test_new_instructions_reach_the_page_with_their_sum(tmp_path):
    root = made.project(tmp_path, [made.prompt(0), made.prompt(1)])
    ada = Person(made.work(root), "ada")
    assert ada.post("next")["instructions"] == {"text": made.INSTRUCTIONS, "sha256": made.VERSION}
    (root / "data/labels/instructions.md").write_text("New.")
    newer = ada.post("next")["instructions"]
    assert newer["text"] == "New."
    item = ada.next()
    ada.submit(item, instructions=newer["sha256"])
    assert made.lines(root, "ada")[0]["instructions"] == newer["sha256"]


def test_the_export_is_ones_own_lines(tmp_path):
    root = made.project(tmp_path, [made.prompt(0), made.prompt(1)])
    work = made.work(root)
    ada, ben = Person(work, "ada"), Person(work, "ben")
    ada.submit(ada.next())
    ben.submit(ben.next())
    answer = ada.client.get("/api/export")
    assert [json.loads(line) for line in answer.text.splitlines()] == made.lines(root, "ada")
    assert "r1.ada.jsonl" in answer.headers["content-disposition"]
    assert Person(work, None).client.get("/api/export").status_code == 403
    assert Person(work, "eva").client.get("/api/export").text == ""

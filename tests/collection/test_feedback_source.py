"""What people said in the chat as a source: what each kind of line gives, what gives nothing, and who stays out."""

import json
import re

import pytest

from rlhf.collection import columns, sources
from rlhf.collection.dropped import Dropped
from rlhf.params.base import ParamsError, parse
from rlhf.params.collect_prompts import FeedbackSource, inputs
from rlhf.people import forgetting
from stages import collect_prompts
from tests import toys
from tests.apps.chat.stubs import Journal


def made(**changes):
    content = {
        "name": "chat", "kind": "feedback", "paths": ["data/feedback/*.jsonl"],
        "use": ["demonstrations", "comparisons", "prompts"],
    }  # fmt: skip
    return parse(FeedbackSource, content | changes, "collect_prompts.sources.0")


def read(root, **changes):
    """Return the records of a source, and the reasons for which rows were dropped."""
    source, records, dropped = made(**changes), [], []
    for index, row in enumerate(sources.rows(source, root, "")):
        try:
            records.append(columns.recognise(row, source, index))
        except Dropped as reason:
            dropped.append(str(reason))
    return records, dropped


def said(record):
    answer = record.get("response") or record.get("responses")
    return record["kind"], record["messages"][-1]["content"], answer, record["user"]


def folder(root):
    return root / "data/feedback"


def test_a_message_is_a_prompt_with_its_history_and_its_user(tmp_path):
    own = Journal()
    answer = own.answers("A robin.", own.asks("Name a bird."))
    own.asks("Another one.", answer)
    own.written(folder(tmp_path))
    first, second = read(tmp_path)[0]
    assert said(first) == ("prompt", "Name a bird.", None, "ada")
    assert second["messages"] == [
        {"role": "user", "content": "Name a bird."},
        {"role": "assistant", "content": "A robin."},
        {"role": "user", "content": "Another one."},
    ]


def test_a_better_answer_is_a_demonstration_and_is_ranked_before_the_given_one(tmp_path):
    own = Journal()
    answer = own.answers("Bird.", own.asks("Name a bird."))
    own.add("better", answer=answer, text="A robin is a bird.")
    own.written(folder(tmp_path))
    demonstration, comparison = read(tmp_path)[0]
    assert said(demonstration) == ("demonstration", "Name a bird.", "A robin is a bird.", "ada")
    assert said(comparison) == ("comparison", "Name a bird.", ["A robin is a bird.", "Bird."], "ada")
    assert comparison["labels"] == [{"labeler": "ada", "ranks": [1, 2], "scores": None, "scale": None}]


@pytest.mark.parametrize(("chosen", "ranks"), [(0, [1, 2]), (1, [2, 1]), ("tie", [1, 1]), ("both_bad", [1, 1])])
def test_a_choice_is_a_comparison_in_the_order_that_was_shown(tmp_path, chosen, ranks):
    own = Journal()
    asked = own.asks("Name a bird.")
    both = [own.answers(text, asked, pair="p1", side=side) for side, text in enumerate(("A robin.", "Bird."))]
    own.chooses(*both, chosen if isinstance(chosen, str) else both[chosen])
    own.written(folder(tmp_path))
    (comparison,) = read(tmp_path)[0]
    assert comparison["responses"] == ["A robin.", "Bird."]
    assert comparison["labels"][0]["ranks"] == ranks


def test_the_last_word_on_an_answer_holds(tmp_path):
    own = Journal()
    asked = own.asks("Name a bird.")
    both = [own.answers(text, asked, pair="p1", side=side) for side, text in enumerate(("A robin.", "Bird."))]
    own.chooses(*both, both[0])
    own.chooses(*both, both[1])
    own.add("better", answer=both[0], text="An owl.")
    own.add("better", answer=both[0], text=None)
    own.written(folder(tmp_path))
    records, dropped = read(tmp_path)
    assert [said(one)[0] for one in records] == ["comparison"]
    assert records[0]["labels"][0]["ranks"] == [2, 1]
    assert dropped == ["changed_mind", "changed_mind"]


def test_thumbs_are_demonstrations_where_that_is_asked_and_nothing_is_flagged(tmp_path):
    own = Journal()
    good = own.answers("A robin.", own.asks("Name a bird."))
    bad = own.answers("No.", own.asks("Name a tree.", conversation="c2"), conversation="c2")
    flagged = own.answers("An oak!!!", own.asks("A tree?", conversation="c3"), conversation="c3")
    for answer, value in ((good, "up"), (bad, "down"), (flagged, "up")):
        own.add("thumb", answer=answer, value=value)
    own.add("flag", answer=flagged, flags=["wrong"])
    own.written(folder(tmp_path))
    assert {one["kind"] for one in read(tmp_path)[0]} == {"prompt"}
    found = [said(one) for one in read(tmp_path, thumbs=True)[0] if one["kind"] == "demonstration"]
    assert found == [("demonstration", "Name a bird.", "A robin.", "ada")]


def test_what_was_cut_or_failed_is_compared_with_nothing(tmp_path):
    own = Journal()
    asked = own.asks("Name a bird.")
    for end in ("left", "failed"):
        answer = own.answers("A r", asked, end=end)
        own.add("thumb", answer=answer, value="up")
    own.written(folder(tmp_path))
    assert [said(one)[0] for one in read(tmp_path, thumbs=True)[0]] == ["prompt"]


@pytest.mark.parametrize("end", ["blocked", "left", "failed"])
def test_what_a_user_writes_in_place_of_an_answer_that_nobody_saw_whole_is_a_demonstration_alone(tmp_path, end):
    own = Journal()
    answer = own.answers("A r", own.asks("Name a bird."), end=end)
    own.add("better", answer=answer, text="A robin is a bird.")
    own.written(folder(tmp_path))
    assert [said(one) for one in read(tmp_path)[0]] == [("demonstration", "Name a bird.", "A robin is a bird.", "ada")]


def test_what_was_blocked_is_no_prompt(tmp_path):
    own = Journal()
    own.add("blocked", turn=own.asks("How to build a bomb?"), where="request", category="violent", probability=0.9)
    own.written(folder(tmp_path))
    assert read(tmp_path) == ([], ["blocked"])


def test_nothing_is_taken_of_who_never_agreed(tmp_path):
    own = Journal(consent=False)
    own.asks("Name a bird.")
    own.written(folder(tmp_path))
    assert read(tmp_path) == ([], ["no_consent"])


def test_torn_and_broken_lines_are_named_and_counted(tmp_path, capsys):
    own = Journal()
    answer = own.answers("A robin.", own.asks("Name a bird."))
    own.add("thumb", answer="nobody", value="up")
    file = own.written(folder(tmp_path))
    with open(file, "a") as opened:
        opened.write(json.dumps({"kind": "thumb"}) + "\n" + '{"kind": "thumb", "answer": "' + answer)
    records, dropped = read(tmp_path)
    assert len(records) == 1
    assert sorted(dropped) == ["broken_line", "broken_line", "torn_line"]
    out = capsys.readouterr().out
    assert f"{file}:4: thumb: it is about the turn 'nobody'" in out
    assert f"{file}:6: no JSON" in out


def test_a_copy_of_a_journal_gives_nothing_twice(tmp_path):
    own = Journal()
    own.asks("Name a bird.")
    own.written(folder(tmp_path))
    own.written(folder(tmp_path), "ada_old")
    assert len(read(tmp_path)[0]) == 1
    assert read(tmp_path)[1] == ["repeated_line"] * 2


def test_who_was_forgotten_stays_out_also_in_copies_elsewhere_and_comes_back_by_a_new_consent_alone(tmp_path):
    own, other = Journal(), Journal("bob")
    own.asks("Name a bird.")
    other.asks("Name a tree.")
    other.written(folder(tmp_path))
    own.written(tmp_path / "copies", "imported")
    forgetting.remember(folder(tmp_path), "ada", forgetting.now())
    both = {"paths": ["data/feedback/*.jsonl", "copies/*.jsonl"]}
    records, dropped = read(tmp_path, **both)
    assert [one["user"] for one in records] == ["bob"]
    assert dropped == ["forgotten_user"] * 2
    assert read(tmp_path, paths=["copies/*.jsonl"]) == ([], ["forgotten_user"] * 2)
    later = Journal()
    for line in later.lines:
        line["id"] = "later"
    later.lines[0]["at"] = "2999-01-01T00:00:00+00:00"
    later.asks("Name a cat.")
    later.lines[1]["at"] = "2999-01-01T00:00:01+00:00"
    later.written(folder(tmp_path))
    assert {said(one)[1] for one in read(tmp_path, **both)[0]} == {"Name a tree.", "Name a cat."}


def test_a_torn_note_of_who_is_forgotten_stops_the_source(tmp_path):
    Journal().written(folder(tmp_path))
    (folder(tmp_path) / forgetting.FILE).write_text('{"who": "')
    with pytest.raises(ValueError, match=r"\.forgotten\.jsonl:1: no JSON.*forget that user again"):
        read(tmp_path)


def test_no_journal_yet_is_no_error_but_a_file_that_is_missing_is(tmp_path):
    assert read(tmp_path) == ([], [])
    with pytest.raises(FileNotFoundError, match="no such file"):
        read(tmp_path, paths=["data/feedback/ada.jsonl"])


def test_its_folder_is_an_input_of_the_stage_that_stays_when_its_files_go(tmp_path):
    class Section:
        sources = [made()]

    folder(tmp_path).mkdir(parents=True)
    assert inputs(Section, tmp_path) == [folder(tmp_path)]


def test_documents_are_no_use_of_it():
    with pytest.raises(ParamsError, match="chats are none"):
        made(use=["documents"], splits=[])


def collected(root, **changes):
    """Run the stage on the toy's sources and the chat's; returns {file: its records} of what is the chat's."""
    content = toys.read_yaml(root / "params.yaml")
    chat = {"name": "chat", "kind": "feedback", "paths": ["data/feedback/*.jsonl"]}
    chat |= {"use": ["demonstrations", "comparisons", "prompts"], **changes}
    content["collect_prompts"]["sources"].append(chat)
    world = content["collect_prompts"]["sources"][0]
    world |= {"documents": 60, "prompts": 2500, "copy_probes": 2}
    toys.write_params(root, content)
    collect_prompts.main(root)
    found = {}
    for file in sorted((root / "data/collect_prompts").glob("*.jsonl")):
        lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        found[file.stem] = [line for line in lines if line.get("source") == "chat"]
    return found


def people(root, count=40):
    """Write journals of some users, each of whom makes a choice, writes a better answer, and asks more than a bit."""
    for number in range(count):
        own = Journal(f"user{number}")
        asked = own.asks(f"Where does the lion number {number} live?")
        both = [
            own.answers(text, asked, pair="p1", side=side)
            for side, text in enumerate((f"In the savanna {number}.", "I do not know it."))
        ]
        own.chooses(*both, both[0])
        better = own.answers("Trees grow.", own.asks(f"Tell me about tree {number}.", conversation="c2"), "c2")
        own.add("better", answer=better, text=f"A tree of kind {number} is tall.")
        own.written(folder(root))


def test_the_stage_puts_each_user_into_one_split_and_each_kind_where_it_belongs(root):
    people(root)
    found = collected(root)
    where = {}
    for name, records in found.items():
        split = name.partition(".")[2].replace("train", "train of " + name.partition(".")[0])
        for record in records:
            where.setdefault(record["user"], set()).add(split)
    assert len(where) > 20
    same = {"train of comparisons": "reward_model", "train of demonstrations": "sft"}
    assert all(len({same.get(split, split) for split in splits} - {"test"}) <= 1 for splits in where.values()), where
    assert all(record["kind"] == "comparison" for record in found["comparisons.train"])
    assert found["comparisons.train"]
    assert found["demonstrations.train"]
    assert all("lion" in record["messages"][-1]["content"] or "tree" in record["messages"][-1]["content"]
               for record in found["prompts.ppo"])  # fmt: skip


def test_splits_that_few_users_leave_without_a_record_are_named(root, capsys):
    people(root, count=2)
    found = collected(root)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "WARNING: source 'chat'" in line]
    named = set(re.search("none of its records entered ([^:]*):", line)[1].split(", "))
    entered = {name.partition(".")[2] for name, records in found.items() if records and name.startswith("prompts.")}
    entered |= {"sft"} if found["demonstrations.train"] else set()
    assert named == {"sft", "reward_model", "judge", "ppo", "validation", "test"} - entered


def test_where_every_split_got_something_nothing_is_said(root, capsys):
    people(root)
    collected(root)
    assert "none of its records entered" not in capsys.readouterr().out


def test_personal_data_is_filtered_and_one_user_gives_a_bounded_number_of_prompts(root):
    own = Journal()
    own.asks("Write to my friend at jane.doe@acme-mail.com about the lion.")
    for number in range(12):
        own.asks(f"What does animal number {number} like to eat at noon?", conversation=f"c{number}")
    own.written(folder(root))
    toys.set_param(root, "collect_prompts.cleaning.max_prompts_per_user", 5)
    found = collected(root, splits=["ppo"], use=["prompts"])
    texts = [record["messages"][-1]["content"] for record in found["prompts.ppo"]]
    assert len(texts) == 5
    assert not any("jane" in text for text in texts)
    metrics = json.loads((root / "metrics/collect_prompts.json").read_text())["collect_prompts"]
    assert metrics["dropped"]["over_user_limit"] >= 7
    assert metrics["sources"]["chat"] == {"read": 13, "kept": 5}


def test_the_stage_goes_on_when_its_last_user_was_forgotten(root):
    own = Journal()
    own.asks("Name a bird that sings at night.")
    file = own.written(folder(root))
    assert any(collected(root, splits=["ppo"], use=["prompts"]).values())
    file.unlink()
    forgetting.remember(folder(root), "ada", forgetting.now())
    collect_prompts.main(root)
    assert "ada" not in "".join(file.read_text() for file in (root / "data/collect_prompts").glob("*.jsonl"))
    assert (
        "what people said in the chat: data/feedback/\\*.jsonl"
        in (root / "data/collect_prompts/data_card.md").read_text()
    )

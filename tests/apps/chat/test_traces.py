"""Traces in a real store: one an answer, a conversation their session; the last word alone valid; who is forgotten."""

import json
import shutil
import sqlite3

import pytest
from mlflow import MlflowClient

from apps.chat import checkpoints, forget
from apps.chat.books import FOLDER, Books
from apps.chat.traces import TURN, Traces
from rlhf.params.base import load
from rlhf.params.tracking import TrackingInputs
from rlhf.people import journal
from tests import toys
from tests.apps.chat.stubs import Journal

WORD = "xylophonic"  # that stands nowhere else


@pytest.fixture
def stored(policies, empty_store):
    """A root whose tracking is on, with an empty store."""
    shutil.copy(empty_store, policies / "mlflow.db")
    toys.set_param(policies, "tracking.enabled", True)
    return policies


def said(root, journal=None):
    own = journal or Journal()
    asked = own.asks(f"Say {WORD} red.")
    both = [
        own.answers(f"{WORD} answer {side}", asked, pair="p1", side=side, seconds=1.5, settings={"temperature": 0.5})
        for side in (0, 1)
    ]
    own.add("thumb", answer=both[0], value="up")
    own.written(root / FOLDER)
    return own, asked, both


def follow(root):
    """Let traces follow the journals, as a chat does when it starts; returns the store's client and experiment."""
    settings = load(root, TrackingInputs).tracking
    traces = Traces(root, Books(root / FOLDER), settings, checkpoints.Sums(root))
    traces.start()
    traces.close(60)
    assert traces.state == "kept", traces.why
    client = MlflowClient(f"sqlite:///{root / 'mlflow.db'}")
    return client, client.get_experiment_by_name("rlhf").experiment_id


def traces_of(root):
    client, experiment = follow(root)
    found = client.search_traces(locations=[experiment])
    return {one.info.tags[TURN]: one for one in found}


def valid(trace):
    return {(one.name, one.value) for one in trace.info.assessments if one.valid is not False}


def test_each_answer_is_a_trace_of_its_conversation_with_what_was_said_of_it(stored):
    _, _, both = said(stored)
    found = traces_of(stored)
    assert set(found) == set(both)
    info = found[both[1]].info
    assert info.trace_metadata["mlflow.trace.session"] == "c1"
    assert info.trace_metadata["mlflow.trace.user"] == "ada"
    assert info.tags["checkpoint.name"] == "sft"
    assert info.tags["checkpoint.md5"] == "0" * 32
    assert (info.execution_duration, info.state) == (1500, "OK")
    (span,) = found[both[1]].data.spans
    assert span.inputs == {"messages": [{"role": "user", "content": f"Say {WORD} red."}]}
    assert span.outputs["choices"][0]["message"] == {"role": "assistant", "content": f"{WORD} answer 1"}
    assert valid(found[both[0]]) == {("thumb", True)}
    assert valid(found[both[1]]) == set()


def test_a_changed_mind_overrides_what_was_said_last_so_that_one_word_is_valid(stored):
    own, _, both = said(stored)
    for value in ("down", None, "up", "down"):
        own.add("thumb", answer=both[0], value=value)
        own.written(stored / FOLDER)
        info = traces_of(stored)[both[0]].info
        wanted = {"down": False, None: "taken back", "up": True}[value]
        assert [one.value for one in info.assessments if one.valid is not False] == [wanted]
        assert info.assessments[0].source.source_id == "ada"
    assert len(info.assessments) == 4


def test_following_twice_changes_nothing_also_where_the_journal_lost_the_traces_lines(stored):
    own, _, both = said(stored)
    first = traces_of(stored)
    own.written(stored / FOLDER)  # without the lines that name the traces, as after a kill
    again = traces_of(stored)
    assert {one.info.trace_id for one in again.values()} == {one.info.trace_id for one in first.values()}
    assert len(again[both[0]].info.assessments) == 1


def test_choices_better_answers_flags_and_blocks_are_assessments(stored):
    own, asked, both = said(stored)
    own.chooses(*both, both[1])
    own.add("better", answer=both[0], text="red")
    own.add("flag", answer=both[0], flags=["wrong", "made_up"])
    stop = own.add(
        "blocked", turn=own.asks("bad", conversation="c2"), where="request", category="violent", probability=0.9
    )
    own.add("appeal", blocked=stop)
    cut = own.answers("half", asked, end="left")
    own.written(stored / FOLDER)
    found = traces_of(stored)
    assert valid(found[both[0]]) == {
        ("thumb", True), ("preferred", False), ("better_answer", "red"), ("flags", "wrong, made_up"),
    }  # fmt: skip
    assert valid(found[both[1]]) == {("preferred", True)}
    (blocked,) = [one for one in found.values() if one.info.tags["chat.end"] == "blocked"]
    assert valid(blocked) == {("blocked", "violent"), ("appeal", True)}
    assert (found[cut].info.state, found[cut].info.tags["chat.end"]) == ("ERROR", "left")


def test_a_trace_is_linked_to_the_run_that_made_its_checkpoint(stored):
    client = MlflowClient(f"sqlite:///{stored / 'mlflow.db'}")
    place = {"artifact_location": (stored / "mlartifacts").as_uri()}
    run = client.create_run(client.create_experiment("rlhf", **place), tags={"dvc.out.data/sft": "0" * 32})
    _, _, both = said(stored)
    info = traces_of(stored)[both[0]].info
    assert info.trace_metadata["mlflow.sourceRun"] == info.tags["checkpoint.run_id"] == run.info.run_id


def test_a_store_that_is_down_costs_traces_alone_and_is_said(stored, capsys):
    toys.set_param(stored, "tracking.uri", "sqlite:////nowhere/at/all/mlflow.db")
    said(stored)
    settings = load(stored, TrackingInputs).tracking
    traces = Traces(stored, Books(stored / FOLDER), settings, checkpoints.Sums(stored))
    traces.start()
    traces.sync("ada", "ada-2")
    traces.close(60)
    assert traces.state == "down"
    assert capsys.readouterr().err.count("traces are not kept") == 1


def test_without_tracking_no_store_is_made(policies):
    said(policies)
    traces = Traces(
        policies, Books(policies / FOLDER), load(policies, TrackingInputs).tracking, checkpoints.Sums(policies)
    )
    traces.start()
    traces.sync("ada", "ada-2")
    traces.close(60)
    assert traces.state == "off"
    assert not (policies / "mlflow.db").exists()


def test_a_user_is_forgotten_in_journals_traces_artifacts_and_the_databases_bytes(stored, capsys):
    said(stored)
    other = Journal("bob")
    other.answers("Hello bob", other.asks("Hi"))
    other.written(stored / FOLDER)
    before = traces_of(stored)
    for one in before.values():  # as MLflow's background writer may leave
        place = stored / "mlartifacts/traces" / one.info.trace_id / "artifacts"
        place.mkdir(parents=True)
        (place / "traces.json").write_text(json.dumps(one.data.request))
    (stored / "data/collect_prompts/prompts.ppo.jsonl").write_text('{"kind": "prompt", "user": "ada"}\n')
    assert WORD.encode() in (stored / "mlflow.db").read_bytes()
    capsys.readouterr()
    assert forget.main(["Ada"], stored) == 0
    out = capsys.readouterr().out
    assert "ada.jsonl: deleted, 7 lines" in out
    assert "MLflow: 2 traces deleted" in out
    assert "2 folders of artifacts" in out
    assert "1 lines below data/collect_prompts" in out
    assert "dvc repro" in out
    assert "dvc gc" in out
    for file in stored.rglob("*"):
        if file.is_file() and "data/collect_prompts" not in str(file):
            assert WORD.encode() not in file.read_bytes(), file
    assert "ada" not in (stored / FOLDER / ".forgotten.jsonl").read_text()
    assert not list((stored / FOLDER).rglob("*ada*"))
    left = traces_of(stored)
    assert [one.info.trace_metadata["mlflow.trace.user"] for one in left.values()] == ["bob"]
    with sqlite3.connect(stored / "mlflow.db") as connection:
        assert connection.execute("SELECT count(*) FROM assessments").fetchone() == (0,)


def test_a_store_that_cannot_be_reached_is_said_and_the_journal_is_gone_all_the_same(stored, capsys):
    said(stored)
    toys.set_param(stored, "tracking.uri", "http://127.0.0.1:9")
    assert forget.main(["ada"], stored) == 1
    assert "run this again" in capsys.readouterr().err
    assert not (stored / FOLDER / "ada.jsonl").exists()


def test_lines_of_the_user_in_another_file_are_taken_out_of_it(stored, capsys):
    own, other = Journal(), Journal("bob")
    own.asks(f"Say {WORD}.")
    file = other.written(stored / FOLDER)
    before = file.read_bytes()
    other.lines += own.lines
    other.written(stored / FOLDER)
    forget.main(["ada"], stored)
    assert "bob.jsonl: 2 lines taken out" in capsys.readouterr().out
    assert file.read_bytes() == before


def test_what_moderation_learned_of_the_users_chats_goes_from_its_files(stored, capsys):
    own = stored / "own"
    own.mkdir()
    lines = [
        {"text": f"Where is {who}'s {source}?", "category": None, "source": source, "user": who}
        for who in ("ada", "bob")
        for source in ("appeal", "blocked", "survey")
    ]
    (own / "appeals.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (own / "only.jsonl").write_text(json.dumps(lines[0]) + "\n")
    (own / "table.csv").write_text("text,category,source,user\nWhere is it?,,appeal,ada\n")
    toys.set_param(stored, "moderation.files", ["own/*.jsonl", "own/table.csv", "own/missing.jsonl"])
    assert forget.main(["ada"], stored) == 1
    said = capsys.readouterr()
    assert "appeals.jsonl: 2 lines taken out" in said.out
    assert "table.csv: holds 1 rows from this user's chats: take them out by hand" in said.err
    left = [json.loads(line) for line in (own / "appeals.jsonl").read_text().splitlines()]
    assert [(one["user"], one["source"]) for one in left] == [
        ("ada", "survey"), ("bob", "appeal"), ("bob", "blocked"), ("bob", "survey"),
    ]  # fmt: skip
    assert (own / "only.jsonl").read_text() == ""


def test_a_file_of_moderation_that_cannot_be_read_is_named_and_the_rest_is_done(stored, capsys):
    said(stored)
    (stored / "own").mkdir()
    line = {"text": "Where is it?", "category": None, "source": "appeal", "user": "ada"}
    (stored / "own/a.csv").write_text('text,category\n"x')
    (stored / "own/b.jsonl").write_text(json.dumps(line) + "\n")
    (stored / "own/c.jsonl").write_bytes(b"\xef\xbb\xbf" + json.dumps(line).encode() + b"\n")
    toys.set_param(stored, "moderation.files", ["own/*"])
    capsys.readouterr()
    assert forget.main(["ada"], stored) == 1
    found = capsys.readouterr()
    assert "own/a.csv: ada's chats may be there still" in found.err
    assert "own/c.jsonl: holds 1 rows from this user's chats: take them out by hand" in found.err
    assert "own/b.jsonl: 1 lines taken out" in found.out
    assert "ada.jsonl: deleted" in found.out
    assert "traces deleted" in found.out
    toys.set_param(stored, "moderation.files", 7)
    assert forget.main(["ada"], stored) == 1
    found = capsys.readouterr()
    assert "moderation.files were not looked at: mend it, and run this again" in found.err
    assert "MLflow: 0 traces deleted" in found.out


@pytest.mark.parametrize("is_symbolic", [True, False])
def test_what_a_file_is_linked_to_keeps_its_bytes(tmp_path, is_symbolic):
    file, other = tmp_path / "a.jsonl", tmp_path / "cache"
    other.write_text('{"user": "ada"}\n{"user": "bob"}\n')
    before = other.read_bytes()
    file.symlink_to(other) if is_symbolic else file.hardlink_to(other)
    assert journal.take_out(file, lambda content: content["user"] == "ada") == 1
    assert file.read_text() == '{"user": "bob"}\n'
    assert other.read_bytes() == before

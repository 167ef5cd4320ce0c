"""A user's history: which lines fit to those before them, and which of several holds."""

import pytest

from rlhf.people.feedback import KINDS, History, problem_in
from tests.apps.chat.stubs import Journal


def history(journal):
    found = History()
    for line in journal.lines:
        found.take(line)
    return found


def test_a_dialogue_is_the_path_to_a_turn_not_its_branches():
    own = Journal()
    first = own.asks("one")
    answers = [own.answers(text, first) for text in ("a", "b")]
    last = own.asks("two", answers[0])
    own.asks("three", answers[1])
    found = history(own)
    assert [one["content"] for one in found.messages(last)] == ["one", "a", "two"]
    assert [one["role"] for one in found.messages(last)] == ["user", "assistant", "user"]


def test_of_each_kind_the_last_line_about_an_answer_holds():
    own = Journal()
    answer = own.answers("a", own.asks("one"))
    own.add("thumb", answer=answer, value="up")
    own.add("better", answer=answer, text="b")
    own.add("thumb", answer=answer, value=None)
    found = history(own)
    assert (found.thumb(answer), found.better(answer), found.flags(answer), found.replaced) == (None, "b", [], 1)


GOOD = {
    "consent": {"text": "0"},
    "turn": {"conversation": "c1", "parent": None, "role": "user", "content": "x"},
    "thumb": {"answer": "ada-2", "value": "up"},
    "better": {"answer": "ada-2", "text": "b"},
    "flag": {"answer": "ada-2", "flags": ["wrong"]},
    "choice": {"pair": "p", "answers": ["ada-2", "ada-3"], "chosen": "tie"},
    "blocked": {"turn": "ada-1", "where": "request", "category": None},
    "appeal": {"blocked": "ada-4"},
    "trace": {"answer": "ada-2", "trace": "tr", "said": []},
}


def begun():
    own = Journal()
    asked = own.asks("one")
    own.answers("a", asked)
    own.answers("b", asked)
    own.add("blocked", turn=asked, where="request", category="violent")
    return own


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_line_needs_all_its_keys(kind):
    own = begun()
    own.add(kind, **GOOD[kind])
    history(own)
    line = own.lines[-1]
    for key in (*GOOD[kind], "id", "user", "at"):
        assert key in problem_in({name: value for name, value in line.items() if name != key})


@pytest.mark.parametrize(
    ("kind", "change", "words"),
    [
        ("turn", {"parent": "nobody"}, "is no turn of its conversation before it"),
        ("turn", {"parent": "ada-2", "conversation": "c2"}, "is no turn of its conversation"),
        ("turn", {"parent": "ada-1"}, "do not alternate"),
        ("turn", {"role": "assistant"}, "end: expected one of"),
        ("turn", {"role": "assistant", "end": "end"}, "an answer without a parent"),
        ("turn", {"role": "system"}, "user or assistant"),
        ("thumb", {"answer": "ada-1"}, "no answer"),
        ("thumb", {"answer": "nobody"}, "which no line before it holds"),
        ("thumb", {"value": "sideways"}, "up, down, null"),
        ("choice", {"chosen": "ada-1"}, "one of the two answers"),
        ("choice", {"answers": ["ada-2"]}, "two ids"),
        ("choice", {"answers": ["ada-2", "nobody"], "chosen": "tie"}, "which no line before it holds"),
        ("flag", {"flags": "wrong"}, "a list of names"),
        ("better", {"text": " "}, "a text, or null"),
        ("appeal", {"blocked": "ada-1"}, "nothing was blocked"),
        ("blocked", {"where": "somewhere"}, "request or answer"),
        ("consent", {"at": "yesterday"}, "a time with its zone"),
        ("consent", {"at": "2026-01-01T00:00:00"}, "a time with its zone"),
        ("dance", {}, "kind: expected one of consent, turn"),
    ],
)
def test_a_line_that_does_not_fit_is_refused_and_changes_nothing(kind, change, words):
    own = begun()
    found = history(own)
    own.add(kind, **(GOOD.get(kind, {}) | change))
    if "at" in change:
        own.lines[-1]["at"] = change["at"]
    before = (len(found.turns), len(found.said), len(found.choices), len(found.appeals))
    with pytest.raises(ValueError, match=words):
        found.take(own.lines[-1])
    assert (len(found.turns), len(found.said), len(found.choices), len(found.appeals)) == before

"""What was blocked becomes lines for moderation: an appeal is a claim that it was harmless."""

import json

from apps.chat import appeals
from rlhf.people import forgetting
from tests.apps.chat.stubs import Journal


def exported(root, capsys, *arguments):
    assert appeals.main(arguments, root) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_appeals_are_harmless_and_the_rest_keeps_its_category(tmp_path, capsys):
    own = Journal()
    first = own.asks("How to kill a process?")
    stop = own.add("blocked", turn=first, where="request", category="violent", probability=0.9)
    own.add("appeal", blocked=stop)
    answer = own.answers("Bad.", own.asks("Hi", conversation="c2"), "c2", end="blocked")
    own.add("blocked", turn=answer, where="answer", category="hateful", probability=0.8)
    own.written(tmp_path / "data/feedback")
    (line,) = exported(tmp_path, capsys)
    assert line["messages"] == [{"role": "user", "content": "How to kill a process?"}]
    assert (line["category"], line["source"], line["user"]) == (None, "appeal", "ada")
    both = exported(tmp_path, capsys, "--all")
    assert [(one["category"], one["source"]) for one in both] == [(None, "appeal"), ("hateful", "blocked")]
    assert both[1]["messages"][-1] == {"role": "assistant", "content": "Bad."}
    forgetting.remember(tmp_path / "data/feedback", "ada", forgetting.now())
    assert exported(tmp_path, capsys, "--all") == []

"""How a source would be read, shown before anything runs: what is said, and that the entry to paste is right."""

import json

import pytest
from ruamel.yaml import YAML

from rlhf.params.base import parse
from rlhf.params.collect_prompts import CollectPrompts, FileSource, HubSource
from tests import toys
from tools.looking import source

PKU = {"prompt": "Say red.", "response_0": "no", "response_1": "red", "better_response_id": 1, "safety_label": 0}


def looked(capsys, root, *words: str) -> tuple[int, str, str]:
    code = source.main([*words], root)
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def written(root, name: str, *rows: dict) -> str:
    (root / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return name


def test_a_file_is_read_without_params_and_the_entry_says_what_it_holds(tmp_path, capsys):
    name = written(tmp_path, "Some Pairs.jsonl", PKU, PKU | {"prompt": "Say blue.", "better_response_id": 0})
    code, out, error = looked(capsys, tmp_path, name)
    assert (code, error) == (0, "")
    assert out.startswith("2 rows read, as PKU-SafeRLHF: better_response_id, the index of the better response\n")
    assert "Columns that nobody read: safety_label." in out
    assert "  user       Say red.\n  rank 2     no\n  rank 1     red\n" in out
    entry = YAML(typ="safe").load(out[out.index("    - name") :])
    assert entry == [{"name": "some_pairs", "paths": [name], "use": ["comparisons", "prompts"]}]


def test_own_columns_are_shown_with_their_meanings_and_drops_with_their_first_place(tmp_path, capsys):
    rows = [{"question": "Say red.", "answer": "red", "user_id": "u"}, {"question": "", "messages": []},
            {"question": "Look", "answer": "x", "messages": [{"role": "tool", "content": "x"}]}]  # fmt: skip
    code, out, _ = looked(capsys, tmp_path, written(tmp_path, "a.jsonl", *rows))
    assert code == 0
    assert "3 rows read, as our own columns\n" in out
    for column, meaning in {"question": "prompt", "answer": "response", "user_id": "user"}.items():
        assert f"  {column:<24}{meaning}\n" in out
    assert "       1 dropped: tools_are_used, first at " in out
    assert "a.jsonl: line 3" in out


def test_pairs_without_a_prompt_say_how_they_are_read(tmp_path, capsys):
    name = written(tmp_path, "a.jsonl", {"chosen": "The sky is blue.", "rejected": "The sky is green."})
    _, out, _ = looked(capsys, tmp_path, name)
    assert "a: 1 of 1 rows: chosen and rejected without a prompt" in out
    assert "set form: TRL implicit prompt" in out
    _, out, _ = looked(capsys, tmp_path, name, "--form", "TRL implicit prompt")
    assert "  user       The sky is\n  rank 1     blue.\n  rank 2     green.\n" in out
    assert '      form: "TRL implicit prompt"\n' in out


def test_a_source_of_params_is_read_as_it_stands_there(root, capsys):
    content = toys.read_yaml(root / "params.yaml")
    content["collect_prompts"]["sources"].append(
        {"name": "mine", "paths": ["a.jsonl"], "use": ["prompts"], "columns": {"prompt": "safety_label"}}
    )
    toys.write_params(root, content)
    written(root, "a.jsonl", PKU | {"safety_label": "what it asks"})
    code, out, _ = looked(capsys, root, "mine")
    assert code == 0
    assert "  user       what it asks\n" in out


@pytest.mark.parametrize(
    ("words", "said"), [(["absent.jsonl"], "no such file"), (["a.jsonl", "--form", "none"], "expected own or one of")]
)
def test_what_cannot_be_read_is_said_in_a_line(tmp_path, capsys, words, said):
    written(tmp_path, "a.jsonl", PKU)
    code, out, error = looked(capsys, tmp_path, *words)
    assert (code, out) == (1, "")
    assert said in error
    assert error.count("\n") == 1


def test_a_source_is_three_lines():
    content = toys.shrunken_params()["collect_prompts"]
    first = [{"name": "a", "paths": ["x.jsonl"], "use": ["demonstrations", "prompts"]},
             {"name": "b", "id": "org/set", "use": ["comparisons"]},
             {"name": "c", "paths": ["*.txt"], "use": ["documents"]}]  # fmt: skip
    a, b, c = parse(CollectPrompts, {**content, "sources": first}, "collect_prompts").sources
    assert isinstance(a, FileSource)
    assert (a.format, a.columns, a.splits) == ("auto", None, ["sft", "ppo", "validation", "test"])
    assert isinstance(b, HubSource)
    assert (b.split, b.splits) == ("train", ["reward_model", "judge", "validation", "test"])
    assert c.splits == []

"""Tokens: shown once, kept as sums alone, ended by name."""

import json
import re
import stat

from apps import tokens
from apps.serving.guarding import hashed, read_tokens
from apps.serving.running import TOKENS


def made(root, capsys, name: str) -> str:
    assert tokens.main([name], root) == 0
    found = re.search(r"\?token=(\S+)", capsys.readouterr().out)
    assert found
    return found[1]


def test_a_token_is_shown_once_and_kept_as_a_sum(tmp_path, capsys):
    token = made(tmp_path, capsys, "Ada")
    assert json.loads((tmp_path / TOKENS).read_text()) == {"ada": hashed(token)}
    assert token not in (tmp_path / TOKENS).read_text()
    assert stat.S_IMODE((tmp_path / TOKENS).stat().st_mode) == 0o600
    assert len(token) >= 40


def test_a_new_one_ends_the_old_one_of_that_name_alone(tmp_path, capsys):
    ben, first, second = (made(tmp_path, capsys, name) for name in ("ben", "ada", "ada"))
    assert read_tokens(tmp_path / TOKENS) == {hashed(ben): "ben", hashed(second): "ada"}
    assert first != second


def test_removed_and_listed_by_name(tmp_path, capsys):
    made(tmp_path, capsys, "ada")
    made(tmp_path, capsys, "ben")
    assert tokens.main(["ada", "--remove"], tmp_path) == 0
    assert tokens.main([], tmp_path) == 0
    assert capsys.readouterr().out.split() == ["ben"]
    assert tokens.main(["ada", "--remove"], tmp_path) == 2
    assert "ada has no token; these have: ben" in capsys.readouterr().err


def test_a_name_that_can_be_no_file_is_refused(tmp_path, capsys):
    for name in ("../x", "a b", "", "ä"):
        assert tokens.main([name], tmp_path) == 2
    assert "expected a name" in capsys.readouterr().err
    assert not (tmp_path / TOKENS).exists()


def test_without_any_it_says_so(tmp_path, capsys):
    assert tokens.main([], tmp_path) == 0
    assert "nobody" in capsys.readouterr().out

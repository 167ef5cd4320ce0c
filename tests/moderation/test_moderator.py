"""A moderator's folder: what it says of texts and dialogues, and what is refused in its place."""

import json
import subprocess
import sys

import pytest

from rlhf import moderation
from rlhf.moderation import moderator
from tests import toys


@pytest.fixture
def folder(tmp_path):
    return toys.moderator(tmp_path / "data/moderation")


def test_a_text_is_blocked_from_the_threshold_of_its_language_on(folder):
    content = json.loads((folder / moderator.FILE).read_text())
    opened = moderation.opened(folder)
    bad, good = opened.judge(["a bad thing", "a good thing"])
    assert (bad.blocked, bad.category, good.blocked, good.category) == (True, "violence", False, None)
    assert bad.probability == pytest.approx(sum(bad.by_category.values()))
    assert bad.by_category.keys() == {"violence", "theft"}
    assert bad.probability > 0.9 > 0.2 > good.probability
    content["thresholds"] = {"en": 1.0, "zh": 0.5}
    (folder / moderator.FILE).write_text(json.dumps(content))
    again = moderation.opened(folder).judge(["a bad thing", "你们 bad"])
    assert [one.blocked for one in again] == [False, True]
    content["thresholds"]["en"] = bad.probability
    (folder / moderator.FILE).write_text(json.dumps(content))
    assert moderation.opened(folder).judge(["a bad thing"])[0].blocked


def test_of_a_dialogue_the_last_turn_is_judged(folder):
    turns = [{"role": "user", "content": "bad"}, {"role": "assistant", "content": "No."}]
    opened = moderation.opened(folder)
    assert [one.blocked for one in opened.judge([turns[:1], turns, "bad"])] == [True, False, True]
    assert opened.judge([]) == []
    with pytest.raises(ValueError, match="at least one turn"):
        opened.judge([[]])


def test_many_texts_have_the_verdicts_that_each_has_alone(folder):
    texts = ["bad", "good", "a bad day", "", "你好"]
    opened = moderation.opened(folder)
    assert opened.judge(texts) == [opened.judge([text])[0] for text in texts]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no moderator's folder: .*dvc repro moderation"),
        ("{", "not what the stage writes"),
        ('{"form": 7}', "not what the stage writes .*form 7"),
        ('{"form": 1, "kind": "trained", "categories": []}', "not what the stage writes .*thresholds"),
        ("[]", "not what the stage writes"),
    ],
)
def test_what_is_no_moderators_folder_is_refused_in_words(folder, content, said):
    file = folder / moderator.FILE
    file.unlink() if content is None else file.write_text(content)
    with pytest.raises(ValueError, match=said):
        moderation.opened(folder)


@pytest.mark.process
def test_to_judge_needs_neither_torch_nor_scikit_learn(folder):
    code = (
        "import sys; from pathlib import Path; from rlhf import moderation\n"
        f"print(moderation.opened(Path({str(folder)!r})).judge(['bad'])[0].blocked)\n"
        "print(sorted({'torch', 'sklearn', 'transformers', 'scipy', 'pickle5'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=toys.REPO, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["True", "[]"]

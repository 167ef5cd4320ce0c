"""A reward function of the user's: its numbers, or an error that says what to mend."""

import pytest

from rlhf.rewards import functions
from rlhf.rewards.functions import FunctionScorer

MESSAGES = [[{"role": "user", "content": text}] for text in ("Say red.", "Say blue.", "Who?")]
ANSWERS = ["red", "a blue fox", ""]


def scorer(tmp_path, monkeypatch, body: str, name: str = "my_rewards_one"):
    """Return a scorer by the function `worth` of a file with this body; each test's module is its own."""
    (tmp_path / f"{name}.py").write_text(body, encoding="utf-8")
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    monkeypatch.delitem(__import__("sys").modules, name, raising=False)
    return FunctionScorer(f"{name}:worth", tmp_path)


@pytest.mark.parametrize("size", [1, 2, 128])
def test_each_answer_gets_the_functions_number(tmp_path, monkeypatch, size):
    body = (
        "def worth(messages, answers):\n    return [len(m[-1]['content']) + len(a) for m, a in zip(messages, answers)]"
    )
    scores = scorer(tmp_path, monkeypatch, body).score_texts(MESSAGES, ANSWERS, size)
    assert scores == [len(turns[-1]["content"]) + len(answer) for turns, answer in zip(MESSAGES, ANSWERS, strict=True)]
    assert {type(score) for score in scores} == {float}


@pytest.mark.parametrize("made", ["numpy.arange(len(answers))", "torch.arange(len(answers))"])
def test_an_array_or_tensor_serves_as_well(tmp_path, monkeypatch, made):
    body = f"import numpy, torch\ndef worth(messages, answers):\n    return {made}"
    assert scorer(tmp_path, monkeypatch, body).score_texts(MESSAGES, ANSWERS) == [0.0, 1.0, 2.0]


def test_what_the_function_does_to_its_arguments_changes_nothing(tmp_path, monkeypatch):
    body = (
        "def worth(messages, answers):\n    answers.sort()\n    messages[0][0]['content'] = ''\n"
        "    messages[1].clear()\n    return [0.0] * len(answers)"
    )
    given, answers = [[message.copy() for message in turns] for turns in MESSAGES], [*ANSWERS]
    scorer(tmp_path, monkeypatch, body).score_texts(given, answers)
    assert (given, answers) == (MESSAGES, ANSWERS)


@pytest.mark.parametrize(
    ("returned", "expected"),
    [
        ("[1.0] * 2", "got 2 for 3 answers"),
        ("[0.0, float('nan'), 0.0]", "row 1: .*got nan for the answer 'a blue fox'"),
        ("[0.0, 0.0, float('inf')]", "row 2: .*got inf"),
        ("['1', 1, 1]", "row 0: .*got '1'"),
        ("[1, None, 1]", "row 1: .*got None"),
        ("[1, True, 1]", "row 1: .*got True"),
        ("None", "got NoneType None"),
        ("3.0", "got float 3.0"),
        ("'abc'", "got str 'abc'"),
        ("{0: 1.0, 1: 1.0, 2: 1.0}", "got dict"),
        ("1 / 0", "rows 0 to 2: it raised ZeroDivisionError: division by zero; mend the function"),
    ],
)
def test_what_is_no_list_of_numbers_is_an_error_with_function_and_row(tmp_path, monkeypatch, returned, expected):
    made = scorer(tmp_path, monkeypatch, f"def worth(messages, answers):\n    return {returned}")
    with pytest.raises(ValueError, match=rf"(?s)reward function my_rewards_one:worth \(my_rewards_one.py.*{expected}"):
        made.score_texts(MESSAGES, ANSWERS)


def test_an_errors_row_counts_through_all_batches_and_its_line_is_the_files(tmp_path, monkeypatch):
    body = "def worth(messages, answers):\n    return [1.0 / len(answer) for answer in answers]"
    with pytest.raises(ValueError, match=r"my_rewards_one.py, line 2\): rows 2 to 2: it raised ZeroDivisionError"):
        scorer(tmp_path, monkeypatch, body).score_texts(MESSAGES, ANSWERS, batch_size=2)
    body = "def worth(messages, answers):\n    return [float('nan') if not answer else 1.0 for answer in answers]"
    with pytest.raises(ValueError, match="row 2: "):
        scorer(tmp_path, monkeypatch, body).score_texts(MESSAGES, ANSWERS, batch_size=2)


def test_a_function_that_is_not_there_is_named(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="my_rewards_one.py has no function worth"):
        scorer(tmp_path, monkeypatch, "worthy = 1")
    with pytest.raises(ValueError, match=r"my_rewards_one.py cannot be imported: NameError: .*unknown"):
        scorer(tmp_path, monkeypatch, "unknown")
    with pytest.raises(FileNotFoundError, match="no file nowhere/mine.py below"):
        functions.imported("nowhere.mine:worth", tmp_path)


def test_a_module_of_the_same_name_elsewhere_is_not_taken_for_the_projects(tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text("def dumps(messages, answers): ...", encoding="utf-8")
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    with pytest.raises(ValueError, match=r"another module of that name .*rename json.py, for example to my_json.py"):
        functions.imported("json:dumps", tmp_path)

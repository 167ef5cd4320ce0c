"""params.yaml is checked as a whole: every mistake is named with its path, its value and what is allowed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rlhf.models.shapes import SHAPES
from rlhf.params.base import read_yaml
from tests import toys
from tests.labelers import asked
from tools import check
from tools.planning import stages

REPO = Path(__file__).resolve().parents[2]
SHA = "expected the full commit sha"
PRESETS = sorted((REPO / "presets").glob("*.yaml"))


@pytest.fixture
def tiny(tmp_path):
    """Return a function that writes tiny's params.yaml with changes at dotted paths and returns its mistakes."""

    def mistakes(changes: dict) -> list[str]:
        content = read_yaml(REPO / "presets/tiny.yaml")
        for path, value in changes.items():
            toys.put(content, path, value)
        toys.write_params(tmp_path, content)
        return check.check(tmp_path)

    return mistakes


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
def test_every_preset_fits_the_schema(preset, tmp_path):
    (tmp_path / "params.yaml").write_bytes(preset.read_bytes())
    spared = ("no such f", SHA, "pip install --no-deps")  # files, commits and packages that are not here
    assert [mistake for mistake in check.check(tmp_path) if not any(words in mistake for words in spared)] == []


def test_the_shipped_params_are_right():
    assert check.check(REPO) == []


@pytest.mark.parametrize(
    ("place", "change"),
    [
        ("tracking.experiment", "${oc.env:SECRET}"),
        ("collect_prompts.documents.separator", "a ${seed} b"),
        ("collect_prompts.sources.2.licence", "\\${oc.env:SECRET}"),
        ("collect_prompts.sources.2.columns.prompt", "${oc.env:SECRET}"),
    ],
)
def test_what_dvc_would_fill_in_from_the_environment_is_refused(tiny, place, change):
    """`dvc exp run -S` of any other key would write the value into params.yaml, git and MLflow."""
    changes = {place: change}
    if ".sources." in place:
        key = place.split(".")[3]
        own = beside(["prompts", "comparisons"], BOTH)["collect_prompts.sources"]
        own[2] |= {key: {"prompt": change} if key == "columns" else change}
        changes = {"collect_prompts.sources": own}
    assert [line for line in tiny(changes) if f"params.yaml: {place}: DVC takes ${{ for a variable" in line]


def test_all_mistakes_are_listed_at_once(tiny):
    found = tiny({"seed": "one", "ppo.kl_coef": -1.0, "ppo.clp_range": 0.2, "sft.epochs": toys.Removed, "extra": {}})
    assert len(found) == 5
    assert any("ppo.kl_coef: Input should be greater than or equal to 0 (got -1.0)" in line for line in found)
    assert any("ppo.clp_range: unknown key" in line for line in found)
    assert any("sft.epochs: missing" in line for line in found)
    assert any("extra: unknown" in line for line in found)
    assert any("seed: Input should be a valid integer (got 'one')" in line for line in found)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"rounds": {}}, "rounds: expected at least one round"),
        ({"rounds.r1.policy": "ppo/r1"}, "rounds.r1.policy: expected one of sft (got 'ppo/r1')"),
        (
            {"rounds.r2": {"policy": "ppo/r1", "earlier": "collect_comparisons/r9"}},
            "rounds.r2.earlier: expected one of",
        ),
        (
            {"rounds.R 2": {"policy": "ppo/r1", "earlier": "collect_prompts"}},
            "rounds.R 2: it names folders and stands in commands",
        ),
        ({"tracking.uri": "mlruns"}, "tracking.uri: expected null or a URI"),
        ({"pretrain": toys.adopting("absent")}, "pretrain.path: no such folder"),
        (
            {
                "reward_model.backbone": "encoder",
                "reward_model.pooling": "last",
                "reward_model.likelihood_coef": 0.0,
                "reward_model.encoder_path": "./absent",
            },
            "encoder_path: no such folder",
        ),
        (
            {"reward_model.backbone": "encoder", "reward_model.pooling": "mean", "reward_model.encoder_path": "a/b"},
            "pooling must be 'last'",
        ),
        (
            {"reward_model.backbone": "encoder", "reward_model.pooling": "last", "reward_model.encoder_path": "a/b"},
            "likelihood_coef must be 0",
        ),
        (
            {
                "reward_model.backbone": "encoder",
                "reward_model.pooling": "last",
                "reward_model.likelihood_coef": 0.0,
                "reward_model.encoder_path": "a/b",
            },
            "ppo.value_init: an encoder",
        ),
        (
            {"pretrain.parametrisation": "mup", "pretrain.base_width": 48},
            "pretrain.base_width: expected a multiple of 32, the size of the shape's heads (got 48)",
        ),
        ({"reward_model.loss": "direct"}, "likelihood_coef must be 0 for loss 'direct'"),
        ({"runtime.threads": 3, "runtime.workers": 2}, "runtime.workers: expected a divisor of runtime.threads, 3"),
        ({"runtime.threads": 2, "runtime.workers": 2, "runtime.device": "cuda"}, "expected 1 (got 2)"),
        ({"runtime.threads": 2, "runtime.workers": 2, "sft.dropout": 0.2}, "sft.dropout draws from one generator"),
        ({"runtime.processes": 2, "feedme.dropout": 0.2}, "runtime.processes: feedme.dropout draws from one generator"),
        ({"runtime.processes": 2, "rejection.dropout": 0.2}, "rejection.dropout draws from one generator"),
        ({"rejection.round": "r9"}, "rejection.round: expected one of rounds"),
        ({"dpo.round": "r9"}, "dpo.round: expected one of rounds"),
    ],
)
def test_impossible_combinations_and_missing_inputs_are_named(tiny, changes, named):
    assert any(named in line for line in tiny(changes)), named


WORLD = read_yaml(REPO / "presets/tiny.yaml")["collect_prompts"]["sources"]
UNRANKED = "simulated labelers rank answers to prompts of kinds world and instructions alone, and no such source has "
OF_WORLD = {"reward_model": UNRANKED + "prompts in its use and reward_model in its splits", "judge": UNRANKED}
NOBODY = {"collect_comparisons.labelers": None} | {
    f"collect_answers.{count}": 0 for count in ("max_prompts", "max_judge_prompts")
}


def beside(use: list[str], splits: list[str], of_world=("sft", "ppo")) -> dict:
    """Return the change to tiny's sources by which its world feeds these splits only, and a file of one's own."""
    mine = {"name": "mine", "kind": "file", "paths": ["mine.jsonl"], "format": "auto", "use": use, "splits": splits}
    return {"collect_prompts.sources": [WORLD[0] | {"splits": list(of_world)}, WORLD[1], mine]}


BOTH = ["reward_model", "judge"]
FROM_SFT = {"collect_answers.prompts": "sft"}
NO_RANKED, NO_JUDGED = f"max_prompts: {OF_WORLD['reward_model']}", f"max_judge_prompts: {OF_WORLD['judge']}"
NO_TASK = "max_prompts: collect_answers.prompts_with is task, which prompts of kinds world and instructions alone have"
NO_TASK_JUDGED = NO_TASK.replace("max_prompts", "max_judge_prompts")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (beside(["prompts"], BOTH), [NO_RANKED, NO_JUDGED]),
        (NOBODY, ["max_prompts: no answers are ranked", "max_judge_prompts: no answers are ranked"]),
        (beside(["prompts", "comparisons"], BOTH), []),
        (NOBODY | beside(["prompts", "comparisons"], BOTH), []),
        (FROM_SFT | beside(["prompts"], BOTH), [NO_JUDGED]),
        (beside(["prompts"], BOTH, ("sft", "ppo", "reward_model", "judge")), []),
        (beside(["prompts"], ["judge"], ("sft", "ppo", "reward_model")), [NO_JUDGED]),
        (beside(["prompts", "comparisons"], ["judge"], ("sft", "ppo", "reward_model")), []),
    ],
)
def test_comparisons_come_from_labelers_who_know_the_prompts_or_are_given(tiny, changes, said):
    found = [line for line in tiny(changes) if "collect_answers." in line]
    assert len(found) == len(said)
    for line, beginning in zip(found, said, strict=True):
        assert line.startswith(f"params.yaml: collect_answers.{beginning}")
        assert "would learn from nothing" in line


TASTE = {"kind": "function", "function": "my_taste:brevity", "tie_threshold": 0.0}
ALL = {"collect_answers.prompts_with": "any"}
ANY = {"collect_comparisons.labelers": TASTE} | ALL
BREVITY = "def brevity(messages, answers):\n    return [0.0 for _ in answers]\n"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (ANY | beside(["prompts"], BOTH), []),
        (ANY | FROM_SFT | beside(["prompts"], BOTH), []),
        ({"collect_comparisons.judge_labelers": TASTE} | ALL | beside(["prompts"], BOTH), [NO_RANKED]),
        (ANY | {"collect_answers.prompts_with": "task"} | beside(["prompts"], BOTH), [NO_TASK, NO_TASK_JUDGED]),
    ],
)
def test_labelers_of_other_kinds_rank_answers_to_prompts_of_ones_own(tiny, tmp_path, changes, said):
    (tmp_path / "mine.jsonl").write_text("{}\n")
    with asked.functions(tmp_path, BREVITY):
        found = tiny(changes)
    assert len(found) == len(said)
    for line, beginning in zip(found, said, strict=True):
        assert line.startswith(f"params.yaml: collect_answers.{beginning}")
        assert "would learn from nothing" in line


def test_where_no_prompts_may_be_ranked_the_split_that_lacks_them_is_named(tiny, tmp_path):
    (tmp_path / "mine.jsonl").write_text("{}\n")
    shares = read_yaml(REPO / "presets/tiny.yaml")["collect_prompts"]["shares"]
    none = {"collect_prompts.shares": shares | {"sft": shares["sft"] + shares["judge"], "judge": 0.0}}
    with asked.functions(tmp_path, BREVITY):
        found = tiny(ANY | none | beside(["prompts"], ["reward_model"]))
    assert any("max_judge_prompts: no source has prompts in its use and judge in its splits" in one for one in found)


def test_a_judge_of_any_prompts_gets_as_many_comparisons_as_its_sources_have(tiny, tmp_path):
    own = ANY | beside(["prompts"], BOTH)
    (tmp_path / "mine.jsonl").write_text("{}\n")
    with asked.functions(tmp_path, BREVITY):
        own["collect_prompts.sources"][2]["limit"] = 9
        assert any("no more than 9 can be" in line for line in tiny(own))
        own["collect_prompts.sources"][2]["limit"] = 10
        assert tiny(own) == []


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("my_taste:brevity", None, "my_taste.py: no such file"),
        ("my_taste:brevity", "import nowhere_at_all", "cannot be imported: ModuleNotFoundError"),
        ("my_taste:wit", "brevity = 1", "has no function wit"),
        ("my_taste", "", "expected module:function"),
    ],
)
def test_a_function_that_cannot_be_called_is_named_before_anything_runs(tiny, tmp_path, name, code, said):
    with asked.functions(tmp_path, code or ""):
        if code is None:
            (tmp_path / "my_taste.py").unlink()
        found = tiny({"collect_comparisons.labelers": TASTE | {"function": name}})
    assert [line for line in found if "collect_comparisons.labelers" in line and said in line], found
    assert len(found) == 1


CHAT = read_yaml(REPO / "examples/labelers.yaml")["collect_comparisons"]["labelers"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"base_url": "judge.example/v1"}, "expected an address"),
        ({"base_url": "ftp://judge.example"}, "expected an address"),
        ({"base_url": "https://me:secret@judge.example/v1"}, "key_variable"),
        ({"base_url": "https://judge.example/v1?key=secret"}, "key_variable"),
        ({"key_variable": "sk-1234567890abcdefghij1234"}, "name of an environment variable"),
        ({"key_variable": "deadbeefdeadbeefdeadbeef"}, "name of an environment variable"),
        ({"kind": "oracle"}, "expected one of 'simulated', 'reward_model', 'function', 'chat_model', 'people'"),
        ({"noise": 0.1}, "unknown key for kind 'chat_model'"),
        ({"compares": "scores"}, "scale must be given"),
        ({"scale": {"low": 1.0, "high": 5.0}}, "scale must be given"),
        ({"compares": "scores", "scale": {"low": 5.0, "high": 5.0}, "pairs": None}, "must be below"),
        ({"compares": "scores", "scale": {"low": 1.0, "high": 5.0}}, "pairs must be null"),
        ({"instructions": "x", "instructions_file": "y"}, "give one of them"),
        ({"instructions_file": "nowhere.md"}, "no such file"),
        ({"pairs": 2}, "cannot tie"),
        ({"max_unreadable": 1.5}, "less than or equal to 1"),
    ],
)
def test_a_mistake_about_a_judge_is_named_without_its_secrets(tiny, changes, said):
    found = tiny(ALL | {"collect_comparisons.labelers": CHAT | changes})
    assert [line for line in found if "collect_comparisons" in line and said in line], found
    for secret in ("secret", "sk-1234567890abcdefghij1234", "deadbeef"):
        assert not any(secret in line for line in found)


def test_by_hand_a_judges_cost_and_what_may_be_missing_are_said(tiny, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("JUDGE_API_KEY", raising=False)
    judge = CHAT | {"base_url": "http://judge.example/v1", "max_requests": 100}
    sizes = {"max_prompts": 10, "max_judge_prompts": 20, "min_responses": 2, "max_responses": 4}
    sizes |= {"max_prompt_tokens": 100, "max_completion_tokens": 50}
    changes = ALL | {f"collect_answers.{name}": value for name, value in sizes.items()}
    assert tiny(changes | {"collect_comparisons.labelers": judge}) == []
    assert check.main([], tmp_path) == 0
    said = capsys.readouterr()
    (line,) = [line for line in said.out.splitlines() if "a round sends" in line]
    assert "judge-large at judge.example: a round sends at most 360 requests" in line
    assert "at most 5,760 completion tokens" in line
    assert "by the prices of params" in line
    assert "max_requests allows 100" in line
    warned = said.err.splitlines()
    assert sum("the environment variable JUDGE_API_KEY is not set here" in line for line in warned) == 1
    assert sum("over http the key can be read" in line for line in warned) == 1
    assert sum("rank for the judge too" in line for line in warned) == 1
    monkeypatch.setenv("JUDGE_API_KEY", "x" * 20)
    changes |= {"collect_comparisons.labelers": CHAT, "collect_comparisons.judge_labelers": TASTE}
    with asked.functions(tmp_path, BREVITY):
        assert tiny(changes) == []
        assert check.main([], tmp_path) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert "a round sends at most 120 requests" in said.out


def few(limit: int | None) -> dict:
    """Return the change by which a file of so many rows is all that the judge learns from."""
    changes = beside(["comparisons"], BOTH)
    changes["collect_prompts.sources"][2]["limit"] = limit
    return NOBODY | changes


ROUNDS = {"rounds.r2": {"policy": "ppo/r1", "earlier": "collect_comparisons/r1"}, "judge.round": "r2"}


@pytest.mark.parametrize(
    ("changes", "most"),
    [
        ({"collect_answers.max_judge_prompts": 9}, 9),
        ({"collect_answers.max_judge_prompts": 10}, None),
        ({"collect_prompts.max_prompts.judge": 4}, 4),
        (ROUNDS | {"collect_prompts.max_prompts.judge": 4}, 8),  # each round ranks answers to the same prompts
        (ROUNDS | {"collect_prompts.max_prompts.judge": 5}, None),
        ({"collect_prompts.sources": [WORLD[0] | {"prompts": 7}, WORLD[1]]}, 7),
        (few(9), 9),
        (few(10), None),
        (few(None), None),
    ],
)
def test_a_judge_that_cannot_get_enough_comparisons_is_refused_before_anything_runs(tiny, changes, most):
    found = [line for line in tiny(changes) if line.startswith("params.yaml: judge: ")]
    assert [f"no more than {most} can be" in line for line in found] == [True] * (most is not None)


CONTEXT = SHAPES["tiny"].context
IN_CONTEXT = (  # what may ask for more tokens than the model's context holds
    "pretrain.sequence_tokens", "sft.max_tokens", "feedme.max_tokens", "rejection.max_tokens", "dpo.max_tokens",
    "reward_model.max_tokens", "judge.max_tokens", "ppo.ptx_sequence_tokens", "evaluate.sequence_tokens",
)  # fmt: skip


@pytest.mark.parametrize("path", IN_CONTEXT)
def test_no_stage_asks_for_more_tokens_than_the_context_holds(tiny, path):
    assert tiny({path: CONTEXT}) == []
    assert tiny({path: CONTEXT + 1}) == [
        f"params.yaml: {path}: the shape 'tiny' has a context of {CONTEXT} tokens (got {CONTEXT + 1})"
    ]


@pytest.mark.parametrize("stage", ["collect_answers", "ppo", "rejection", "evaluate"])
def test_prompt_and_answer_together_fit_the_context(tiny, stage):
    prompt, answer = f"{stage}.max_prompt_tokens", f"{stage}.max_completion_tokens"
    assert tiny({prompt: CONTEXT - 10, answer: 10}) == []
    (found,) = tiny({prompt: CONTEXT - 10, answer: 11})
    assert f"{prompt} + max_completion_tokens: the shape 'tiny' has a context of {CONTEXT} tokens" in found


@pytest.mark.parametrize("rival", ["rejection", "dpo"])
def test_a_rival_that_is_left_out_asks_for_no_context(tiny, rival):
    asked = {f"{rival}.max_tokens": CONTEXT + 1, f"{rival}.train": False}
    assert tiny(asked | ({"rejection.max_prompt_tokens": CONTEXT} if rival == "rejection" else {})) == []


def test_a_second_round_on_the_first_ones_policy_is_right(tiny):
    assert tiny({"rounds.r2": {"policy": "ppo/r1", "earlier": "collect_comparisons/r1"}}) == []


@pytest.mark.process
def test_the_command_exits_with_2_and_says_how_to_get_outputs_back(tmp_path):
    (tmp_path / "params.yaml").write_text("seed: 1\n  x: 2\n")
    (tmp_path / "dvc.lock").write_text('{"stages": {"ppo@r1": {"outs": [{"path": "data/ppo/r1", "md5": "0"}]}}}')
    command = [sys.executable, "-m", "tools.check", "ppo", "r1"]
    environment = os.environ | {"DVC_STAGE": "ppo@r1", "PYTHONPATH": str(REPO)}
    answer = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode == 2
    assert "params.yaml: line 2, column 4" in answer.stderr
    assert "ppo@r1: its previous data/ppo/r1 is not in DVC's cache here" in answer.stderr


def run_command(root: Path, *words: str, **environment: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "tools.check", *words]
    clean = {name: value for name, value in os.environ.items() if name != "DVC_STAGE"} | {"PYTHONPATH": str(REPO)}
    return subprocess.run(command, cwd=root, env=clean | environment, capture_output=True, text=True, check=True)


@pytest.mark.process
def test_right_params_get_one_line_that_names_what_they_ask_for(tmp_path):
    text = (REPO / "presets/tiny.yaml").read_text(encoding="utf-8")
    (tmp_path / "presets").mkdir()
    for path in (tmp_path / "presets/tiny.yaml", tmp_path / "params.yaml"):
        path.write_text(text, encoding="utf-8")
    said = "params.yaml: fine; preset tiny; 3 sources; rounds r1; model 'tiny' from scratch; on cpu\n"
    *table, last = run_command(tmp_path).stdout.splitlines(keepends=True)
    assert last == said
    assert table[0].startswith("memory on paper, MB a process, of 0.144 million weights")
    assert [line.split()[0] for line in table[1:]] == ["stage", *stages.STAGES]
    (tmp_path / "params.yaml").write_text(text.replace("seed: 17", "seed: 18", 1), encoding="utf-8")
    assert run_command(tmp_path).stdout.endswith(said.replace("preset tiny", "values of your own"))


@pytest.mark.process
def test_as_a_stages_first_command_it_is_silent_where_all_is_well(tmp_path):
    (tmp_path / "params.yaml").write_bytes((REPO / "presets/tiny.yaml").read_bytes())
    answer = run_command(tmp_path, "sft", DVC_STAGE="sft")
    assert (answer.stdout, answer.stderr) == ("", "")


@pytest.mark.process
def test_checking_imports_nothing_heavy():
    script = "import sys, tools.check; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], cwd=REPO, capture_output=True, text=True, check=True).stdout
    assert not {"torch", "transformers", "mlflow", "pandas", "sklearn", "numpy", "datasets"} & set(loaded.split())

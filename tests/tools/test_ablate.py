"""Ablations: overlays of changed keys, checked before anything runs, and the table of what they changed."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rlhf.evaluation.verdicts import Judged
from rlhf.params.base import ParamsError
from tests import toys
from tests.collect_prompts_section import source
from tools import ablate
from tools.overlays import laying


def overlay(root, text: str, name: str = "some"):
    file = root / f"{name}.yaml"
    file.write_text(text)
    return file


@pytest.fixture
def presets(root):
    (root / "presets").mkdir()
    content = toys.read_yaml(root / "params.yaml")
    content["ppo"]["gamma"], content["seed"] = 0.5, 3
    with open(root / "presets/other.yaml", "w") as file:
        toys.YAML(typ="safe", pure=True).dump(content, file)
    return root


def values(ablation: ablate.Ablation) -> dict:
    return {change.key: change.value for change in ablation.changes}


def applied(root, ablation: ablate.Ablation) -> dict:
    """Return the params that DVC makes of the command's words."""
    from dvc.utils.hydra import apply_overrides

    file = shutil.copy(root / "params.yaml", root / "applied.yaml")
    apply_overrides(file, ablate.command(ablation, ["--temp"])[7::2])
    return toys.read_yaml(file)


def test_an_overlay_becomes_the_changed_keys(root):
    found = ablate.read(root, overlay(root, "ppo: {kl_coef: 0.75, kl_controller: {kind: adaptive}}\nseed: 5\n"))
    assert found.name == "some"
    assert values(found) == {"ppo.kl_coef": 0.75, "ppo.kl_controller.kind": "adaptive", "seed": 5}
    words = ablate.command(found, ["--temp"])
    assert words[:6] == ["dvc", "exp", "run", "--temp", "--name", "some"]
    assert sorted(words[7::2]) == ["ppo.kl_coef=0.75", 'ppo.kl_controller.kind="adaptive"', "seed=5"]
    assert set(words[6::2]) == {"--set-param"}


def test_dotted_keys_are_nested_ones(root):
    found = ablate.read(root, overlay(root, "ppo.kl_controller: {kind: adaptive}\nppo.gamma: 0.5\n"))
    assert values(found) == {"ppo.kl_controller.kind": "adaptive", "ppo.gamma": 0.5}


def test_a_preset_may_lie_underneath(presets):
    found = ablate.read(presets, overlay(presets, "preset: other\nppo: {gamma: 0.25}\n"))
    assert values(found) == {"seed": 3, "ppo.gamma": 0.25}


ROUND = {"policy": "ppo/r1", "earlier": "collect_comparisons/r1"}
FILE = source("mine", "params.yaml", columns={"prompt": 'q, "quoted" [1]', "response": "答案: a"}, limit=None)


@pytest.mark.parametrize(
    ("changes", "sign"),
    [
        ({"ppo": {"kl_coef": 1e-5, "gamma": 0.5}}, ""),
        ({"tracking": {"uri": "sqlite:///a b.db"}}, ""),
        ({"collect_prompts": {"documents": {"separator": "a\nb"}}}, ""),
        ({"collect_prompts": {"documents": {"separator": 'C:\\new "x\\" y\\\\z\\'}}}, ""),
        ({"rounds": {"r2": ROUND}}, "+"),
        ({"pretrain": toys.adopting("adopted")}, "~"),
        ({"collect_prompts": {"sources": [FILE]}}, ""),
        ({"collect_comparisons": {"labelers": None}, "collect_answers": {"max_prompts": 0}}, ""),
    ],
    ids=[
        "numbers",
        "text",
        "a line end",
        "backslashes and quotes",
        "a new round",
        "another source",
        "a list of mappings",
        "null for a mapping",
    ],
)
def test_dvc_makes_of_the_command_what_the_overlay_says(root, changes, sign):
    (root / "adopted").mkdir()
    whole = laying.laid_over(toys.read_yaml(root / "params.yaml"), changes)
    found = ablate.Ablation("some", tuple(ablate.differences(toys.read_yaml(root / "params.yaml"), whole)))
    assert sign in {change.sign for change in found.changes}
    assert applied(root, found) == whole


def test_a_mapping_may_come_back(root):
    near = toys.read_yaml(root / "params.yaml")["collect_prompts"]["cleaning"]["near_duplicates"]
    toys.set_param(root, "collect_prompts.cleaning.near_duplicates", None)
    change = {"collect_prompts": {"cleaning": {"near_duplicates": near}}}
    found = ablate.read(root, overlay(root, json.dumps(change)))
    assert applied(root, found)["collect_prompts"]["cleaning"]["near_duplicates"] == near


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ppo: {kl_ceof: 0.1}", "ppo.kl_ceof: unknown key"),
        ("ppo: {kl_coef: high}", "ppo.kl_coef: .*'high'"),
        ("pppo: {kl_coef: 0.1}", "pppo: unknown key"),
        ("judge: {round: r9}", "judge.round: expected one of rounds"),
        ("preset: nowhere", "preset: expected one of other"),
        ("{}", "changes nothing"),
        ("seed: 17", "has these values already"),
        ("ppo: [", "line 1"),
        ("tracking: {experiment: '${oc.env:HOME}'}", "tracking.experiment: DVC takes"),
    ],
)
def test_mistakes_are_named_with_the_file_before_anything_runs(presets, monkeypatch, capsys, text, said):
    toys.set_param(presets, "seed", 17)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("something ran"))
    good, bad = overlay(presets, "seed: 99", "good"), overlay(presets, text, "bad")
    with pytest.raises(ParamsError, match=f"bad.yaml.*{said}"):
        ablate.read(presets, bad)
    assert ablate.main([str(good), str(bad)], presets) == 2
    assert "bad.yaml" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["-x", "a b", "a\nb", "a..b", ".a", "a.lock", "", "a~1", "é"])
def test_a_file_whose_name_is_none_of_an_experiment_is_refused_in_a_line(root, name, capsys):
    file = root / f"{name}.yaml"
    file.write_text("seed: 99")
    assert ablate.main(["--table", "--", str(file)], root) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "the file's name is the experiment's" in line


def test_two_files_of_one_name_are_refused(root, capsys):
    files = [overlay(root, "seed: 99"), root / "deeper/some.yaml"]
    files[1].parent.mkdir()
    files[1].write_text("seed: 98")
    assert ablate.main([*map(str, files), "--table"], root) == 2
    assert "some.yaml has its name" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], [["exp", "run", "--temp"], ["exp", "run", "--temp"]]),
        (["--queue"], [["exp", "run", "--queue"], ["exp", "run", "--queue"]]),
        (["-j", "2"], [["exp", "run", "--queue"], ["exp", "run", "--queue"], ["exp", "run", "--run-all"]]),
        (["--table"], []),
    ],
)
def test_how_they_are_run(root, monkeypatch, options, expected):
    commands = []

    def run(command, env=None, **_):
        commands.append(command)
        found = shutil.which("dvc", path=(env or {}).get("PATH"))
        assert command[0] != "dvc" or (found and Path(found).parent == Path(sys.executable).parent)
        return subprocess.CompletedProcess(command, 1 if command[0] == "git" else 0, "")

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setenv("PATH", "/usr/bin")  # a shell in which nothing was activated
    monkeypatch.setattr(ablate, "table", lambda *_: [])
    files = [str(overlay(root, f"seed: {number}", f"seed_{number}")) for number in (5, 6)]
    assert ablate.main([*files, *options], root) == 0
    assert [command[1:4] for command in commands if command[0] == "dvc"] == expected


def samples(*scores: float | None) -> str:
    answer = dict.fromkeys(Judged._fields) | {"judge": 9.0}
    lines = [
        {"id": f"p{i}", "answers": {name: answer | {"gold": score} for name in ablate.SHOWN}}
        for i, score in enumerate(scores)
    ]
    return "".join(json.dumps(line) + "\n" for line in lines)


@pytest.fixture
def experiments(root, monkeypatch):
    """A repository under git, and a way to make an experiment: its name, params and samples."""
    import dvc.api

    stored: dict[str, str] = {}

    def git(*words: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        return subprocess.run(["git", *identity, *words], cwd=root, capture_output=True, text=True, check=True).stdout

    def read(path, repo, rev):
        assert (path, repo) == (ablate.SAMPLES, str(root.resolve()))
        if rev not in stored:
            raise FileNotFoundError(f"no {path} there")
        return stored[rev]

    def made(name: str, changes: str, found: str | None) -> None:
        head, text = git("rev-parse", "HEAD").strip(), (root / "params.yaml").read_text()
        for change in filter(None, changes.split(",")):
            toys.set_param(root, change.split("=")[0], json.loads(change.split("=")[1]))
        git("commit", "-qam", name, "--allow-empty")
        commit = git("rev-parse", "HEAD").strip()
        git("update-ref", f"refs/exps/{head[:2]}/{head[2:]}/{name}", commit)
        git("reset", "-q", "--hard", head)
        assert (root / "params.yaml").read_text() == text
        stored.update({commit: found} if found else {})

    monkeypatch.setattr(dvc.api, "read", read)
    git("init", "-q")
    git("add", "params.yaml")
    git("commit", "-qm", "first")
    made.git = git
    (root / "data/evaluate").mkdir()
    (root / ablate.SAMPLES).write_text(samples(0.5, 0.25, 0.75))
    return made


def table(root, capsys, *names: str, text: str = "ppo: {kl_coef: 0.3}") -> tuple[dict[str, str], str]:
    """Return the table's lines by the word that they begin with, and what was said besides."""
    assert ablate.main([*(str(overlay(root, text, name)) for name in names), "--table"], root) == 0
    shown = capsys.readouterr()
    return {line.split()[0]: line for line in shown.out.splitlines()}, shown.err


def test_the_table_compares_each_experiments_own_samples_on_the_same_prompts(root, experiments, capsys):
    experiments("better", "ppo.kl_coef=0.3", samples(0.75, 0.5, 1.0))
    experiments("worse", "ppo.kl_coef=0.3", samples(0.25, 0.0, 0.5))
    experiments("broken", "ppo.kl_coef=0.3", None)
    lines, said = table(root, capsys, "better", "worse", "broken", "unrun")
    assert lines["params.yaml"].split()[:3] == ["params.yaml", "0.500", "0.500"]
    assert lines["better"].count("+0.250 (+0.250 to +0.250)") == 2
    assert lines["worse"].count("-0.250 (-0.250 to -0.250)") == 2
    assert lines["better"].endswith("  ppo.kl_coef=0.3")
    assert ["has not run" in lines[name] for name in ("better", "worse", "broken", "unrun")] == [
        False,
        False,
        True,
        True,
    ]
    assert f"no {ablate.SAMPLES} there" in said


def test_the_table_says_what_ran_and_not_what_the_file_says_by_now(root, experiments, capsys):
    experiments("some", "ppo.kl_coef=0.2", samples(0.75, 0.5, 1.0))
    lines, _ = table(root, capsys, "some")
    assert lines["some"].endswith("  ppo.kl_coef=0.2  (params.yaml or its file has changed since it ran)")


def test_an_experiment_of_an_earlier_commit_is_called_so_and_a_branch_is_none(root, experiments, capsys):
    experiments("old", "ppo.kl_coef=0.3", samples(0.75, 0.5, 1.0))
    base = experiments.git("rev-parse", "HEAD").strip()
    experiments.git("commit", "-qm", "second", "--allow-empty")
    experiments.git("branch", "branch")
    lines, _ = table(root, capsys, "old", "branch")
    assert lines["old"].endswith(f"  ppo.kl_coef=0.3  (of commit {base[:7]}, with its code)")
    assert "has not run" in lines["branch"]


@pytest.mark.parametrize(
    ("path", "doubt"),
    [
        ("rlhf/rl", "  (with another rlhf/rl)"),
        ("real/answers.jsonl", "  (with another real/answers.jsonl)"),
        ("data/sft", ""),  # made by the experiment itself
        ("data/sft/weights", ""),
    ],
)
def test_an_experiment_of_other_code_or_files_is_called_so(root, experiments, capsys, path, doubt):
    def lock(md5: str) -> None:
        stages = {
            "sft": {"outs": [{"path": "data/sft", "md5": "1"}]},
            "ppo": {"deps": [{"path": "stages/ppo.py", "md5": "1"}, {"path": path, "md5": md5}]},
        }
        (root / "dvc.lock").write_text(json.dumps({"stages": stages}))

    lock("1")
    experiments.git("add", "dvc.lock")
    experiments.git("commit", "-qm", "locked")
    lock("2")
    experiments("edited", "ppo.kl_coef=0.3", samples(0.75, 0.5, 1.0))
    lines, _ = table(root, capsys, "edited")
    assert lines["edited"].endswith(f"  ppo.kl_coef=0.3{doubt}")


def test_means_over_other_prompts_are_called_so(root, experiments, capsys):
    experiments("fewer", "ppo.kl_coef=0.3", samples(0.75, 0.5))
    lines, _ = table(root, capsys, "fewer")
    assert lines["fewer"].endswith("  (its mean is over 2 prompts, the difference over the 2 in common)")


def test_without_answers_to_the_prompts_here_no_difference_is_shown(root, experiments, capsys):
    """A clone without data, or after evaluate was stopped: DVC has removed what it made before."""
    experiments("better", "ppo.kl_coef=0.3", samples(0.75, 0.5, 1.0))
    (root / ablate.SAMPLES).unlink()
    lines, _ = table(root, capsys, "better")
    assert lines["better"].split() == ["better", "0.750", "0.750", "ppo.kl_coef=0.3"]
    assert "has no answers here" in lines["params.yaml"]


def test_a_baseline_of_other_params_is_called_so(root, experiments, capsys, monkeypatch):
    monkeypatch.setattr(ablate.changes, "in_a_line", lambda *_: "These figures are of an earlier run")
    lines, _ = table(root, capsys, "unrun")
    assert lines["The"] == "The line of params.yaml: These figures are of an earlier run"


def test_without_gold_the_judge_decides():
    found = ablate.scores(samples(0.5, None))
    assert found == {name: {"p0": 0.5, "p1": 9.0} for name in ablate.SHOWN}


def test_the_repositorys_own_ablations_are_sound():
    files = sorted((toys.REPO / "ablations").glob("*.yaml"))
    assert len(files) >= 3
    for file in files:
        assert ablate.read(toys.REPO, file).changes


def test_after_a_run_that_failed_it_names_what_a_copy_lacks(root, monkeypatch, capsys):
    monkeypatch.setattr(subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 255, ""))
    monkeypatch.setattr(ablate.inputs, "untracked", lambda *_: ["real/a.jsonl: git does not keep it: dvc add it"])
    assert ablate.main([str(overlay(root, "ppo: {kl_coef: 0.9}"))], root) == 255
    assert "real/a.jsonl: git does not keep it: dvc add it\n" in capsys.readouterr().err

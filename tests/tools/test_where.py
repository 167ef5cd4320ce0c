"""From dvc.lock to the run that made an artifact: with MLflow on a database, without DVC."""

import subprocess

import pytest

from rlhf.runs import lineage, tracking
from tests import toys
from tests.toys import YAML
from tools import where

MADE = {"data/pretrain": "weights", "data/sft": "better weights"}


@pytest.fixture
def repository(root, monkeypatch):
    """A root in git in which pretrain and sft have run, with a dvc.lock of what they made."""
    for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT", "DVC_STAGE", "DVC_EXP_NAME", "RANK"):
        monkeypatch.delenv(name, raising=False)
    toys.set_param(root, "tracking.enabled", True)
    locked = {}
    for path, content in MADE.items():
        stage = path.removeprefix("data/")
        with tracking.stage_run(root, stage):
            (root / path).mkdir(parents=True)
            (root / path / "model").write_text(content)
        outs = [{"path": path, "hash": "md5", "md5": lineage.dvc_md5(root / path)}]
        outs.append({"path": f"metrics/{stage}.json", "hash": "md5", "md5": "0" * 32})
        locked[stage] = {"cmd": "x", "outs": outs, "params": {"params.yaml": {"seed": 17, stage: {"rate": 0.5}}}}
    deps = [{"path": "data/pretrain", "md5": locked["pretrain"]["outs"][0]["md5"]}]
    locked["sft"]["deps"] = [*deps, {"path": "stages/sft.py", "md5": "1" * 32}]
    with open(root / "dvc.lock", "w") as file:
        YAML(typ="safe", pure=True).dump({"schema": "2.0", "stages": locked}, file)
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@localhost"]
    for command in (["init", "-q"], ["add", "dvc.lock"], ["commit", "-qm", "first"]):
        subprocess.run([*git, *command], cwd=root, check=True)
    return root


def said(capsys, root, *arguments: str) -> tuple[int, str, str]:
    code = where.main(list(arguments), root)
    return code, *capsys.readouterr()


@pytest.mark.parametrize("path", ["data/sft", "data/sft/", "data/sft/model", "metrics/sft.json"])
def test_an_artifact_leads_to_its_run_its_params_and_the_run_before(repository, capsys, path):
    code, text, _ = said(capsys, repository, path)
    assert code == 0
    assert "sft.rate: 0.5" in text
    assert "by pretrain" in text
    assert text.count("/runs/") == 3  # its run, the pipeline's, the one that made data/pretrain
    assert "code  stages/sft.py, by md5" in text


def test_without_a_path_every_artifact_is_listed(repository, capsys):
    code, text, _ = said(capsys, repository)
    assert code == 0
    assert [line.split()[0] for line in text.splitlines()] == list(MADE)
    assert text.count("/runs/") == 2


def test_an_older_commit_leads_to_the_older_run(repository, capsys):
    _, now, _ = said(capsys, repository, "data/sft")
    lock = (repository / "dvc.lock").read_text()
    (repository / "dvc.lock").write_text(lock.replace(lineage.dvc_md5(repository / "data/sft"), "2" * 32 + ".dir"))
    code, text, _ = said(capsys, repository, "data/sft")
    assert (code, "no run with these bytes" in text) == (1, True)
    assert said(capsys, repository, "data/sft", "--rev", "HEAD")[:2] == (0, now)


@pytest.mark.parametrize(
    ("arguments", "mistake"),
    [(["data/nothing"], "no stage makes 'data/nothing'; it knows data/pretrain, data/sft"), (["--rev", "v9"], "'v9'")],
)
def test_what_is_not_there_is_named(repository, capsys, arguments, mistake):
    code, _, error = said(capsys, repository, *arguments)
    assert code == 1
    assert mistake in error

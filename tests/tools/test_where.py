"""From dvc.lock to the run that made an artifact: with MLflow on a database, without DVC."""

import shutil
import subprocess

import pytest

from rlhf.runs import lineage, tracking
from tests import notebook, toys
from tests.toys import YAML
from tools import where

MADE = {"data/pretrain": [], "data/sft": ["data/pretrain"], "data/feedme": ["data/sft", "data/pretrain"]}


@pytest.fixture(scope="module")
def made(tmp_path_factory, empty_store):
    """A root in git in which three stages have run, with a dvc.lock of what they made, and the stages' run ids."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT", "DVC_STAGE", "DVC_EXP_NAME", "RANK"):
            patch.delenv(name, raising=False)
        patch.setattr(tracking, "MlflowWorker", notebook.InProcess)
        root = toys.root(tmp_path_factory.mktemp("where") / "repository")
        toys.set_param(root, "tracking.enabled", True)
        shutil.copy(empty_store, root / "mlflow.db")
        locked, runs = {}, {}
        for path, deps in MADE.items():
            stage = path.removeprefix("data/")
            with tracking.stage_run(root, stage) as run:
                (root / path).mkdir(parents=True)
                (root / path / "model").write_text(f"weights of {stage}")
                runs[stage] = run._recorder.run_id
            outs = [{"path": path, "hash": "md5", "md5": lineage.dvc_md5(root / path)}]
            outs.append({"path": f"metrics/{stage}.json", "hash": "md5", "md5": "0" * 32})
            locked[stage] = {
                "cmd": "x",
                "deps": [{"path": dep, "md5": lineage.dvc_md5(root / dep)} for dep in deps],
                "outs": outs,
                "params": {"params.yaml": {"seed": 17, stage: {"rate": 0.5}}},
            }
            locked[stage]["deps"].append({"path": f"stages/{stage}.py", "md5": "1" * 32})
        with open(root / "dvc.lock", "w") as file:
            YAML(typ="safe", pure=True).dump({"schema": "2.0", "stages": locked}, file)
        git = ["git", "-c", "user.name=t", "-c", "user.email=t@localhost"]
        for command in (["init", "-q"], ["add", "dvc.lock"], ["commit", "-qm", "first"]):
            subprocess.run([*git, *command], cwd=root, check=True)
        yield root, runs


@pytest.fixture
def repository(made):
    """The root of `made`, whose dvc.lock a test may change."""
    lock = made[0] / "dvc.lock"
    text = lock.read_text()
    yield made[0]
    lock.write_text(text)


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


def test_each_dependency_leads_to_the_run_that_made_it(made, capsys):
    root, runs = made
    assert len(set(runs.values())) == len(MADE)
    _, text, _ = said(capsys, root, "data/feedme")
    assert [line for line in text.splitlines() if line.startswith("run ")][0].endswith(
        f"/runs/{runs['feedme']}?workflowType=machine_learning"
    )
    for stage in ("sft", "pretrain"):
        (line,) = (line for line in text.splitlines() if f"by {stage} " in line)
        assert line.endswith(f"/runs/{runs[stage]}?workflowType=machine_learning")
        assert [f"data/{stage}", lineage.dvc_md5(root / "data" / stage)] in [line.split() for line in text.splitlines()]


def test_a_folder_around_outputs_leads_to_the_run_of_each_and_columns_stay_apart(repository, capsys):
    """As evaluate reads data/ppo, where every round lies; a long path does not run into its md5."""
    lock = YAML(typ="safe", pure=True).load((repository / "dvc.lock").read_text())
    long = "metrics/plots/" + "x" * 60
    lock["stages"]["feedme"]["deps"] += [{"path": "data", "md5": "3" * 32}, {"path": long, "md5": "4" * 32}]
    with open(repository / "dvc.lock", "w") as file:
        YAML(typ="safe", pure=True).dump(lock, file)
    _, text, _ = said(capsys, repository, "data/feedme")
    below = text[text.index("3" * 32) : text.index("4" * 32)]
    assert sorted(line.split()[1] for line in below.splitlines() if " by " in line) == ["feedme", "pretrain", "sft"]
    assert [long, "4" * 32] in [line.split() for line in text.splitlines()]


def test_without_a_path_every_artifact_is_listed_with_its_own_run(made, capsys):
    root, runs = made
    code, text, _ = said(capsys, root)
    assert code == 0
    lines = text.splitlines()
    assert sorted(line.split()[0] for line in lines) == sorted(MADE)
    for line in lines:
        assert line.endswith(f"/runs/{runs[line.split()[0].removeprefix('data/')]}?workflowType=machine_learning")


def test_an_older_commit_leads_to_the_older_run(repository, capsys):
    _, now, _ = said(capsys, repository, "data/sft")
    lock = (repository / "dvc.lock").read_text()
    (repository / "dvc.lock").write_text(lock.replace(lineage.dvc_md5(repository / "data/sft"), "2" * 32 + ".dir"))
    code, text, _ = said(capsys, repository, "data/sft")
    assert (code, "no run with these bytes" in text) == (1, True)
    assert said(capsys, repository, "data/sft", "--rev", "HEAD")[:2] == (0, now)


@pytest.mark.parametrize(
    ("arguments", "mistake"),
    [
        (["data/nothing"], "no stage makes 'data/nothing'; it knows data/feedme, data/pretrain, data/sft"),
        (["--rev", "v9"], "'v9'"),
    ],
)
def test_what_is_not_there_is_named(repository, capsys, arguments, mistake):
    code, _, error = said(capsys, repository, *arguments)
    assert code == 1
    assert mistake in error

"""From dvc.lock to the run that made an artifact: with MLflow on a database, without DVC."""

import json
import shutil
import socket
import sqlite3
import subprocess

import pytest

from rlhf.params.base import read_yaml
from rlhf.runs import cached_listings, lineage, tracking
from rlhf.runtime import outputs
from tests import notebook, toys
from tests.toys import YAML
from tools import where
from tools.looking import artifacts

MADE = {"data/pretrain": [], "data/sft": ["data/pretrain"], "data/feedme": ["data/sft", "data/pretrain"]}
PARAMS = read_yaml(toys.REPO / "params.yaml")
NAME, SEED = PARAMS["tracking"]["experiment"], PARAMS["seed"]


@pytest.fixture(scope="module")
def made(tmp_path_factory, empty_store):
    """A root in git in which three stages have run, with a dvc.lock of what they made, and the stages' run ids."""
    with notebook.recorded_root(tmp_path_factory.mktemp("where") / "repository", empty_store) as root:
        locked, runs = {}, {}
        for path, deps in MADE.items():
            stage = path.removeprefix("data/")
            with tracking.stage_run(root, stage) as run:
                run.log_inputs([root / dep for dep in deps], "training")
                (root / path).mkdir(parents=True)
                (root / path / "model").write_text(f"weights of {stage}")
                runs[stage] = run._recorder.run_id
            outputs.write_metrics(root, stage, {"loss": 0.5})
            outs = [
                {"path": one, "hash": "md5", "md5": lineage.dvc_md5(root / one)}
                for one in (path, f"metrics/{stage}.json")
            ]
            outs[0] |= {"size": (root / path / "model").stat().st_size, "nfiles": 1}
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
def repository(made, tmp_path, monkeypatch):
    """A copy of the root of `made`, which a test may change."""
    for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT"):
        monkeypatch.delenv(name, raising=False)
    return shutil.copytree(made[0], tmp_path / "repository")


def client_of(root):
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{root / 'mlflow.db'}")


def edit_lock(root, change) -> None:
    """Apply `change` to the stages of dvc.lock."""
    lock = YAML(typ="safe", pure=True).load((root / "dvc.lock").read_text())
    change(lock["stages"])
    with open(root / "dvc.lock", "w") as file:
        YAML(typ="safe", pure=True).dump(lock, file)


def content_of(root) -> dict:
    """Return every file and folder below `root`, with its bytes, but for git's own."""
    paths = [path for path in sorted(root.rglob("*")) if ".git" not in path.relative_to(root).parts]
    return {path: path.read_bytes() if path.is_file() else None for path in paths}


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
    long = "metrics/plots/" + "x" * 60
    more = [{"path": "data", "md5": "3" * 32}, {"path": long, "md5": "4" * 32}]
    edit_lock(repository, lambda stages: stages["feedme"]["deps"].extend(more))
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


@pytest.mark.parametrize("arguments", [(), ("data/sft",)])
@pytest.mark.parametrize("lacking", ["nothing", "the experiment", "the database", "its tables"])
def test_looking_writes_nothing(repository, capsys, lacking, arguments):
    if lacking == "the experiment":
        toys.set_param(repository, "tracking.experiment", "new")
    elif lacking != "nothing":
        (repository / "mlflow.db").unlink()
    if lacking == "its tables":
        (repository / "mlflow.db").touch()
    before = content_of(repository)
    code, text, error = said(capsys, repository, *arguments)
    assert content_of(repository) == before
    assert "data/sft" in text
    if lacking in ("nothing", "the experiment"):
        assert (code, error) == (0, "")
    else:
        assert code == 1
        assert "mlflow.db has no run yet: " in text + error


@pytest.mark.parametrize("version", ["451aebb31d03", "later"])  # MLflow's first
@pytest.mark.parametrize("change", ["", "; DROP TABLE assessments"])
def test_a_database_of_another_mlflow_is_not_changed_by_looking(repository, capsys, version, change):
    with sqlite3.connect(repository / "mlflow.db") as connection:
        connection.executescript(f"UPDATE alembic_version SET version_num = '{version}'{change}")
    before = content_of(repository)
    code, text, _ = said(capsys, repository, "data/sft")
    assert content_of(repository) == before
    assert code == 1
    (line,) = (line for line in text.splitlines() if line.startswith("run "))
    assert "MLflow cannot read sqlite:///" in line
    assert "schema" in line or "make ui" in line or "'later'" in line


def test_a_server_that_does_not_answer_is_said_in_a_sentence_beside_what_dvc_lock_has(repository, capsys):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        toys.set_param(repository, "tracking.uri", f"http://127.0.0.1:{probe.getsockname()[1]}")
        for arguments in ((), ("data/sft",)):
            code, text, error = said(capsys, repository, *arguments)
            assert code == 1
            assert "no answer within 2 s" in text + error
            assert "data/sft" in text


@pytest.mark.parametrize("arguments", [(), ("data/sft",)])
def test_runs_are_found_under_another_name_of_the_experiment_which_is_said(made, repository, capsys, arguments):
    toys.set_param(repository, "tracking.experiment", "new")
    code, text, _ = said(capsys, repository, *arguments)
    (line,) = (line for line in text.splitlines() if f"/runs/{made[1]['sft']}?" in line)
    assert (code, f"in experiment '{NAME}'" in line) == (0, True)
    toys.set_param(repository, "tracking.experiment", NAME)
    assert "in experiment" not in said(capsys, repository, *arguments)[1]


def test_a_deleted_run_is_called_so_and_comes_back_with_what_is_said(made, repository, capsys):
    client = client_of(repository)
    client.delete_run(made[1]["sft"])
    code, text, _ = said(capsys, repository, "data/sft")
    assert code == 1
    assert f"mlflow runs restore --run-id {made[1]['sft']}" in text
    assert "its run was deleted in MLflow; back with: MLFLOW_TRACKING_URI=sqlite:///" in text
    assert "no run" not in text
    assert "its run was deleted in MLflow" in said(capsys, repository, "data/feedme")[1], "as the maker of its data"
    client.restore_run(made[1]["sft"])
    assert said(capsys, repository, "data/sft")[0] == 0


def test_runs_of_a_deleted_experiment_are_called_so(repository, capsys):
    client = client_of(repository)
    identity = client.get_experiment_by_name(NAME).experiment_id
    client.delete_experiment(identity)
    code, text, _ = said(capsys, repository, "data/sft")
    assert code == 1
    assert f"deleted in MLflow with its experiment '{NAME}'; " in text
    assert f"experiments restore --experiment-id {identity}" in text


def test_a_pipelines_run_that_was_deleted_is_no_link(made, repository, capsys):
    client = client_of(repository)
    parent = client.get_run(made[1]["sft"]).data.tags["mlflow.parentRunId"]
    client.delete_run(parent)
    code, text, _ = said(capsys, repository, "data/sft")
    assert code == 0
    assert "pipeline its run was deleted in MLflow" in text
    assert parent not in text


def test_params_and_data_that_the_run_itself_had_are_told_from_those_of_dvc_lock(repository, capsys):
    assert "the run itself" not in said(capsys, repository, "data/sft")[1]

    def change(stages):
        stages["sft"]["params"]["params.yaml"] |= {"seed": 99, "runtime": {"threads": 77, "device": "cpu"}}
        stages["sft"]["deps"][0]["md5"] = "5" * 32

    edit_lock(repository, change)
    _, text, _ = said(capsys, repository, "data/sft")
    of_run, of_lock = text.split("params of dvc.lock")
    assert f"the run itself had seed {SEED} (dvc.lock: 99)" in of_run
    assert "runtime.threads 1 (dvc.lock: 77)" in of_run
    read = lineage.dvc_md5(repository / "data/pretrain")
    assert f"the run itself read data/pretrain {read} (dvc.lock: {'5' * 32})" in of_run
    assert of_run.count("the run itself") == 3
    assert "seed: 99" in of_lock


def test_other_bytes_on_disk_are_told_and_so_is_the_run_that_made_them(made, repository, capsys):
    (repository / "data/sft/model").write_text("changed")
    md5 = lineage.dvc_md5(repository / "data/sft")
    code, text, _ = said(capsys, repository, "data/sft")
    assert code == 0, "dvc.lock's run is known"
    assert f"on disk: other bytes (md5 {md5})\n    changed since, or made by a run that is not recorded" in text
    client_of(repository).set_tag(made[1]["feedme"], "dvc.out.data/sft", md5)
    _, text, _ = said(capsys, repository, "data/sft")
    (line,) = (line for line in text.splitlines() if "made by a run that DVC did not record" in line)
    assert f"/runs/{made[1]['feedme']}?" in line
    assert "on disk" not in said(capsys, repository, "data/sft", "--rev", "HEAD")[1], "what lies there is of now"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("remove", "not on disk"),
        ("more", "on disk: other bytes"),
        ("other", "on disk: other bytes"),
        ("other, large", None),
        ("", None),
    ],
)
def test_a_list_says_at_a_glance_what_is_not_on_disk(repository, capsys, monkeypatch, change, words):
    """Of a large output the bytes are not read."""
    if change == "remove":
        shutil.rmtree(repository / "data/sft")
    if change == "more":
        (repository / "data/sft/more").touch()
    if change.startswith("other"):
        file = next(path for path in sorted((repository / "data/sft").rglob("*")) if path.is_file())
        file.write_bytes(bytes(255 - byte for byte in file.read_bytes()))
        monkeypatch.setattr(artifacts, "READ", 1 if "large" in change else 1 << 20)
    lines = said(capsys, repository)[1].splitlines()
    assert [words in line for line in lines if "data/sft" in line] == [True] if words else "disk" not in str(lines)
    assert not any("disk" in line for line in lines if "data/sft" not in line)
    assert ("not on disk" in said(capsys, repository, "data/sft")[1]) == (change == "remove")


def test_a_file_that_a_folder_does_not_have_is_an_error_that_names_those_it_has(repository, capsys):
    for number in range(6):
        (repository / f"data/sft/file{number}").touch()
    code, text, error = said(capsys, repository, "data/sft/nonexistent")
    assert (code, text) == (1, "")
    assert "data/sft has no nonexistent; it has file0, file1, file2, file3, file4, ... (7 files)" in error
    assert said(capsys, repository, "metrics/sft.json/x")[::2] == (
        1,
        "metrics/sft.json/x: metrics/sft.json is a file\n",
    )


def list_in_cache(root, cache: str, names: dict[str, str], config: str = "") -> None:
    """Put the listing of data/sft into a cache of DVC."""
    (root / ".dvc").mkdir()
    (root / ".dvc/config").write_text(config)
    md5 = lineage.locked_outs(root)["sft"]["data/sft"]
    listing = root / cache / "files/md5" / md5[:2] / md5[2:]
    listing.parent.mkdir(parents=True)
    listing.write_text(json.dumps([{"md5": md5, "relpath": name} for name, md5 in names.items()]))


@pytest.mark.parametrize(("read", "known"), [("6" * 32, True), ("7" * 32, False)])
def test_a_file_of_an_output_that_was_made_anew_since_is_not_called_its_runs(made, repository, capsys, read, known):
    list_in_cache(repository, ".dvc/cache", {"model": "6" * 32})
    dep = {"path": "data/sft/model", "md5": read}
    edit_lock(repository, lambda stages: stages["feedme"].update(deps=[dep]))
    _, text, _ = said(capsys, repository, "data/feedme")
    (line,) = (line for line in text.splitlines() if "by sft" in line)
    assert (f"/runs/{made[1]['sft']}?" in line, "before it made data/sft anew" in line) == (known, not known)


def test_a_file_that_is_not_on_disk_is_looked_for_in_dvcs_cache(repository, capsys):
    shutil.rmtree(repository / "data/sft")
    code, text, _ = said(capsys, repository, "data/sft/model")
    assert (code, "whether data/sft has model is not known" in text) == (0, True)
    cache = "[core]\n    no_scm = True\n    analytics = false\n[cache]\n    dir = ../large\n"
    list_in_cache(repository, "large", {"model": "0" * 32}, cache)
    cached_listings._cache.cache_clear()
    for rev in ((), ("--rev", "HEAD")):
        code, text, _ = said(capsys, repository, "data/sft/model", *rev)
        assert (code, "is not known" in text) == (0, False)
        code, _, error = said(capsys, repository, "data/sft/other", *rev)
        assert (code, error) == (1, "data/sft/other: data/sft has no other; it has model\n")


@pytest.mark.parametrize("path", ["./data/sft", "{root}/data/sft", "data//sft/", "data/x/../sft", "./metrics/sft.json"])
def test_a_path_may_be_written_in_every_way(repository, capsys, path):
    code, text, _ = said(capsys, repository, path.format(root=repository))
    assert (code, text.splitlines()[0]) == (0, "sft made, as dvc.lock has it")


def test_a_path_through_a_link_and_data_behind_a_link_are_the_same(repository, capsys, tmp_path):
    (tmp_path / "link").symlink_to(repository)
    (repository / "data").rename(tmp_path / "large disk")
    (repository / "data").symlink_to(tmp_path / "large disk")
    for path in (f"{tmp_path}/link/data/sft", "data/sft", f"{repository}/data/sft"):
        assert said(capsys, repository, path)[1].startswith("sft made")


def test_a_path_outside_of_the_repository_is_refused(repository, capsys, tmp_path):
    for path in (f"{tmp_path}/data/sft", "../data/sft"):
        code, _, error = said(capsys, repository, path)
        assert (code, "lies outside of" in error) == (1, True)


def test_a_folder_around_outputs_lists_them_and_around_one_shows_it(repository, capsys):
    def change(stages):
        one = stages["feedme"]["outs"][0]
        (repository / "data/ppo").mkdir()
        (repository / one["path"]).rename(repository / "data/ppo/r1")
        stages["feedme"]["outs"][0] = one | {"path": "data/ppo/r1"}

    assert sorted(line.split()[0] for line in said(capsys, repository, "data")[1].splitlines()) == sorted(MADE)
    edit_lock(repository, change)
    assert said(capsys, repository, "data/ppo/")[1].startswith("feedme made")
    assert said(capsys, repository, "data")[0] == 1, "the run of one of them is not known"


@pytest.mark.parametrize("path", ["data/names.txt", "study/cells"])
def test_what_another_dvc_yaml_makes_is_named_with_its_stage(repository, capsys, path):
    for folder, out in {"data": "data/names.txt", "study": "cells"}.items():  # one's stages run in the root
        (repository / folder).mkdir(exist_ok=True)
        entry = {"cmd": "python -m one", "outs": [{"path": out, "md5": "0" * 32}]}
        (repository / folder / "dvc.lock").write_text(json.dumps({"stages": {"names": entry}}))
    code, _, error = said(capsys, repository, path)
    made = f"{path.partition('/')[0]}/dvc.yaml makes it, by its stage names, which records no run: python -m one"
    assert (code, error) == (1, f"{path}: {made}\n")


def test_the_list_is_aligned_for_long_names(repository, capsys):
    long = "data/" + "x" * 60
    edit_lock(repository, lambda stages: stages["feedme"]["outs"][0].update(path=long))
    md5s = {entry["outs"][0]["path"]: entry["outs"][0]["md5"][:8] for entry in lineage.locked(repository).values()}
    lines = said(capsys, repository)[1].splitlines()
    rows = [line.split()[:2] for line in lines]
    assert sorted(rows) == sorted([path, md5] for path, md5 in md5s.items())
    assert {line.index(f"  {md5}") for line, (_, md5) in zip(lines, rows, strict=True)} == {len(long)}


def test_without_a_lock_it_says_so(repository, capsys):
    (repository / "dvc.lock").unlink()
    code, text, error = said(capsys, repository)
    assert (code, text) == (1, "")
    assert "no stage has ended yet" in error


def test_a_broken_params_yaml_is_named(repository, capsys):
    (repository / "params.yaml").write_text("seed: 1\n  x: 2\n")
    code, _, error = said(capsys, repository)
    assert (code, "params.yaml: line 2" in error) == (2, True)

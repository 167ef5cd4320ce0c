"""A finished pipeline on the tiny preset with one experiment beside it, an MLflow server on it, and a browser."""

import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from tests import loopback
from tests.apps.label import made
from tests.integration import browsing

REPO = Path(__file__).resolve().parent.parent.parent
EXPERIMENT = "more_kl"
KL_COEF = "0.345"


class Pipeline(NamedTuple):
    """A copy of this repository in which the pipeline ran, and what its commands said."""

    root: Path
    repeated: str  # output of the second `dvc repro`
    experiment: str  # output of `dvc exp run`


def run(root: Path, *command: str) -> str:
    """Return what a command of the virtual environment printed; fails the test with it if the command failed."""
    answer = subprocess.run(command, cwd=root, env=environment(root), capture_output=True, text=True, check=False)
    if answer.returncode:
        pytest.fail(f"{' '.join(command)} exited with {answer.returncode}:\n{answer.stdout}{answer.stderr}")
    return answer.stdout + answer.stderr


def environment(root: Path) -> dict[str, str]:
    """Return an environment in which `python` and `dvc` are this interpreter's and nothing reaches the network."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "MLFLOW_", "GIT_"))}
    author = {"GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@localhost"}
    committer = {"GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@localhost"}
    return {
        **own, **author, **committer,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "DVC_SITE_CACHE_DIR": str(root.parent / "dvc-site"),
        "DVC_NO_ANALYTICS": "1",
        "HF_HUB_OFFLINE": "1",
    }  # fmt: skip


def copied(root: Path, without: tuple[str, ...] = ()) -> None:
    """Copy this repository's files, as git would take them now, but for those below `without`."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(listed, cwd=REPO, capture_output=True, text=True, check=True).stdout
    for file in files.split("\0"):
        if file and not file.startswith(without) and (REPO / file).exists():
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPO / file, root / file)


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    root = tmp_path_factory.mktemp("pipeline") / "repository"
    copied(root, without=("dvc.lock",))  # with metrics/ of the default and of the laboratory, not of these params
    shutil.copy(REPO / "presets/tiny.yaml", root / "params.yaml")
    run(root, "git", "init", "--quiet")
    run(root, "dvc", "repro")
    repeated = run(root, "dvc", "repro")
    run(root, "git", "add", "--all")
    run(root, "git", "commit", "--quiet", "--message", "tiny")
    experiment = run(root, "dvc", "exp", "run", "--name", EXPERIMENT, "--set-param", f"ppo.kl_coef={KL_COEF}")
    return Pipeline(root, repeated, experiment)


@pytest.fixture
def copy(pipeline: Pipeline, tmp_path: Path) -> Path:
    """A copy of the finished pipeline, for a test to disturb."""
    root = tmp_path / "copy"
    shutil.copytree(pipeline.root, root, symlinks=True)
    return root


@pytest.fixture(scope="session")
def mlflow_url(pipeline: Pipeline) -> Iterator[str]:
    port = loopback.free_port()
    store = f"sqlite:///{pipeline.root / 'mlflow.db'}"
    at = ["--host", loopback.HOST, "--port", str(port)]
    command = ["mlflow", "ui", "--backend-store-uri", store, "--workers", "1", *at]
    settings = environment(pipeline.root) | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    log = open(pipeline.root.parent / "mlflow-ui.log", "w")  # noqa: SIM115
    server = subprocess.Popen(command, cwd=pipeline.root, env=settings, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(360):
            try:
                urllib.request.urlopen(f"{url}/health", timeout=2)
                break
            except OSError:
                time.sleep(0.5)
        else:
            pytest.fail(f"MLflow did not come up: {(pipeline.root.parent / 'mlflow-ui.log').read_text()}")
        yield url
    finally:
        server.terminate()
        try:
            server.wait(timeout=30)
        except subprocess.TimeoutExpired:
            server.kill()
        log.close()


@pytest.fixture
def browser(tmp_path: Path) -> Iterator["webdriver.Chrome"]:  # noqa: F821
    with browsing.chromium(tmp_path / "profile") as driver:
        yield driver


@pytest.fixture
def screenshot(request: pytest.FixtureRequest, tmp_path: Path):
    """Return a function that keeps what the browser shows, in $SCREENSHOTS or the test's folder, and says where."""
    folder = Path(os.environ.get("SCREENSHOTS", tmp_path))

    def keep(driver, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}.png"
        assert driver.save_screenshot(str(path))
        print(f"{request.node.name}: {path}")

    return keep


@pytest.fixture
def label_project(tmp_path):
    """Return a function that makes a project: so many prompts, with other keys of labelers where they are given."""

    def make(count: int = 12, **labelers):
        root = tmp_path / "project"
        root.mkdir()
        rows = [made.prompt(number, num=4 + number % 3) for number in range(count)]
        return made.project(root, rows, **labelers)

    return make


@pytest.fixture
def label_served():
    """Return a function that serves a project's page until the test ends."""
    with ExitStack() as stack:
        yield lambda root: stack.enter_context(browsing.serving(root, "-m", "apps.label"))


@pytest.fixture
def labelers(tmp_path):
    """Return a function that gives a person a browser of their own."""
    from tests.integration.label_pages import Labeler

    with ExitStack() as stack:

        def person(server, name: str | None, *switches: str) -> Labeler:
            driver = stack.enter_context(browsing.chromium(tmp_path / f"profile-{name}-{time.time_ns()}", *switches))
            return Labeler(driver, server.url, name)

        yield person

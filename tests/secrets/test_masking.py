"""Nothing secret passes the mask, whichever way an address is written, and all else passes it as it is."""

import base64
import json
import shutil
import time
from functools import reduce
from operator import getitem

import pytest
from ruamel.yaml import YAML

from rlhf.params.base import ParamsError, load, read_yaml
from rlhf.params.tracking import Tracking, TrackingInputs
from rlhf.runs import lineage, mlflow_store, sessions
from rlhf.runs.recording import recorder as recording
from rlhf.runs.recording.attempts import Training
from rlhf.runs.stage_name import StageName
from rlhf.secrets import masking
from rlhf.secrets.masking import masked
from tests import toys
from tools import check

MARKER = "Xmarker71Xmarker"


@pytest.mark.parametrize(
    "address",
    [
        "http://user:{}@host:5000/path",
        "https://{}@host",
        "https://:{}@host",
        "postgresql+psycopg2://user:{}@host:5432/runs",
        "mysql://user:a/{}@host/runs",
        "http://user:a#{}@host",
        "http://user:a@{}@host",
        "http://user:{}?a@host",
        "https://host/path?password={}",
        "https://host/path?a=1&token={}",
        "https://host/path?a=1&amp;access_token={}#there",
        "https://host/?api_key={}",
        "https://host/?key={}&a=1",
        "https://host/?X-Amz-Signature={}",
        "host=there user=me password={} dbname=runs",
        "password = '{} and more'",
        "Authorization: Bearer {}",
        "{{'Authorization': 'Basic {}'}}",
    ],
)
def test_an_address_is_shown_without_its_secrets_whoever_wrote_it(address):
    text = masked(f"before {address.format(MARKER)} after")
    assert MARKER not in text
    assert text.startswith("before ")
    assert text.endswith(" after")


@pytest.mark.parametrize(
    "text",
    [
        "http://h:5000/#/experiments/1/runs?workflowType=machine_learning&viewStateShareKey=pipelines",
        "ppo@r1: dvc repro dvc.yaml:ppo@r1, at https://arxiv.org/abs/2203.02155",
        "sqlite:////home/me@work/mlflow.db and file:///home/me@work/x@y",
        "HTTPConnectionPool(host='127.0.0.1', port=5000): Max retries exceeded with url: /api/2.0/mlflow/runs",
        "pad_token=<|pad|>, max_tokens=5, eos_token=</s>; sorted(key=len)",
    ],
)
def test_what_holds_no_secret_stays_as_it_is(text):
    assert masked(text) == text


@pytest.mark.parametrize("written", ["Xma/rk er%2F71", "it's\"Xmarker", "Xmark@er", "Xmark\\er", "Xmärker"])
def test_a_known_secret_is_hidden_however_it_is_written(written):
    masking.learn_address(f"http://user:{written}@host")
    plain = masking.unquote(written)
    basic = base64.b64encode(f"user:{plain}".encode()).decode()
    for shown in (
        written,
        plain,
        repr({"a": plain}),
        masking.json.dumps([plain]),
        masking.quote(plain, safe=""),
        basic,
    ):
        assert masked(f"a {shown} b") == f"a {shown} b".replace(shown, masked(shown))
        assert "***" in masked(shown)
        assert "ark" not in masked(shown)


@pytest.mark.parametrize(
    "name", ["MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY"]
)
def test_passwords_and_tokens_of_the_environment_are_hidden(monkeypatch, name):
    assert masked(f"it was {MARKER}.") == f"it was {MARKER}."
    monkeypatch.setenv(name, MARKER)
    assert masked(f"it was {MARKER}.") == "it was ***."


def test_the_secret_of_an_address_in_the_environment_is_hidden(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:{MARKER}@proxy:80")
    assert masked(f"it was {MARKER}.") == "it was ***."


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DB_PASS", "{}"),
        ("SSHPASS", "{}"),
        ("SNOWFLAKE_PWD", "{}"),
        ("BACKUP_PASSPHRASE", "{}"),
        ("GITHUB_PAT", "{}"),
        ("AZURE_STORAGE_ACCESS_KEY", "{}"),
        ("MLFLOW_FLASK_SERVER_SECRET_KEY", "{}"),
        ("AZURE_STORAGE_CONNECTION_STRING", "AccountName=a;AccountKey={}==;EndpointSuffix=core"),
        ("STORE", "host=there user=me password='{}' dbname=runs"),
        ("HTTPS_PROXY", "user:{}@proxy:3128"),
        ("all_proxy", "user:{}@proxy:3128"),
    ],
)
def test_what_the_environment_keeps_secret_in_other_ways_is_hidden(monkeypatch, name, value):
    monkeypatch.setenv(name, value.format(MARKER))
    shown = MARKER if "==" not in value else f"{MARKER}=="
    assert masked(f"before {shown} after") == "before *** after"
    assert MARKER not in masked(value.format(MARKER))


@pytest.mark.parametrize(
    "value",
    [
        f"eyJhbGciOiJIUzI1NiJ9.{MARKER}.c2lnbmF0dXJl",
        json.dumps({"type": "service_account", "private_key": f"-----{MARKER}-----\n"}),
        json.dumps({"a": [{"password": MARKER}]}),
    ],
)
def test_tokens_and_credentials_in_the_environment_are_known_by_their_form(monkeypatch, value):
    monkeypatch.setenv("WHATEVER_IT_IS_CALLED", value)
    content = json.loads(value) if value.startswith("{") else {"token": value}
    text = content.get("private_key") or content.get("token") or content["a"][0]["password"]
    assert MARKER not in masked(f"refused: {text}")
    assert masked("service_account") == "service_account"


@pytest.mark.parametrize("name", ["PWD", "OLDPWD", "GIT_ASKPASS", "SSH_ASKPASS", "HF_TOKEN_PATH", "NO_PROXY", "MONKEY"])
def test_paths_and_names_of_the_environment_are_no_secrets(monkeypatch, name):
    monkeypatch.setenv(name, "/home/somebody/here")
    assert masked("in /home/somebody/here") == "in /home/somebody/here"


def test_users_and_short_words_are_no_secrets():
    for address in ("postgresql://mlflow@host/runs", "http://u:p@host", "ssh://git@host/x"):
        masking.learn_address(address)
    assert masked("mlflow.db, people, git") == "mlflow.db, people, git"


@pytest.fixture
def answers(root, capsys):
    """What `tools.check` says of a root whose params are changed."""

    def ask(path, value):
        content = toys.read_yaml(root / "params.yaml")
        content["tracking"]["enabled"] = True
        *above, key = path.split(".")
        reduce(getitem, above, content)[key] = value
        with open(root / "params.yaml", "w") as file:
            YAML().dump(content, file)
        code = check.main([], root)
        said = capsys.readouterr()
        assert code == 2
        return said.out + said.err

    return ask


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("tracking.uri", f"htp://user:{MARKER}@host", "tracking.uri: expected null or a URI"),
        ("tracking.uri", f"user:{MARKER}@host:5000", "tracking.uri: expected null or a URI"),
        ("tracking.uri", f"http://user:a/{MARKER}@host", "write / as %2F"),
        ("tracking.uri", f"http://user:a#{MARKER}@host", "write / as %2F"),
        ("tracking.uri", f"postgresql://user:a@{MARKER}@host/runs", "@ as %40"),
        ("tracking.uri", [f"user:{MARKER}@host"], "tracking.uri: "),
        ("tracking.url", f"http://user:{MARKER}@host", "tracking.url: unknown key"),
        ("tracking.url", f"user:{MARKER}@host", "tracking.url: unknown key"),
        ("tracking.password", MARKER, "tracking.password: unknown key"),
        ("tracking", f"user:{MARKER}@host", "tracking: "),
        ("trakcing", {"uri": f"user:{MARKER}@host", "token": MARKER}, "trakcing: unknown key"),
        ("tracking.enabled", f"http://user:{MARKER}@host", "tracking.enabled: "),
        ("sft", {"x": f"http://{'user' * 40}:{MARKER}@host"}, "sft.x: unknown key"),
    ],
)
def test_check_names_what_is_wrong_and_not_the_secret(answers, path, value, said):
    found = answers(path, value)
    assert said in found
    assert MARKER not in found


@pytest.mark.parametrize("text", ["a: 1\ntracking: {{uri: {0}, uri: {0}}}\n", "tracking: {{uri: {0}\n", "- {0}\n"])
def test_a_params_file_that_is_no_yaml_is_named_without_its_secrets(tmp_path, text):
    (tmp_path / "params.yaml").write_text(text.format(f"http://user:{MARKER}@host"))
    with pytest.raises(ParamsError) as error:
        read_yaml(tmp_path / "params.yaml")
    assert MARKER not in str(error.value)


def test_what_the_params_name_is_known_from_then_on(root):
    toys.set_param(root, "tracking.uri", f"http://user:{MARKER}@host")
    load(root, TrackingInputs)
    assert masked(f"user and {MARKER}") == "user and ***"


def test_an_address_that_programs_would_take_apart_otherwise_is_refused_from_the_environment_too(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://user:a/{MARKER}@host")
    settings = Tracking(enabled=True, uri=None, experiment="rlhf", max_model_mb=1.0, log_every=1)
    for open_ in (mlflow_store.preflight, mlflow_store.open_to_read):
        with pytest.raises(ConnectionError, match="write / as %2F") as error:
            open_(settings, tmp_path)
        assert MARKER not in str(error.value)


def test_a_folder_with_an_at_in_its_name_may_hold_the_database(tmp_path):
    (tmp_path / "a@b@c").mkdir()
    settings = Tracking(
        enabled=True, uri=f"sqlite:///{tmp_path}/a@b@c/x.db", experiment="x", max_model_mb=1, log_every=1
    )
    mlflow_store.preflight(settings, tmp_path)


def test_neither_runs_nor_pages_hold_a_secret_that_a_command_a_file_or_a_page_names(root, empty_store, monkeypatch):
    """The words of the dvc command, a changed file's name, and what a stage describes."""
    shutil.copy(empty_store, root / "mlflow.db")
    address = f"http://user:{MARKER}@host"
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("DVC_EXP_NAME", f"?token={MARKER}")
    command = ["dvc", "exp", "run", "-S", f"tracking.uri={address}", "-S", f"tracking.uri=http://user:a/{MARKER}@host"]
    monkeypatch.setattr(sessions, "command_of", lambda _: command)
    monkeypatch.setattr(lineage, "commit_of", lambda _: lineage.Commit("0" * 40, [f"password={MARKER}.py"]))
    settings = Tracking(enabled=True, uri="sqlite:///mlflow.db", experiment="rlhf", max_model_mb=1.0, log_every=1)
    processes = ("host 1 2.00", "host 1 2.00")
    run = recording.Recorder(root, StageName("sft"), settings, Training(), read_yaml(root / "params.yaml"), processes)
    run.params({"source": address})
    run.describe([f"see {address}"], [])
    run.close("FINISHED")
    for run_id in (run.run_id, run._pipeline.run_id):
        found = run._client.get_run(run_id)
        assert MARKER not in str(found.to_dictionary())
        assert "see http://***@host" in found.data.tags["mlflow.note.content"]
    assert found.data.tags["dvc.command"] == "dvc exp run -S ***@host -S ***@host"


@pytest.mark.parametrize(
    "text", ["a" * 300_000, "://" * 100_000, "?x" * 100_000, "&" + "a-" * 100_000, "password " * 50_000]
)
def test_a_long_text_costs_no_more_than_its_length(text):
    masking.learn(text)
    began = time.process_time()
    assert masked(text) == text
    assert time.process_time() - began < 5

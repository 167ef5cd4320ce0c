"""Files and folders that params name are dependencies in dvc.yaml; what a hub holds is named by its commit."""

import json
import re
import shlex
import shutil
import subprocess
import threading
from functools import reduce
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from dvc.utils.serialize import loads_yaml

from rlhf.params.base import Local, parse, place_of, read_yaml
from tests import loopback, toys
from tests.collect_prompts_section import source
from tools import check, dvc_yaml, inputs, pin

SHA = "0123456789abcdef0123456789abcdef01234567"
HUB = {"name": "far", "kind": "hub", "split": "train", "use": ["demonstrations", "prompts"], "splits": ["sft"]}
ENCODER = {
    "reward_model.backbone": "encoder", "reward_model.pooling": "last", "reward_model.likelihood_coef": 0.0,
    "ppo.value_init": "policy",
}  # fmt: skip


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with its own dvc.yaml, tiny's params, and in real/ and models/ what they do not name yet."""
    for name in ("DVC_STAGE", "DVC_ROOT", "DVC_EXP_NAME"):
        monkeypatch.delenv(name, raising=False)
    root = tmp_path / "project"
    for name in ("real/a.jsonl", "real/deep/b.txt", "models/m/config.json", "elsewhere/d.jsonl"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text('{"prompt": "a", "response": "b"}\n')
    (root / "elsewhere").rename(tmp_path / "outside")
    shutil.copy(toys.REPO / "dvc.yaml", root)
    shutil.copy(toys.REPO / "presets/tiny.yaml", root / "params.yaml")
    return root


def change(root: Path, **changes: Any) -> None:
    content = read_yaml(root / "params.yaml")
    for path, value in changes.items():
        toys.put(content, path, value)
    toys.write_params(root, content)


def add_source(root: Path, **more: Any) -> None:
    content = read_yaml(root / "params.yaml")
    content["collect_prompts"]["sources"].append(more)
    toys.write_params(root, content)


def params_of(root: Path) -> Any:
    return parse(check.schema(), read_yaml(root / "params.yaml"), "")


def deps_of(root: Path, stage: str) -> list[str]:
    """Return the deps of a stage that are not those of this repository."""
    deps = (dvc_yaml.definition(dvc_yaml.read(place / "dvc.yaml"), stage)["deps"] for place in (root, toys.REPO))
    now, shipped = deps
    assert [dep for dep in now if dep in shipped] == shipped
    return [dep for dep in now if dep not in shipped]


@pytest.mark.parametrize(
    ("path", "what", "dep"),
    [
        ("real/a.jsonl", "files", "real/a.jsonl"),
        ("./real//a.jsonl", "files", "real/a.jsonl"),
        ("real/*.jsonl", "files", "real"),
        ("real/**/x?/*.txt", "files", "real"),
        ("/disk/deep/[ab].txt", "files", "/disk/deep"),
        ("models/m/", "folder", "models/m"),
        ("../disk/m", "folder", "../disk/m"),
    ],
)
def test_a_path_stands_for_itself_and_a_pattern_for_its_folder(path, what, dep):
    assert inputs.dependency(Local("some.key", path, what)) == dep


def test_the_home_folder_is_written_out(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    assert inputs.dependency(Local("some.key", "~/m", "folder")) == "/home/ada/m"


def test_the_command_lists_what_params_name_and_takes_it_away_again(project, capsys, monkeypatch):
    monkeypatch.setattr(check, "_try_the_model", lambda *_: None)  # an empty folder stands for one
    before, params = (project / "dvc.yaml").read_bytes(), (project / "params.yaml").read_bytes()
    for path in ("real/*.jsonl", "real/a.jsonl", str(project.parent / "outside/d.jsonl")):
        add_source(project, **source(f"s{abs(hash(path))}", path))
    change(project, pretrain=toys.adopting("models/m"), **ENCODER, **{"reward_model.encoder_path": "models/m"})
    assert check.main([], project) == 0
    said = capsys.readouterr().out.splitlines()
    outside = f"{project.parent}/outside/d.jsonl"
    assert said[0] == f"dvc.yaml: deps of collect_prompts: + {outside}, + real; commit it together with params.yaml"
    assert said[-1].startswith("params.yaml: fine")
    assert deps_of(project, "collect_prompts") == [outside, "real"]
    assert deps_of(project, "pretrain") == deps_of(project, "reward_model") == ["models/m"]
    assert deps_of(project, "judge") == []
    lines = (project / "dvc.yaml").read_text().splitlines()
    added = [line for line in lines if line not in before.decode().splitlines()]
    assert len(added) == 4
    assert all(line.endswith("# named by params.yaml") for line in added)
    assert check.main([], project) == 0
    assert not capsys.readouterr().out.startswith("dvc.yaml")
    (project / "params.yaml").write_bytes(params)
    assert check.main([], project) == 0
    assert "- models/m" in capsys.readouterr().out
    assert (project / "dvc.yaml").read_bytes() == before


def test_what_labelers_are_read_from_is_watched(project, capsys):
    (project / "taste.md").write_text("Short answers.")
    (project / "my_own_taste.py").write_text("def brevity(messages, answers):\n    return [0.0 for _ in answers]\n")
    example = read_yaml(toys.REPO / "examples/labelers.yaml")["collect_comparisons"]["labelers"]
    function = {"kind": "function", "function": "my_own_taste:brevity", "tie_threshold": 0.0}
    judges = [example | {"instructions_file": "taste.md"}, function]
    model = {"kind": "reward_model", "path": "models/m", "tie_threshold": 0.0}
    for judge, dep in zip([*judges, model], ["taste.md", "my_own_taste.py", "models/m"], strict=True):
        change(project, **{"collect_comparisons.labelers": judge})
        assert check.main([], project) == 0
        assert f"deps of collect_comparisons: + {dep}" in capsys.readouterr().out


def test_what_people_wrote_into_deps_stays(project):
    text = (project / "dvc.yaml").read_text()
    by_hand = text.replace(
        "    - rlhf/collection\n", "    - rlhf/collection   # all of it\n    - real/a.jsonl\n    - own.sh\n", 1
    )
    (project / "dvc.yaml").write_text(by_hand)
    add_source(project, **source("mine", "real/a.jsonl"))
    assert inputs.bring_up_to_date(params_of(project), project) == []
    assert (project / "dvc.yaml").read_text() == by_hand
    add_source(project, **source("more", "real/deep/b.txt"))
    inputs.bring_up_to_date(params_of(project), project)
    assert "rlhf/collection   # all of it" in (project / "dvc.yaml").read_text()


def test_a_stage_refuses_what_dvc_does_not_watch_and_says_what_to_type(project, capsys, monkeypatch):
    add_source(project, **source("mine", "real/a.jsonl"))
    assert check.main(["collect_prompts"], project) == 2
    said = capsys.readouterr().err
    assert said.startswith(
        "dvc.yaml: deps of collect_prompts: params.yaml names real/a.jsonl, which DVC does not watch"
    )
    assert "type: python -m tools.check, and then the same dvc command again" in said
    assert check.main(["ppo", "r1"], project) == 0
    monkeypatch.setenv("DVC_EXP_NAME", "some")
    assert check.main(["collect_prompts"], project) == 2
    assert "dvc exp run without -S" in capsys.readouterr().err
    assert check.main([], project) == 0
    assert check.main(["collect_prompts"], project) == 0


def test_a_stage_asks_only_for_what_it_reads(project):
    add_source(project, **source("mine", "real/gone.jsonl"))
    change(project, pretrain=toys.adopting("models/gone"))
    assert len(check.check(project)) == 2
    for stage in inputs.STAGES:
        (found,) = check.check(project, stage) or [""]
        assert found.partition(":")[2][1:8] == {"collect_prompts": "collect", "pretrain": "pretrai"}.get(stage, ""), (
            stage
        )
    change(project, **{"ppo.kl_coef": -1.0})
    assert ["ppo.kl_coef" in line for line in check.check(project, "sft")] == [True]


@pytest.mark.parametrize(
    ("path", "what", "said"),
    [
        ("*.jsonl", "files", "a pattern needs a folder that DVC can watch"),
        ("../*/*.jsonl", "files", "a pattern needs a folder that DVC can watch"),
        ("{root}/real/a.jsonl", "files", "write a path inside the project as real/a.jsonl"),
        ("data/sft", "folder", "the pipeline writes data/sft"),
        ("data", "folder", "the pipeline writes data/"),
        ("data/ppo/r1/a.jsonl", "files", "the pipeline writes data/ppo"),
        ("data/*.jsonl", "files", "the pipeline writes data/"),
    ],
)
def test_what_dvc_could_not_watch_is_refused(project, path, what, said):
    for name in ("a.jsonl", "data/a.jsonl", "data/ppo/r1/a.jsonl", "data/sft/config.json"):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text("{}\n")
    named = Local("some.key", path.format(root=project.resolve()), what)
    (found,) = inputs.mistakes([named], project)
    assert found.startswith(f"some.key: {said}")
    assert list(inputs.mistakes([Local("some.key", "data/a.jsonl", "files")], project)) == []


@pytest.mark.parametrize(
    ("changes", "stage", "dep"),
    [
        ({"source": HUB | {"id": "real"}}, "collect_prompts", "real"),
        ({"source": HUB | {"id": "json", "folder": "real"}}, "collect_prompts", "real"),
        ({"pretrain": toys.adopting("models/m") | {"source": "hub", "revision": None}}, "pretrain", "models/m"),
        (ENCODER | {"reward_model.encoder_path": "models/m"}, "reward_model", "models/m"),
    ],
    ids=["a data set's folder", "a reader of folders", "a model's folder", "an encoder's folder"],
)
def test_a_folder_given_where_a_hub_id_may_stand_is_watched(project, changes, stage, dep):
    if "source" in changes:
        add_source(project, **changes["source"])
    else:
        change(project, **changes)
    assert check.check(project) == []
    found = inputs.of_stages(params_of(project), project).items()
    assert {name: inputs.dependencies(named) for name, named in found if named} == {stage: [dep]}


@pytest.fixture
def hub(monkeypatch):
    """A hub of this machine: it knows a/b, its branch `old`, and nothing else; yields what it was asked for."""
    asked = []

    def answer(path: str) -> loopback.Answer:
        asked.append(path)
        known = path.removeprefix("/api/").partition("/")[2] in ("a/b", "a/b/revision/old")
        return loopback.Answer(200 if known else 404, json.dumps({"sha": SHA}).encode())

    with loopback.serving(answer) as port:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("HF_HUB_OFFLINE", "0")
        yield asked


ON_HUB = {
    "collect_prompts.sources.3.revision": ({"source": HUB | {"id": "a/b"}}, "datasets"),
    "pretrain.revision": ({"pretrain": toys.adopting("a/b") | {"source": "hub"}}, "models"),
    "reward_model.encoder_revision": (ENCODER | {"reward_model.encoder_path": "a/b"}, "models"),
}


@pytest.mark.parametrize("place", ON_HUB)
@pytest.mark.parametrize("revision", [None, "old", SHA[:12], SHA])
def test_a_hub_id_needs_its_commit_and_the_hub_is_asked_for_todays(project, hub, place, revision):
    changes, kind = ON_HUB[place]
    key = place.rpartition(".")[2]
    if "source" in changes:
        add_source(project, **changes["source"] | {key: revision})
    elif "pretrain" in changes:
        change(project, pretrain=changes["pretrain"] | {key: revision})
    else:
        change(project, **changes, **{place: revision})
    found = check.check(project)
    if revision == SHA:
        assert (found, hub) == ([], [])
        assert check.main([], project) == 0
        return
    (line,) = found
    assert line.startswith(f"params.yaml: {place}: expected the full commit sha")
    assert hub == [f"/api/{kind}/a/b" + (f"/revision/{revision}" if revision else "")]
    assert (f"today's is {key}: {SHA}" in line) == (revision != SHA[:12])
    assert repr(revision) in line


def test_a_hub_that_does_not_answer_is_asked_once_and_offline_never(project, hub, monkeypatch):
    for number in range(3):
        add_source(project, **HUB | {"name": f"far{number}", "id": f"a/{number}"})
    assert len(check.check(project)) == 3
    assert len(hub) == 1
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert len(check.check(project)) == 3
    assert len(hub) == 1
    assert check.check(project, "sft") == []


@pytest.mark.parametrize(
    "endpoint", ["http://user:Xsecret99X@localhost", "http://a b", "no address", "http://[", "{redirects}", "{no_http}"]
)
def test_a_hub_that_cannot_be_asked_gives_no_commit_and_no_secret_away(project, monkeypatch, capsys, endpoint):
    """What a wrong address leads to is no error of Python's, and a host that another one names gets no token."""
    seen = []

    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # noqa: N802
            seen.append(self.headers.get("Authorization"))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"[1]")

        def log_message(self, *_: Any) -> None:
            pass

    class Redirects(Elsewhere):
        def do_GET(self) -> None:  # noqa: N802
            assert self.headers["Authorization"] == "Bearer Xsecret99X"
            self.send_response(302)
            self.send_header("Location", f"http://localhost:{servers[0].server_port}/")
            self.end_headers()

    class NoHttp(Elsewhere):
        def do_GET(self) -> None:  # noqa: N802
            self.wfile.write(b"HTTP/nonsense\r\n\r\n")

    servers = [HTTPServer(("127.0.0.1", 0), kind) for kind in (Elsewhere, Redirects, NoHttp)]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    _, redirects, no_http = (f"http://127.0.0.1:{one.server_port}" for one in servers)
    monkeypatch.setenv("HF_ENDPOINT", endpoint.format(redirects=redirects, no_http=no_http))
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("HF_TOKEN", "Xsecret99X")
    add_source(project, **HUB | {"id": "a/b"})
    assert check.main([], project) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "expected the full commit sha" in line
    assert "Xsecret99X" not in line
    assert seen == ([None] if endpoint == "{redirects}" else [])
    for server in servers:
        server.shutdown()


def git(root: Path, *words: str) -> None:
    author = ["-c", "user.name=t", "-c", "user.email=t@localhost"]
    subprocess.run(["git", *author, *words], cwd=root, check=True, capture_output=True)


@pytest.fixture
def repository(project):
    git(project, "init", "--quiet")
    git(project, "add", "dvc.yaml", "params.yaml")
    git(project, "commit", "--quiet", "--message", "all")
    return project


@pytest.mark.parametrize(
    ("ignored", "path", "command"),
    [
        ("", "real/a.jsonl", "dvc add real/a.jsonl && git add real/a.jsonl.dvc real/.gitignore"),
        ("*.jsonl", "real/a.jsonl", "dvc add real/a.jsonl && git add real/a.jsonl.dvc real/.gitignore"),
        ("/real/", "real/a.jsonl", "dvc add real && git add real.dvc .gitignore"),
        ("", "real/*.jsonl", "dvc add real && git add real.dvc .gitignore"),
        ("/data/*", "data/a.jsonl", "move it out of data/"),
    ],
)
def test_by_hand_it_warns_of_inputs_that_a_copy_will_not_have(repository, ignored, path, command, capsys):
    (repository / "data").mkdir()
    (repository / "data/a.jsonl").write_text('{"prompt": "a"}\n')
    (repository / ".gitignore").write_text(f"{ignored}\n")
    add_source(repository, **source("mine", path))
    assert check.main([], repository) == 0
    (warned,) = capsys.readouterr().err.splitlines()
    assert warned.startswith(f"{inputs.dependency(Local('', path, 'files'))}: git does not keep it")
    assert command in warned


@pytest.mark.parametrize("name", ["a b.jsonl", "-x.jsonl", "it's.jsonl", "&x;y.jsonl", "$HOME.jsonl", "é.jsonl"])
def test_the_command_to_type_names_the_file_in_a_shell_as_it_is(repository, capsys, name):
    (repository / name).write_text('{"prompt": "a"}\n')
    add_source(repository, **source("mine", name))
    assert check.main([], repository) == 0
    (warned,) = capsys.readouterr().err.splitlines()
    first, second = warned.partition("have it: ")[2].split(" && ")
    expected = [f"./{name}" if name.startswith("-") else name]
    assert shlex.split(first)[2:] == expected
    assert shlex.split(second)[2:] == [f"{expected[0]}.dvc", ".gitignore"]


@pytest.mark.parametrize(
    "name", ["real/a\nb.jsonl", "real/a\x1b[31mb.jsonl", "real/\udcff.jsonl", "real/a\u202eb.jsonl"]
)
def test_a_file_whose_name_no_line_can_hold_is_refused(project, name):
    (project / "real").mkdir(exist_ok=True)
    (project / name).write_text('{"prompt": "a"}\n')
    add_source(project, **source("mine", "real/*b.jsonl" if "b" in name else "real/*.jsonl"))
    (mistake,) = check.check(project)
    assert "a name with control characters or broken ones; rename it" in mistake
    assert mistake.isprintable()


def test_it_does_not_warn_of_what_git_or_dvc_keeps_or_what_lies_outside(repository, capsys, monkeypatch):
    monkeypatch.setattr(check, "_try_the_model", lambda *_: None)  # an empty folder stands for one
    for path in ("real/a.jsonl", str(repository.parent / "outside/d.jsonl")):
        add_source(repository, **source(f"s{len(path)}", path))
    change(repository, pretrain=toys.adopting("models/m"))
    git(repository, "add", "real/a.jsonl")
    (repository / "models.dvc").write_text("outs: []\n")
    assert check.main([], repository) == 0
    assert capsys.readouterr().err.startswith("models/m: ")
    git(repository, "add", "models.dvc")
    assert check.main([], repository) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("ignored", "way"),
    [
        ("*.jsonl", "dvc add real/a.jsonl && git add real/a.jsonl.dvc real/.gitignore"),
        ("/real/", "dvc add real && git add real.dvc .gitignore"),
    ],
)
def test_in_a_copy_it_says_what_the_copy_lacks_and_how_it_gets_it(repository, monkeypatch, capsys, ignored, way):
    (repository / ".gitignore").write_text(f"{ignored}\n")
    add_source(repository, **source("mine", "real/a.jsonl"))
    copy = repository.parent / "copy"
    shutil.copytree(repository, copy, ignore=shutil.ignore_patterns("real"))
    monkeypatch.setenv("DVC_STAGE", "collect_prompts")
    monkeypatch.setenv("DVC_ROOT", str(copy))
    assert check.main(["collect_prompts"], copy) == 2
    assert "experiment's copy" not in capsys.readouterr().err
    monkeypatch.setenv("DVC_ROOT", str(repository))
    assert check.main(["collect_prompts"], copy) == 2
    missing, about, lacking = capsys.readouterr().err.splitlines()
    assert "real/a.jsonl: no such file" in missing
    assert f"This is an experiment's copy of {repository.resolve()}" in about
    assert lacking.startswith("real/a.jsonl: git does not keep it")
    assert lacking.endswith(way)


def test_a_mistake_that_is_the_same_everywhere_is_none_of_the_copys(repository, monkeypatch, capsys):
    add_source(repository, **source("mine", "real/gone.jsonl"))
    copy = shutil.copytree(repository, repository.parent / "copy")
    monkeypatch.setenv("DVC_STAGE", "collect_prompts")
    monkeypatch.setenv("DVC_ROOT", str(repository))
    assert check.main(["collect_prompts"], copy) == 2
    assert "experiment's copy" not in capsys.readouterr().err


NULLS = """collect_prompts:
  sources:
  - name: a                 # first
    kind: hub
    id: a/b
    revision: null   # its commit
  - {name: b, kind: hub, id: a/b, revision: old, split: train}
  - {id: a/b, name: c}
  - id: a/b        # fourth
    name: d
  - {name: e, id: a/b, revision: null}
pretrain:
  revision: ~
  path: a/b
"""


@pytest.mark.parametrize("place", [*(f"collect_prompts.sources.{n}.revision" for n in range(5)), "pretrain.revision"])
def test_pinning_changes_one_value_and_keeps_every_other_byte(place):
    made = pin.pinned(NULLS, place, SHA)
    expected = loads_yaml(NULLS)
    section = reduce(lambda inner, key: inner[int(key) if key.isdigit() else key], place.split(".")[:-1], expected)
    section["revision"] = SHA
    assert loads_yaml(made) == expected
    kept = [line for line in NULLS.splitlines() if line not in made.splitlines()]
    assert len(kept) <= 1
    assert {"# first", "# its commit", "# fourth"} <= set(re.findall("# .+", made))


def test_every_hub_id_of_a_preset_gets_todays_commit_and_is_then_right(project, hub, capsys):
    file = project / "params.yaml"
    shutil.copy(toys.REPO / "presets/real_en.yaml", file)
    text = re.sub(r"(?m)^( +id: )\S+", r"\1a/b", file.read_text())
    file.write_text(text)
    assert len(check.check(project)) == len(re.findall("id: a/b", text)) > 5
    assert pin.main([str(file)]) == 0
    assert check.check(project) == []
    assert file.read_text().replace(SHA, "null") == text
    file.write_text(text.replace("a/b", "a/c"))
    assert pin.main([str(file)]) == 2
    assert "collect_prompts.sources.0.revision: the hub gave no commit of 'a/c'" in capsys.readouterr().err


def test_a_homes_folder_is_taken_alike_by_check_dvc_and_stage(project, monkeypatch):
    monkeypatch.setenv("HOME", str(project.parent))
    shutil.copytree(project / "models/m", project.parent / "m")
    change(project, pretrain=toys.adopting("~/m"))
    assert check.check(project) == []
    assert inputs.bring_up_to_date(params_of(project), project)
    assert str(project.parent / "m") in deps_of(project, "pretrain")
    assert place_of("~/m", project) == project.parent / "m"
    add_source(project, **source("near", "~/outside/*.jsonl"))
    assert check.check(project) == []
    inputs.bring_up_to_date(params_of(project), project)
    assert str(project.parent / "outside") in deps_of(project, "collect_prompts")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("$HOME/m", "variables of a shell are not filled in: write ~/ or the whole path"),
        ("${HOME}/m", "variables of a shell are not filled in: write ~/ or the whole path"),
        ("~nobody-has-this-name/m", "no user of this machine has this home; write the whole path"),
        ("models/${name}", "DVC takes ${ for a variable"),
    ],
)
def test_a_path_that_only_a_shell_could_read_is_refused_with_the_words_to_write(project, monkeypatch, path, said):
    monkeypatch.setenv("HOME", str(project.parent))
    (project / "models/${name}").mkdir()
    change(project, pretrain=toys.adopting(path))
    mistakes = check.check(project)
    assert all(mistake.startswith("params.yaml: pretrain.path: ") for mistake in mistakes)
    assert any(said in mistake for mistake in mistakes)
    change(project, pretrain=read_yaml(toys.REPO / "presets/tiny.yaml")["pretrain"])
    add_source(project, **source("near", path))
    mistakes = check.check(project)
    assert any(said in mistake for mistake in mistakes)


@pytest.mark.parametrize("key", ["id", "folder"])
def test_a_data_sets_folder_in_a_home_is_refused_with_the_words_to_write(project, key):
    add_source(project, **(HUB | {"id": "json", "subset": None, "folder": None, "revision": None} | {key: "~/outside"}))
    assert any("write the whole path" in mistake for mistake in check.check(project))


def people() -> dict:
    return read_yaml(toys.REPO / "examples/people.yaml")["collect_comparisons"]["labelers"]


def test_peoples_labels_are_watched_round_by_round_and_their_folders_made(project, capsys):
    change(project, **{"collect_comparisons.labelers": people()})
    change(project, **{"rounds.r2": {"policy": "ppo/r1", "earlier": "collect_comparisons/r1"}})
    assert check.main([], project) == 0
    assert "deps of collect_comparisons: + data/labels/${key}" in capsys.readouterr().out
    assert deps_of(project, "collect_comparisons") == ["data/labels/${key}"]
    assert deps_of(project, "collect_answers") == []
    made = toys.file_bytes(project / "data/labels")
    assert {*made} == {"instructions.md", "r1/README.md", "r2/README.md"}
    (project / "data/labels/instructions.md").write_text("Ours.")
    assert check.main([], project) == 0
    assert (project / "data/labels/instructions.md").read_text() == "Ours."
    assert "data/labels" not in capsys.readouterr().out


def test_within_dvc_the_folders_of_a_new_round_are_made_before_its_answers(project, monkeypatch, capsys):
    change(project, **{"collect_comparisons.labelers": people()})
    monkeypatch.setenv("DVC_STAGE", "collect_answers@r1")
    assert check.main(["collect_answers", "r1"], project) == 0
    assert (project / "data/labels/r1/README.md").exists()
    assert capsys.readouterr().out == ""


def test_dvc_sees_a_new_label_and_no_lock_and_answers_are_not_behind_it(project, monkeypatch):
    from dvc.repo import Repo

    from rlhf.runs import lineage
    from tests.people.judged import answered, judgement, say

    change(project, **{"collect_comparisons.labelers": people()})
    assert check.main([], project) == 0
    (project / ".dvc").mkdir()
    (project / ".dvc/config").write_text("[core]\n    no_scm = True\n")
    shutil.copy(toys.REPO / ".dvcignore", project)
    say(project, judgement(answered(0), "ada"))
    before = lineage.dvc_md5(project / "data/labels/r1")
    assert (project / "data/labels/r1/.locks/ada.jsonl.lock").exists()

    def seen() -> tuple[str, list[str]]:
        with Repo(str(project)) as repo:
            found = [
                (stage.name, dep)
                for stage in repo.index.stages
                for dep in stage.deps
                if str(dep).startswith("data/labels")
            ]
            for _, dep in found:
                dep.save()
            return found[0][1].hash_info.value, [name for name, _ in found]

    md5, stages = seen()
    assert (md5, stages) == (before, ["collect_comparisons@r1"])
    say(project, judgement(answered(1), "ada"))
    assert seen()[0] != before


@pytest.mark.parametrize(
    ("folder", "said"),
    [("data", "pipeline writes"), ("data/ppo", "pipeline writes data/ppo"), ("data/${x}", "takes ${ for a variable")],
)
def test_a_folder_of_labels_that_the_pipeline_would_write_over_is_refused(project, folder, said):
    change(project, **{"collect_comparisons.labelers": people() | {"folder": folder}})
    assert any("labelers.folder: " in line and said in line for line in check.check(project))


def test_labels_that_git_does_not_keep_are_named_with_the_command(project):
    change(project, **{"collect_comparisons.labelers": people()})
    subprocess.run(["git", "init", "--quiet"], cwd=project, check=True)
    shutil.copy(toys.REPO / ".gitignore", project)
    check.main([], project)
    (line,) = inputs.untracked(params_of(project), project)
    assert line.startswith("data/labels: git does not keep it") and line.endswith(": git add data/labels")
    subprocess.run(["git", "add", "data/labels"], cwd=project, check=True)
    assert inputs.untracked(params_of(project), project) == []

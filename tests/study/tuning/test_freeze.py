import json
import shutil
from pathlib import Path

import pytest

from rlhf.collection.table.spill import Spill
from rlhf.params.base import ParamsError, parse, read_yaml
from rlhf.params.collect_prompts import CollectPromptsInputs
from rlhf.runs import lineage
from stages import collect_prompts
from study.tuning import freeze

ROOT = Path(__file__).parents[3]


def smaller():
    """Return the default's section with a hundredth of its records."""
    section = read_yaml(ROOT / freeze.PARAMS)["collect_prompts"]
    for source in section["sources"]:
        source["documents"], source["prompts"] = source["documents"] // 100, source["prompts"] // 10
    return section


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """Return a folder with the frozen code, whose prompts are not drawn."""
    for name in freeze.CODE:
        own = tmp_path / name
        own.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile)(ROOT / name, own)
    (tmp_path / freeze.PARAMS).parent.mkdir()
    shutil.copyfile(ROOT / freeze.PARAMS, tmp_path / freeze.PARAMS)
    (tmp_path / "study").mkdir()
    monkeypatch.setattr(freeze, "prompts", lambda section, root: {"prompts.test.jsonl, seed 17": "0"})
    return tmp_path


def test_the_code_is_as_it_was_frozen():
    frozen = json.loads((ROOT / freeze.FROZEN).read_text(encoding="utf-8"))
    own = {name: md5 for name, md5 in frozen.items() if name.endswith(".py")}
    assert freeze.differences(own, freeze.code(ROOT)) == []
    assert {"rlhf/world/grading/gold.py", "rlhf/grading/gold.py", "rlhf/evaluation/controls/manners.py"} <= {*own}
    assert len(frozen) == len(own) + 2 * len(freeze.SEEDS)


def test_what_was_frozen_is_accepted_and_a_change_is_refused_by_name(copied, capsys):
    assert freeze.main(["--check"], copied) == 2
    assert "study/frozen.json: missing" in capsys.readouterr().err
    assert freeze.main([], copied) == 0
    assert freeze.main(["--check"], copied) == 0
    with open(copied / "rlhf/grading/gold.py", "a") as file:
        file.write("# another\n")
    (copied / "rlhf/evaluation/controls/sides.py").unlink()
    (copied / "rlhf/world/further.py").write_text("")
    with pytest.raises(ParamsError) as refused:
        freeze.refuse_changes(copied)
    for said in ("grading/gold.py (changed)", "controls/sides.py (removed)", "world/further.py (added)", freeze.AGAIN):
        assert said in str(refused.value)
    assert freeze.main(["--check"], copied) == 2
    assert "rlhf/grading/gold.py (changed)" in capsys.readouterr().err


def test_other_prompts_are_refused(copied, monkeypatch):
    freeze.main([], copied)
    monkeypatch.setattr(freeze, "prompts", lambda section, root: {"prompts.test.jsonl, seed 17": "1"})
    with pytest.raises(ParamsError, match=r"prompts\.test\.jsonl, seed 17 \(changed\)"):
        freeze.refuse_changes(copied)


def test_hashes_without_documents_and_training_prompts_are_those_of_the_whole_stage(tmp_path, monkeypatch):
    monkeypatch.setattr(freeze, "SEEDS", (17,))
    section = smaller()
    found = freeze.prompts(section, ROOT)
    params = parse(CollectPromptsInputs, {"seed": 17, "collect_prompts": section}, "")
    with Spill(tmp_path / "spill") as spill:
        collected = collect_prompts.collect(params, ROOT, spill, lambda *_: None)
        (tmp_path / "data").mkdir()
        collect_prompts.write(collected, params.collect_prompts, tmp_path, spill)
    folder = tmp_path / "data/collect_prompts"
    assert found == {
        f"{name}.jsonl, seed 17": lineage.dvc_md5(folder / f"{name}.jsonl")
        for name in ("prompts.test", "prompts.validation")
    }
    section["sources"][1]["seed"] += 1
    assert freeze.prompts(section, ROOT) != found

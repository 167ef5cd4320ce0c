"""Tables of README.md and docs/results.md are what metrics/ say, wherever these are the default's."""

import json
import subprocess
from pathlib import Path

import pytest

from tools.pages import figures

ROOT = Path(__file__).parents[3]


def test_the_pages_hold_the_figures_of_the_committed_metrics():
    if (ROOT / "params.yaml").read_bytes() != (ROOT / "presets/laptop.yaml").read_bytes():
        pytest.skip("params.yaml is not the default, so metrics/ may be of another run")
    sources = ["metrics/evaluate.json", "metrics/reward_model/r1.json"]
    changed = subprocess.run(["git", "status", "--porcelain", "--", *sources], cwd=ROOT, capture_output=True, text=True)
    if changed.returncode or changed.stdout:
        pytest.skip(f"a run has changed metrics/ since the commit: {changed.stdout or changed.stderr}")
    assert figures.main(["--check"], ROOT) == 0


@pytest.fixture
def root(tmp_path):
    for name in ("metrics/evaluate.json", "metrics/reward_model/r1.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("Before.\n\n<!-- figures: headline -->\nold\n<!-- /figures -->\n\nAfter.\n")
    (tmp_path / "docs/results.md").write_text("<!-- figures: means -->\n<!-- /figures -->\n")
    return tmp_path


def change(root, *path, value):
    file = root / "metrics/evaluate.json"
    content = json.loads(file.read_text())
    place = content
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    file.write_text(json.dumps(content))


def test_only_the_blocks_are_written_and_a_second_time_changes_nothing(root):
    assert figures.main(["--check"], root) == 1
    assert "old" in (root / "README.md").read_text(), "a check writes nothing"
    assert figures.main([], root) == 0
    page = (root / "README.md").read_text()
    assert page.startswith("Before.\n\n<!-- figures: headline -->\n| policy |") and page.endswith(
        "|\n<!-- /figures -->\n\nAfter.\n"
    )
    assert figures.main(["--check"], root) == 0


def test_figures_stand_in_the_row_of_their_policy(root):
    change(root, "evaluate", "controlled", "ppo_vs_dpo_greedy", value={"mean": 0.123, "low": 0.1, "high": 0.2})
    change(root, "evaluate", "controlled_mean", "dpo_sampled", value={"mean": 0.456, "low": 0.4, "high": 0.5})
    figures.main([], root)
    (row,) = (line for line in (root / "README.md").read_text().splitlines() if line.startswith("| DPO"))
    cells = [cell.strip() for cell in row.split("|")]
    assert cells[2].startswith("0.46; ") and cells[3] == "12% (10 to 20%)"
    means = (root / "docs/results.md").read_text().splitlines()
    names = [cell.strip() for cell in means[1].split("|")]
    (controlled,) = (line for line in means if line.startswith("| sampled, controlled"))
    assert controlled.split("|")[names.index("DPO")].strip() == "0.46"


def test_a_block_of_an_unknown_name_is_named(root):
    (root / "README.md").write_text("<!-- figures: missing -->\n<!-- /figures -->\n")
    with pytest.raises(KeyError, match="missing"):
        figures.main([], root)

"""Names in params are checked before DVC makes them folders, which it empties, and words of a shell's commands."""

import subprocess

import pytest

from tests.integration.conftest import environment

ROUND = "  {name}: {{policy: sft, earlier: collect_prompts}}\n"
CELL = "  {name}: {{seed: 17, change: {{}}, targets: [sft], measures: []}}\n"
NAMES = ['"r2; touch marker #"', '"$(touch marker)"', '"../../examples"', '"a b"', "R2"]


def bare(name):
    """Return a name without YAML's quotes."""
    return name.strip('"')


def refused(root, *command):
    """Return what a command of DVC said before it failed, having touched nothing that a name names."""
    examples = sorted(path.name for path in (root / "examples").iterdir())
    answer = subprocess.run(command, cwd=root, env=environment(root), capture_output=True, text=True, check=False)
    assert answer.returncode != 0
    assert not (root / "marker").exists()
    assert sorted(path.name for path in (root / "examples").iterdir()) == examples
    return answer.stderr


@pytest.mark.parametrize("name", NAMES)
def test_a_rounds_name_that_is_no_name_stops_dvc_repro(copy, name):
    params = copy / "params.yaml"
    text = params.read_text()
    assert "\nrounds:\n" in text
    params.write_text(text.replace("\nrounds:\n", "\nrounds:\n" + ROUND.format(name=name)))
    told = refused(copy, "dvc", "repro")
    ours = f"params.yaml: rounds.{bare(name)}: it names folders and stands in commands"
    dvcs = "is specified in"  # several stages' outputs would be one folder
    assert (dvcs if "/" in name else ours) in told


@pytest.mark.parametrize("name", NAMES)
def test_a_cells_name_that_is_no_name_stops_the_laboratory(copy, name):
    params = copy / "study/params.yaml"
    text = params.read_text()
    params.write_text(text.replace("\ncells:\n", "\ncells:\n" + CELL.format(name=name)))
    told = refused(copy, "dvc", "repro", "study/dvc.yaml")
    assert f"study/params.yaml: cells.{bare(name)}: it names folders and stands in commands" in told

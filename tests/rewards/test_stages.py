"""Rewards through the stages: functions and adopted models beside a trained reward model, and in its place."""

import json

import pytest
import torch

from rlhf.params.base import load, parse
from rlhf.params.ppo import PpoInputs
from rlhf.params.rewards import Rewards
from rlhf.preferences import rewards
from rlhf.rewards import weighted
from rlhf.rl import experience
from rlhf.tokens import chat
from stages import ppo, reward_model
from tests import notebook, toys
from tools import check, inputs

FUNCTIONS = """
def vowels(messages, answers):
    return [sum(answer.count(letter) for letter in "aeiou") for answer in answers]
"""


@pytest.fixture
def ready(root, tokenizer, monkeypatch):
    """A root with a policy, a reward model, one to adopt and a function."""
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    monkeypatch.delitem(__import__("sys").modules, "my_vowels", raising=False)
    toys.save(root / "data/sft", toys.policy(tokenizer, spread=0.1), tokenizer)
    toys.save(root / "data/reward_model/r1", toys.reward_model(tokenizer, spread=0.1), tokenizer)
    toys.save(root / "models/rm", toys.reward_model(tokenizer, "gpt2", seed=8), tokenizer)
    (root / "my_vowels.py").write_text(FUNCTIONS, encoding="utf-8")
    return root


def reward(root, **terms) -> None:
    toys.set_param(root, "rewards", toys.REWARDS | terms)


VOWELS = {"functions": [{"function": "my_vowels:vowels", "weight": 0.5}]}
ADOPTED = {"adopted": [{"path": "models/rm", "weight": 2.0}]}


def test_ppo_is_rewarded_by_the_sum_and_an_answer_without_end_is_not(ready, tokenizer):
    reward(ready, **VOWELS, **ADOPTED, answer_tokens=-0.25)
    params = load(ready, PpoInputs)
    models = ppo.assemble(ready / "data/sft", ready / "data/reward_model/r1", params, seed=1, root=ready)
    toys.likes_to_end(models.policy, tokenizer)
    prompts = ppo.tokenised(tokenizer, toys.prompts(16), params.ppo)
    episodes = experience.gather(models, prompts, params.ppo, params.runtime, seed=3)
    assert 0 < episodes.ended.sum() < 16
    rows = [
        ids[:length] for ids, length in zip(episodes.completions.tolist(), episodes.completion_mask.sum(1), strict=True)
    ]
    texts, messages = [chat.response_text(tokenizer, row) for row in rows], [prompt.messages for prompt in prompts]
    joined = [rewards.joined(prompt.ids, ids, None) for prompt, ids in zip(prompts, rows, strict=True)]
    trained = models.scorer.score_rows(joined, 16)
    adopted = models.rewards.parts[1].scorer.score_texts(messages, texts)
    for row, ids in enumerate(rows):
        if not episodes.ended[row]:
            assert episodes.scores[row] == params.ppo.missing_eos_score
            continue
        vowels = sum(texts[row].count(letter) for letter in "aeiou")
        expected = trained[row] + 2 * adopted[row] + 0.5 * vowels - 0.25 * (len(ids) - 1)
        assert episodes.scores[row].item() == pytest.approx(expected, abs=1e-4)
    means = experience.term_means(models, episodes)
    assert list(means) == ["score_reward_model", "score_rm", "score_vowels", "score_answer_tokens"]
    assert means["score_rm"] == pytest.approx(sum(adopted) / 16, abs=1e-5)
    assert means["score_answer_tokens"] == sum(len(ids) for ids in rows) / 16 - episodes.ended.float().mean()


@pytest.mark.parametrize("terms", [VOWELS, ADOPTED])
def test_without_a_trained_model_every_stage_goes_on(ready, terms):
    """No comparisons are there at all; the value model starts from the policy."""
    reward(ready, trained=0.0, **terms)
    toys.set_param(ready, "ppo.value_init", "policy")
    reward_model.main(ready, "r1")
    assert "not trained" in (ready / "data/reward_model/r1/README.md").read_text()
    ppo.main(ready, "r1")
    curve = notebook.curve_of(ready / "metrics/plots/ppo/r1.csv")
    assert not [name for name in next(iter(curve.values())) if name.startswith("score_") and name != "score_std"]
    metrics = json.loads((ready / "metrics/reward_model/r1.json").read_text())["reward_model"]["r1"]
    assert metrics == {"training_prompts": 0, "by_category": {}}


def test_several_terms_are_columns_of_the_curve_and_metrics(ready):
    reward(ready, **VOWELS)
    ppo.main(ready, "r1")
    point = next(iter(notebook.curve_of(ready / "metrics/plots/ppo/r1.csv").values()))
    metrics = json.loads((ready / "metrics/ppo/r1.json").read_text())["ppo"]["r1"]
    for name in ("score_reward_model", "score_vowels"):
        assert name in point
        assert name in metrics


def test_a_value_model_cannot_start_from_what_is_not_trained(ready):
    reward(ready, trained=0.0, **VOWELS)
    with pytest.raises(ValueError, match="ppo.value_init: no reward model is trained"):
        ppo.assemble(ready / "data/sft", ready / "data/reward_model/r1", load(ready, PpoInputs), 1, ready)
    assert [line for line in check.check(ready, "ppo") if "ppo.value_init: no reward model is trained" in line]


def test_check_imports_functions_before_anything_long(ready):
    reward(ready, **VOWELS)
    assert check.check(ready, "ppo") == []
    for name, expected in (("vowel", "my_vowels.py has no function vowel"), ("vowels", "cannot be imported")):
        (ready / "my_vowels.py").write_text(FUNCTIONS if name == "vowel" else "import nothing_of_that_name")
        __import__("sys").modules.pop("my_vowels", None)
        reward(ready, functions=[{"function": f"my_vowels:{name}", "weight": 1.0}])
        for stage in ("ppo", "evaluate"):
            (mistake,) = check.check(ready, stage)
            assert mistake.startswith("params.yaml: rewards.functions.0.function: ")
            assert expected in mistake
        assert check.check(ready, "sft") == []
    reward(ready, functions=[{"function": "elsewhere:worth", "weight": 1.0}])
    mistake = next(line for line in check.check(ready) if "elsewhere" in line)
    assert check.check(ready).count(mistake) == 1
    (mistake,) = check.check(ready, "ppo")
    assert "rewards.functions.0.function" in mistake
    assert "elsewhere.py" in mistake


def test_dvc_watches_models_functions_and_what_they_import(ready):
    (ready / "lists").mkdir()
    (ready / "lists/__init__.py").write_text("")
    (ready / "lists/letters.py").write_text("VOWELS = 'aeiou'")
    (ready / "my_vowels.py").write_text(
        "import json\nfrom lists.letters import VOWELS\nfrom rlhf.records import records\n"
    )
    params = parse(Rewards, toys.REWARDS | VOWELS | ADOPTED, "rewards")
    named = [*inputs._of_rewards(params, ready)]
    assert inputs.dependencies(named) == ["lists/letters.py", "models/rm", "my_vowels.py"]


def test_an_adopted_hub_model_needs_its_commit(ready):
    params = parse(Rewards, toys.REWARDS | {"adopted": [{"path": "some/rm", "weight": 1.0}]}, "rewards")
    (mistake,) = inputs.mistakes(inputs._of_rewards(params, ready), ready)
    assert mistake.startswith("rewards.adopted.0.revision: expected the full commit sha")


def test_the_default_section_is_the_trained_score_to_the_last_bit(ready, tokenizer):
    params = load(ready, PpoInputs)
    models = ppo.assemble(ready / "data/sft", ready / "data/reward_model/r1", params, seed=1, root=ready)
    prompts = ppo.tokenised(tokenizer, toys.prompts(4), params.ppo)
    found, plain = (
        experience.gather(each, prompts, params.ppo, params.runtime, seed=3)
        for each in (models, models._replace(rewards=weighted.alone(models.scorer)))
    )
    assert torch.equal(found.scores, plain.scores)
    assert models.rewards.names == []
    assert found.terms.shape == (4, 0)

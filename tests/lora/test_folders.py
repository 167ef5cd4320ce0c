"""Stages with LoRA: folders that later stages read, whole or as adapters on the pipeline's own; kills."""

import json
import shutil
import subprocess
import sys

import pytest
import torch
import transformers

from rlhf.models import adoption, loading
from rlhf.params.base import parse
from rlhf.params.ppo import PpoInputs
from rlhf.params.pretrain import LocalModel
from rlhf.preferences import rewards
from rlhf.records import records
from rlhf.runs import checkpoints
from stages import dpo, feedme, ppo, reward_model, sft
from tests import toys
from tests.engine.test_low_rank import lora
from tools import check

RUNTIME = toys.runtime()
ROW = [rewards.Sequence([20, 21, 22, 23, 24], 2)]


def prepared(path, tokenizer, save: str):
    """Return a root with a base and comparisons, whose stages train adapters."""
    root = toys.root(path)
    toys.save(root / "data/pretrain", toys.policy(tokenizer, "qwen2", spread=0.1), tokenizer)
    source = root / "data/collect_comparisons/r1"
    records.write(source / "comparisons.train.jsonl", toys.comparisons(8))
    records.write(source / "comparisons.validation.jsonl", toys.comparisons(4))
    content = toys.read_yaml(root / "params.yaml")
    for name in ("sft", "feedme", "dpo", "reward_model", "ppo"):
        content[name]["lora"] = lora(save=save).model_dump()
        for key in [key for key in content[name] if key.endswith("optimisation")]:
            content[name][key] |= {"learning_rate": 0.01, "warmup_steps": 0}
    content["ppo"] |= {"share_backbone": True, "ema_decay": 0.5}
    toys.write_params(root, content)
    return root


@pytest.fixture(scope="module")
def ran(tmp_path_factory, tokenizer):
    """Roots on which sft, reward_model and ppo have run, one that saves merged models and one that saves adapters."""
    roots = {}
    for save in ("merged", "adapter"):
        roots[save] = prepared(tmp_path_factory.mktemp(save) / "repository", tokenizer, save)
        sft.main(roots[save])
        reward_model.main(roots[save], "r1")
        ppo.main(roots[save], "r1")
        feedme.main(roots[save])
        dpo.main(roots[save])
    return roots


def weights(path):
    return dict(loading.load_causal(path, RUNTIME).named_parameters())


@pytest.mark.parametrize("place", ["data/sft", "data/feedme", "data/dpo", "data/ppo/r1"])
def test_an_adapters_folder_reads_as_the_merged_one(ran, tmp_path, place):
    merged, kept = (weights(ran[save] / place) for save in ("merged", "adapter"))
    if place == "data/ppo/r1":  # of the same reward model
        shutil.copytree(ran["adapter"], tmp_path / "merging")
        toys.set_param(tmp_path / "merging", "ppo.lora.save", "merged")
        ppo.main(tmp_path / "merging", "r1")
        merged = weights(tmp_path / "merging" / place)
    assert merged.keys() == kept.keys()
    for name, weight in merged.items():
        torch.testing.assert_close(kept[name], weight, rtol=0, atol=1e-6)
    start = weights(ran["merged"] / ("data/pretrain" if place == "data/sft" else "data/sft"))
    assert any(not torch.equal(weight, start[name]) for name, weight in merged.items())


def test_a_merged_folder_is_a_plain_one_and_an_adapters_holds_no_base(ran):
    plain = {file.name for file in (ran["merged"] / "data/sft").iterdir()}
    assert "adapter_config.json" not in plain
    assert "model.safetensors" in plain
    assert "lora" not in (ran["merged"] / "data/sft/config.json").read_text(encoding="utf-8")
    alone = {file.name for file in (ran["adapter"] / "data/reward_model/r1").iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors", "config.json", "tokenizer.json"} <= alone
    assert "model.safetensors" not in alone


def test_peft_reads_an_adapters_folder_by_hand(ran):
    from peft import PeftModel

    root = ran["adapter"]
    base = transformers.AutoModelForCausalLM.from_pretrained(root / "data/pretrain")
    by_hand = PeftModel.from_pretrained(base, root / "data/sft").merge_and_unload()
    for name, weight in weights(root / "data/sft").items():
        torch.testing.assert_close(dict(by_hand.named_parameters())[name], weight, rtol=0, atol=1e-6)
    kind = transformers.AutoModelForSequenceClassification
    by_hand.save_pretrained(root / "by_hand")
    base = kind.from_pretrained(root / "by_hand", num_labels=1)
    scorer = PeftModel.from_pretrained(base, root / "data/reward_model/r1")
    raw = scorer(input_ids=torch.tensor([ROW[0].ids])).logits.item()
    ours = loading.load_classifier(root / "data/reward_model/r1", RUNTIME)
    assert raw == pytest.approx(ours(input_ids=torch.tensor([ROW[0].ids])).logits.item(), abs=1e-5)
    assert ours.score.weight.abs().max() > 0


def test_scores_after_a_reload_are_those_before(ran, monkeypatch):
    """What the stage measured, it measured of the model in memory."""
    seen = {}
    real = reward_model.preference_training.normalise

    def keeping(model, *more):
        scorer = real(model, *more)
        seen["before"] = scorer.score_rows(ROW, 1)
        return scorer

    for save, root in ran.items():
        monkeypatch.setattr(reward_model.preference_training, "normalise", keeping)
        reward_model.main(root, "r1")
        after = rewards.RewardScorer(root / "data/reward_model/r1", RUNTIME).score_rows(ROW, 1)
        assert after == pytest.approx(seen["before"], abs=1e-5), save


def test_a_changed_base_is_noticed(ran, tmp_path):
    shutil.copytree(ran["adapter"], tmp_path / "copy")
    toys.save(tmp_path / "copy/data/pretrain", toys.policy(toys.tokenizer(), "qwen2", seed=4), toys.tokenizer())
    with pytest.raises(ValueError, match=r"data/pretrain has changed since this adapter was trained on it"):
        loading.load_causal(tmp_path / "copy/data/sft", RUNTIME)


def test_a_strangers_adapter_is_refused_wherever_it_lies_and_whatever_it_names(ran, tmp_path):
    for place in ("stranger", "repository/data/sft"):
        shutil.copytree(ran["adapter"] / "data/sft", tmp_path / place)
        shutil.copytree(ran["adapter"] / "data/pretrain", (tmp_path / place).parent / "pretrain", dirs_exist_ok=True)
        adopted = parse(LocalModel, toys.adopting(str(tmp_path / place)) | {"template_date": None}, "pretrain")
        with pytest.raises(ValueError, match="this is an adapter on another model"):
            adoption.adopt(adopted, tmp_path, RUNTIME, print)
    with pytest.raises(ValueError, match="this is an adapter on another model"):
        loading.load_causal(tmp_path / "stranger", RUNTIME)
    config = tmp_path / "repository/data/sft/config.json"
    content = json.loads(config.read_text(encoding="utf-8"))
    content["adapter_base"]["folder"] = "../stranger"
    config.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ValueError, match="this is an adapter on another model"):
        loading.load_causal(tmp_path / "repository/data/sft", RUNTIME)


def assembled(root):
    from rlhf.params.base import load

    return ppo.assemble(root / "data/sft", root / "data/reward_model/r1", load(root, PpoInputs), seed=1)


@pytest.mark.parametrize("save", ["merged", "adapter"])
def test_frozen_weights_lie_in_memory_once(ran, save):
    models = assembled(ran[save])
    policy, reference, values, scorer = models.policy, models.reference, models.value_model, models.scorer.model
    base = {weight.data_ptr() for weight in reference.parameters()}
    assert {w.data_ptr() for w in policy.parameters() if not w.requires_grad} == base
    of_scorer = {weight.data_ptr() for weight in scorer.base_model.parameters()}
    assert {w.data_ptr() for w in values.base_model.parameters() if not w.requires_grad} <= of_scorer
    body = {weight.data_ptr() for weight in reference.base_model.parameters()}
    assert (body <= of_scorer) == (save == "adapter")  # a merged reward model has a backbone of its own
    learned = [{w.data_ptr() for w in model.parameters() if w.requires_grad} for model in (policy, values)]
    assert not learned[0] & learned[1]
    frozen = {weight.data_ptr() for model in (reference, scorer) for weight in model.parameters()}
    assert not (learned[0] | learned[1]) & frozen
    assert any(name == "score.weight" for name, w in values.named_parameters() if w.requires_grad)


@pytest.mark.parametrize("save", ["merged", "adapter"])
def test_the_value_model_begins_as_the_reward_model_and_the_policy_as_the_reference(ran, save):
    from rlhf.models import forward
    from rlhf.rl import experience

    models = assembled(ran[save])
    ids, mask = torch.tensor([[20, 21, 22, 23, 24]]), torch.ones(1, 5, dtype=torch.bool)
    values = experience.values_of(models.value_model, ids, mask, mask[:, -1:])
    meaning = reward_model.preference_training.RewardMeaning.of(models.scorer.model.config)
    raw = models.scorer.model(input_ids=ids[:, :4]).logits[0, 0]
    assert values.item() == pytest.approx(meaning.scores(raw).item(), abs=1e-5)
    states = [forward.completion_states(one, ids, mask, mask[:, -2:]) for one in (models.policy, models.reference)]
    assert torch.equal(states[0], states[1])
    with torch.no_grad():
        for name, weight in models.policy.named_parameters():
            weight.add_(1.0) if weight.requires_grad and "lora_B" in name else None
    changed, same = (
        forward.completion_states(one, ids, mask, mask[:, -2:]) for one in (models.policy, models.reference)
    )
    assert torch.equal(same, states[1])
    assert not torch.equal(changed, states[0])


class Killed(Exception):
    pass


@pytest.mark.parametrize(("stage", "after"), [(sft, 2), (reward_model, 1), (ppo, 1)])
def test_a_killed_stage_goes_on_to_the_same_bytes_and_its_states_hold_no_base(ran, tmp_path, monkeypatch, stage, after):
    root = tmp_path / "again"
    shutil.copytree(ran["adapter"], root)
    toys.set_param(root, "checkpoints.every_seconds", 0.0)
    name = stage.STAGE
    out = root / "data" / (name if name == "sft" else f"{name}/r1")
    if name == "ppo":
        toys.set_param(root, "ppo.iterations", 3)
        stage.main(root, "r1")  # another learning than `ran`'s
    wanted = toys.file_bytes(out)
    shutil.rmtree(out)
    keep, names = checkpoints.States.keep, set()

    def dying(self, point, parts, last):
        if point["step"] > after:
            trees = torch.load(max(self.folder.glob("*.pt")))["tree"].values()
            names.update(name for tree in trees if isinstance(tree, dict) for name in tree if "." in str(name))
            raise Killed
        keep(self, point, parts, last)

    arguments = (root,) if name == "sft" else (root, "r1")
    with monkeypatch.context() as patched:
        patched.setattr(checkpoints.States, "keep", dying)
        with pytest.raises(Killed):
            stage.main(*arguments)
    assert not out.exists()
    stage.main(*arguments)
    assert toys.file_bytes(out) == wanted
    assert any(".lora_A." in name for name in names)
    assert all(".lora_" in name or name == "score.weight" for name in names)


def test_an_adapters_folder_has_the_same_bytes_in_another_process(ran, tmp_path):
    """PEFT keeps the layers' names in a set, whose order changes with the process."""
    root = tmp_path / "again"
    shutil.copytree(ran["adapter"], root)
    code = "from pathlib import Path; from stages import sft; import sys; sft.main(Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", code, str(root)], check=True, cwd=toys.REPO, env={"PYTHONHASHSEED": "7"})
    assert toys.file_bytes(root / "data/sft") == toys.file_bytes(ran["adapter"] / "data/sft")


WRONG = {
    "sft.lora": ({"rank": 0}, "params.yaml: sft.lora.rank: "),
    "reward_model.lora": ({"target_modules": []}, "params.yaml: reward_model.lora.target_modules: "),
    "ppo.lora": ({"dropout": 0.5}, "lora.dropout must be 0"),
    "dpo.lora": ({"dropout": 0.5}, "dpo: lora.dropout must be 0"),
    "feedme.lora": ({"rang": 3}, "params.yaml: feedme.lora.rang: unknown key"),
    "ppo.share_backbone": (True, "share_backbone must be null or false where lora is null"),
    "runtime.frozen_dtype": ("bfloat16", "frozen_dtype 'bfloat16' needs dtype 'bfloat16'"),
    "ppo.value_optimisation.optimiser": ("lion", "params.yaml: ppo.value_optimisation.optimiser: "),
    "pretrain.optimisation.optimiser": ("adamw_8bit", "must be null or 'adamw' where muon_momentum is given"),
}


@pytest.mark.parametrize("key", WRONG)
def test_wrong_params_are_named_by_check(root, key):
    change, words = WRONG[key]
    content = toys.read_yaml(root / "params.yaml")
    toys.put(content, key, lora().model_dump() | change if isinstance(change, dict) else change)
    toys.write_params(root, content)
    assert any(words in line for line in check.check(root)), check.check(root)

"""Which layers have adapters is known from the model itself; adapters and heads learn, and nothing else."""

import pytest
import torch
import transformers
from torch import nn

from rlhf.lora import attaching
from rlhf.models import forward
from rlhf.params.base import ParamsError, parse
from rlhf.params.optimisation import Lora
from tests import toys
from tests.engine.test_lean import KINDS
from tests.engine.test_low_rank import filled, lora
from tools.looking import architectures

LLAMAS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def attach(model, **changes) -> attaching.Coverage:
    return attaching.attach(model, lora(**changes), torch.Generator().manual_seed(0))


def made(model_type: str, kind=transformers.AutoModelForCausalLM, **more):
    torch.manual_seed(0)
    return kind.from_config(architectures.tiny(transformers.CONFIG_MAPPING[model_type], **more)).eval()


def learning(model) -> set[str]:
    return {name for name, weight in model.named_parameters() if weight.requires_grad}


def test_every_linear_layer_of_the_backbone_has_an_adapter_and_the_head_is_trained_whole(reward_model):
    linear = {
        name
        for name, part in reward_model.base_model.named_modules()
        if isinstance(part, nn.Linear) or type(part).__name__ == "Conv1D"
    }
    found = attach(reward_model)
    prefix = reward_model.base_model_prefix
    assert set(found.adapted) == {f"{prefix}.{name}" for name in linear}
    assert found.heads == ["score"]
    assert found.without == {}
    expected = {f"{name}.lora_{side}.default.weight" for name in found.adapted for side in "AB"} | {"score.weight"}
    assert learning(reward_model) == expected
    assert found.trained == sum(weight.numel() for weight in reward_model.parameters() if weight.requires_grad)


def test_gradients_reach_every_adapter_and_the_head_and_nothing_else(reward_model):
    filled(reward_model)
    reward_model(input_ids=torch.tensor([[20, 21, 22, 23]])).logits.sum().backward()
    reached = {name for name, weight in reward_model.named_parameters() if weight.grad is not None}
    assert reached == learning(reward_model)
    assert all(weight.grad.abs().max() > 0 for name, weight in reward_model.named_parameters() if name in reached)


def test_the_function_begins_as_it_was_and_adapters_are_float32(policy):
    ids = torch.tensor([[20, 21, 22, 23]])
    before = policy(input_ids=ids).logits
    found = attach(policy)
    assert torch.equal(policy(input_ids=ids).logits, before)
    assert found.heads == []
    other = attaching.trained_weights(policy)
    assert {weight.dtype for weight in other.values()} == {torch.float32}
    assert not any("lm_head" in name for name in found.adapted)


def test_the_draws_are_the_generators(tokenizer):
    one, same, other = (toys.policy(tokenizer) for _ in range(3))
    for model, seed in ((one, 1), (same, 1), (other, 2)):
        torch.rand(seed)
        attaching.attach(model, lora(), torch.Generator().manual_seed(seed))
    weights = [torch.cat([w.flatten() for w in attaching.trained_weights(m).values()]) for m in (one, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_adapters_of_bfloat16_weights_are_float32(tokenizer):
    model = toys.policy(tokenizer).to(torch.bfloat16)
    attach(model)
    assert {weight.dtype for weight in attaching.trained_weights(model).values()} == {torch.float32}


def test_merged_is_the_same_function(policy):
    filled(policy)
    batch = KINDS["packed"]()
    kept = forward.hidden_states(policy, *batch)
    names = {name.replace(".base_layer", "") for name, _ in policy.named_parameters() if ".lora_" not in name}
    attaching.merge(policy)
    assert {name for name, _ in policy.named_parameters()} == names
    off = (forward.hidden_states(policy, *batch) - kept).abs().max()
    assert off < 1e-6 * kept.abs().max()


def test_layers_can_be_named(tokenizer):
    found = attach(toys.policy(tokenizer), target_modules=["q_proj", "model.layers.1.mlp.up_proj"])
    layers = [f"model.layers.{number}.self_attn.q_proj" for number in (0, 1)]
    assert set(found.adapted) == {*layers, "model.layers.1.mlp.up_proj"}
    said = " ".join(found.lines())
    assert "2 q_proj" in said
    assert "1 up_proj" in said
    assert "Linear down_proj.weight (4,096)" in said  # two layers of 32 x 64 have none, which is said


def test_a_name_that_fits_no_layer_is_refused(tokenizer):
    with pytest.raises(ValueError, match=r"no linear layer of the backbone is called lm_head, query; .*q_proj"):
        attach(toys.policy(tokenizer), target_modules=["q_proj", "lm_head", "query"])


def test_weights_of_experts_without_an_adapter_are_said():
    said = " ".join(attach(made("gpt_oss")).lines())
    assert "no adapter" in said
    assert "gate_up_proj" in said


def test_layers_that_peft_leaves_out_are_an_error():
    model = made("qwen3_moe", mlp_only_layers=[0], num_experts=2, decoder_sparse_step=1)
    assert any("gate_proj" in name for name in attaching.linear_layers(model))
    with pytest.raises(ValueError, match=r"PEFT put no adapter on .* layers .*gate_proj"):
        attach(model)


def test_layers_that_peft_refuses_are_an_error_that_says_where_to_mend_it():
    with pytest.raises(ValueError, match=r"lora\.target_modules"):
        attach(made("mamba"))


def test_an_encoders_pooler_is_a_head():
    model = made("bert", transformers.AutoModelForSequenceClassification, num_labels=1)
    found = attach(model)
    assert found.heads == ["classifier", "bert.pooler"]
    assert {"bert.pooler.dense.weight", "classifier.weight"} <= learning(model)
    assert not any("pooler" in name for name in found.adapted)


WRONG = {
    "rank": (0, "got 0"), "alpha": (0.0, "got 0"), "dropout": (1.0, "got 1"), "save": ("both", "merged"),
    "target_modules": ("all", "all-linear, or a list"),
}  # fmt: skip


@pytest.mark.parametrize("key", WRONG)
def test_wrong_params_are_named(key):
    value, words = WRONG[key]
    content = lora().model_dump() | {key: value}
    with pytest.raises(ParamsError, match=rf"sft\.lora\.{key}: .*{words}"):
        parse(Lora, content, "sft.lora")

"""μP: what it makes of weights, rates and heads, and that nothing is left for a forward pass to know of."""

import json
import math

import pytest
import torch
from transformers import AutoModelForCausalLM, GraniteConfig

from rlhf.engine import logprobs
from rlhf.models import forward, loading, proof, reward_head, shapes, ways
from rlhf.models.mup import rates, scaling
from rlhf.params.optimisation import Lora
from rlhf.tokens import batching
from rlhf.training import muon, optimisation
from rlhf.training.optimisation import MicroBatchLoss
from study.mup import coordinates
from tests import toys
from tests.training.test_optimisation import params

WIDTH, BASE = 32, 8  # of the toys; m is 4
IDS = torch.arange(5, 65).view(5, 12)
RUNTIME = toys.runtime()


def in_mup(tokenizer, family: str = "llama", base: int = BASE, **more):
    made = toys.policy(tokenizer, family, **more)
    scaling.begin(made, base)
    return made


def of_gpt_neo(base: int | None):
    torch.manual_seed(0)
    shape = shapes.SHAPES["gpt3-small"]._replace(layers=2, width=WIDTH, heads=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(shapes.SHAPES, "gpt3-small", shape)
        made = AutoModelForCausalLM.from_config(shapes.config("gpt3-small", 340, pad_id=0, eos_id=1)).eval()
    if base is not None:
        scaling.begin(made, base)
    return made


def both(tokenizer, family: str) -> tuple:
    """Return one model in the standard parametrisation and in μP."""
    if family == "gpt_neo":
        return of_gpt_neo(None), of_gpt_neo(BASE)
    return toys.policy(tokenizer, family), in_mup(tokenizer, family)


@pytest.mark.parametrize("family", ["llama", "qwen2", "gpt2", "gpt_neo"])
def test_hidden_matrices_begin_at_the_root_of_their_spread_and_the_last_norm_divides_the_logits(tokenizer, family):
    standard, mup = both(tokenizer, family)
    last = {"llama": "model.norm.", "qwen2": "model.norm."}.get(family, "transformer.ln_f.")
    before, hidden = dict(standard.named_parameters()), 0
    for name, weight in mup.named_parameters():
        share = 1.0
        if name.startswith(last):
            share = 1 / 4
        elif weight.ndim == 2 and not any(part in name for part in ("embed", "wte", "wpe")):
            share, hidden = 1 / 2, hidden + 1
        torch.testing.assert_close(weight, before[name] * share)
    assert hidden >= 8
    with torch.no_grad():
        for weight in scaling._last_norm(mup.base_model).parameters():
            weight.mul_(4)
        whole = mup(input_ids=IDS).logits
        for weight in scaling._last_norm(mup.base_model).parameters():
            weight.div_(4)
        torch.testing.assert_close(mup(input_ids=IDS).logits, whole / 4)


def test_at_the_base_width_nothing_changes_but_the_config(tokenizer):
    standard, mup = toys.policy(tokenizer), in_mup(tokenizer, base=WIDTH)
    assert all(torch.equal(a, b) for a, b in zip(standard.parameters(), mup.parameters(), strict=True))
    assert mup.config.to_dict() == standard.config.to_dict() | {scaling.KEY: WIDTH}


def test_a_model_without_a_last_norm_is_refused(tokenizer):
    made = toys.policy(tokenizer, "gpt2")
    made.transformer.ln_f = None
    with pytest.raises(ValueError, match="GPT2Model has no norm between its layers and its head"):
        scaling.begin(made, BASE)


def with_multipliers(mup):
    """Return the same function as transformers' Granite, whose config says the multipliers that are folded here."""
    config = mup.config
    named = (
        "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
        "num_key_value_heads", "max_position_embeddings", "rms_norm_eps", "tie_word_embeddings", "pad_token_id",
        "bos_token_id", "eos_token_id",
    )  # fmt: skip
    scales = {"attention_multiplier": mup.model.layers[0].self_attn.head_dim ** -0.5, "logits_scaling": 4.0}
    other = AutoModelForCausalLM.from_config(
        GraniteConfig(**{name: getattr(config, name) for name in named}, **scales), attn_implementation="eager"
    )
    weights = mup.state_dict()
    other.load_state_dict(weights | {"model.norm.weight": 4 * weights["model.norm.weight"]})
    return other.eval()


def updated(model, optimiser, num_updates: int = 6) -> list[float]:
    """Return the losses of updates on a few rows; the model ends changed."""

    def loss() -> MicroBatchLoss:
        return MicroBatchLoss(model(input_ids=IDS, labels=IDS, use_cache=False).loss)

    return [optimisation.step(model, optimiser, [loss], max_grad_norm=1e9).loss for _ in range(num_updates)]


def test_folded_multipliers_learn_as_those_of_a_config_do(tokenizer):
    settings = params(learning_rate=0.02, weight_decay=0.1, adam_eps=1e-3)  # an eps that is felt
    folded = in_mup(tokenizer)
    said = with_multipliers(folded)
    torch.testing.assert_close(folded(input_ids=IDS).logits, said(input_ids=IDS).logits)
    table = {id(said.get_input_embeddings().weight)}
    hidden = [one for one in said.parameters() if one.ndim == 2 and id(one) not in table]
    groups = [
        {"params": hidden, "lr": 0.02 / 4, "weight_decay": 0.1},
        {"params": [said.get_input_embeddings().weight], "lr": 0.02, "weight_decay": 0.1},
        {"params": [one for one in said.parameters() if one.ndim < 2], "lr": 0.02, "weight_decay": 0.0},
    ]
    by_hand = torch.optim.AdamW(groups, betas=(0.9, 0.95), eps=1e-3 / 4)
    losses = updated(folded, optimisation.adamw(folded, settings))
    assert losses == pytest.approx(updated(said, by_hand), rel=1e-4)
    assert losses[-1] < losses[0] - 0.05
    torch.testing.assert_close(folded(input_ids=IDS).logits, said(input_ids=IDS).logits, rtol=1e-3, atol=1e-4)


def test_the_rates_of_a_group_follow_the_schedule_at_their_shares(tokenizer):
    model = in_mup(tokenizer, "qwen2")
    optimiser = optimisation.adamw(model, params(learning_rate=0.02, adam_eps=1e-6, weight_decay=0.3))
    found = {}
    for group in optimiser.param_groups:
        for weight in group["params"]:
            found[id(weight)] = group
    told = {}
    for name, weight in model.named_parameters():
        group = found.pop(id(weight))
        told[name] = (group["lr"], group["eps"], group["weight_decay"])
    assert found == {}
    assert told["model.embed_tokens.weight"] == pytest.approx((0.02, 1e-6 / 4, 0.3))
    assert told["model.layers.1.mlp.down_proj.weight"] == pytest.approx((0.02 / 4, 1e-6 / 4, 0.3))
    assert told["model.layers.0.self_attn.q_proj.bias"] == pytest.approx((0.02, 1e-6 / 4, 0.0))
    assert told["model.layers.0.input_layernorm.weight"] == pytest.approx((0.02, 1e-6 / 4, 0.0))
    assert told["model.norm.weight"] == pytest.approx((0.02 / 4, 1e-6, 0.0))
    falling = params(learning_rate=0.02, schedule="linear", final_share=0.0)
    assert optimisation.set_learning_rate(optimiser, falling, 1, 2) == 0.01
    assert {round(group["lr"], 6) for group in optimiser.param_groups} == {0.01, 0.0025}


def test_in_the_standard_parametrisation_groups_are_what_they_were(tokenizer):
    model = toys.policy(tokenizer)
    for optimiser in (optimisation.adamw(model, params()), muon.Muon(model, params(), 0.9)):
        assert not any(rates.SHARE in group for group in optimiser.param_groups)
    assert [len(group["params"]) for group in optimisation.adamw(model, params()).param_groups] == [15, 5]
    assert rates.line(model) is None


def spectral(model, momentum: float, weight_decay: float = 0.0) -> float:
    """Return the largest singular value of one step of Muon on the first layer's gate."""
    weight = model.model.layers[0].mlp.gate_proj.weight
    before = weight.detach().clone()
    optimiser = muon.Muon(model, params(learning_rate=0.1, weight_decay=weight_decay), momentum)
    updated(model, optimiser, 1)
    return torch.linalg.matrix_norm(weight.detach() - before, ord=2).item()


def test_a_step_of_muon_is_divided_by_the_root_of_m_and_is_one_size_at_every_width(tokenizer):
    usual = spectral(toys.policy(tokenizer), 0.9)
    assert spectral(in_mup(tokenizer), 0.9) == pytest.approx(usual / 2, rel=0.1)
    steps = []
    for width in (64, 256):
        wide = AutoModelForCausalLM.from_config(shapes.config(f"tiny@{width}", len(tokenizer), 0, 1))
        scaling.begin(wide, 64)
        steps.append(spectral(wide, 0.9))
    assert steps[1] == pytest.approx(steps[0], rel=0.15)


def test_muons_decay_falls_as_one_over_m(tokenizer):
    model = in_mup(tokenizer)
    group = muon.Muon(model, params(learning_rate=0.1, weight_decay=0.2), 0.9).param_groups[-1]
    assert group["lr"] * group["weight_decay"] == pytest.approx(0.1 * 0.2 / 4)
    names = {name for name, weight in model.named_parameters() if any(weight is one for one in group["params"])}
    assert len(names) == 14
    assert all(".layers." in name for name in names)


def test_transformers_and_our_own_engine_compute_the_same_of_a_saved_model(tokenizer, tmp_path):
    model = in_mup(tokenizer, "qwen2")
    updated(model, optimisation.adamw(model, params(learning_rate=0.01)))
    toys.save(tmp_path, model, tokenizer)
    assert json.loads((tmp_path / "config.json").read_text())[scaling.KEY] == BASE
    plain = AutoModelForCausalLM.from_pretrained(tmp_path, attn_implementation="eager")
    ours = loading.load_causal(tmp_path, RUNTIME)
    known = ways.proven(ours)
    assert {exact[0] for exact in known.reading.values()} == {ways.LEAN}
    assert (known.decoding[0], known.scale, known.cap) == (ways.LEAN, 1.0, None)
    mask = torch.ones_like(IDS, dtype=torch.bool)
    hidden = forward.hidden_states(ours, IDS, batching.position_ids(mask), mask.long(), mask)
    found = logprobs.logits(hidden, forward.output_head(ours)).view(5, 12, -1)
    torch.testing.assert_close(found, plain(input_ids=IDS).logits, rtol=1e-4, atol=1e-5)
    assert scaling.base_width(ours) == BASE


def test_a_reward_model_on_it_knows_the_same_likelihoods_and_its_head_begins_as_at_the_base_width(tokenizer, tmp_path):
    model = in_mup(tokenizer, "qwen2")
    toys.save(tmp_path, model, tokenizer)
    made = reward_head.new_reward_model(tmp_path, RUNTIME, torch.Generator().manual_seed(3))
    head = reward_head.scalar_head(made)
    draws = torch.randn(head.weight.shape, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(head.weight.detach(), draws / (BASE + 1) ** 0.5)
    group = next(
        g for g in optimisation.adamw(made, params()).param_groups if any(w is head.weight for w in g["params"])
    )
    assert group["lr"] == 0.1
    head.weight.data.zero_()
    mask = torch.ones_like(IDS, dtype=torch.bool)
    answers = torch.full((5,), 4)
    told = reward_head.sequence_rewards(made, IDS, mask, answers, "last", likelihood_coef=1.0)
    log_p = model(input_ids=IDS).logits.log_softmax(-1)[:, :-1].gather(-1, IDS[:, 1:, None]).squeeze(-1)
    torch.testing.assert_close(told, log_p[:, -4:].mean(-1), rtol=1e-4, atol=1e-5)


def test_of_an_adapter_a_learns_as_hidden_matrices_do_and_b_at_the_full_rate(tokenizer):
    model = in_mup(tokenizer)
    lora = Lora(rank=2, alpha=4.0, dropout=0.0, target_modules="all-linear", save="merged")
    loading.attach(model, lora, 1, 12, lambda _: None)
    shares = {}
    for group in optimisation.adamw(model, params(learning_rate=0.04)).param_groups:
        for name, weight in model.named_parameters():
            if any(weight is one for one in group["params"]):
                shares.setdefault(name.split(".")[-3], set()).add(group["lr"])
    assert shares == {"lora_A": {0.01}, "lora_B": {0.04}}


def score_size(folder, parametrisation: str, width: int, tokenizer) -> float:
    """Return the mean |score| of a reward model after a few updates that raise it."""
    torch.manual_seed(width)
    config = shapes.config(f"tiny@{width}", len(tokenizer), tokenizer.pad_token_id, tokenizer.eos_token_id)
    made = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    if parametrisation == "mup":
        scaling.begin(made, 64)
    toys.save(folder, made, tokenizer)
    judge = reward_head.new_reward_model(folder, RUNTIME, torch.Generator().manual_seed(width))
    mask = torch.ones_like(IDS, dtype=torch.bool)
    optimiser = optimisation.adamw(judge, params(learning_rate=0.01))
    for _ in range(4):
        optimisation.step(
            judge, optimiser, [lambda: MicroBatchLoss(-reward_head.sequence_rewards(judge, IDS, mask).mean())], 1e9
        )
    return reward_head.sequence_rewards(judge, IDS, mask).abs().mean().item()


@pytest.mark.parametrize("parametrisation", ["standard", "mup"])
def test_scores_of_a_head_grow_with_the_width_in_the_standard_parametrisation_alone(
    parametrisation, tokenizer, tmp_path
):
    found = {width: score_size(tmp_path / str(width), parametrisation, width, tokenizer) for width in (64, 128, 256)}
    slope = coordinates.slope(found)
    if parametrisation == "mup":
        assert slope < coordinates.MOST
        assert slope > -0.3
    else:
        assert slope > 0.5


def test_what_a_stage_says_of_the_rates(tokenizer):
    assert rates.line(in_mup(tokenizer)).startswith("μP: the model is 4 times as wide as its base width of 8; ")


def test_proof_finds_nothing_to_scale(tokenizer):
    found = proof.prove(in_mup(tokenizer, "gpt2"))
    assert (found.ways.scale, found.ways.cap) == (1.0, None)
    assert math.isclose(scaling.multiplier(in_mup(tokenizer, "gpt2")), 4.0)

"""Adapters in our own forward pass say what PEFT's layers say, gradient and all; other kinds are left to PEFT."""

import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import nn

from rlhf.engine import attention, lean
from rlhf.lora import attaching
from rlhf.models import decoding, forward, ways
from rlhf.params.optimisation import Lora
from rlhf.tokens import batching
from tests import toys
from tests.engine.test_lean import KINDS


def lora(**changes) -> Lora:
    usual = {"rank": 4, "alpha": 8.0, "dropout": 0.0, "target_modules": "all-linear", "save": "merged"}
    return Lora(**usual | changes)


def filled(model, chosen: Lora | None = None):
    """Return a model with adapters that are not 0."""
    attaching.attach(model, chosen or lora(), torch.Generator().manual_seed(3))
    for _, module in attaching.adapters(model):
        nn.init.normal_(module.lora_B["default"].weight, std=0.2)
    return model


@pytest.fixture(params=["gpt2", "llama", "qwen2"])
def adapted(request, tokenizer):
    return filled(toys.policy(tokenizer, request.param))


def states_and_gradients(model, batch, own: bool, monkeypatch):
    monkeypatch.setattr(lean, "supports", lambda _: own)
    states = forward.hidden_states(model, *batch)
    shares = torch.randn(states.shape, generator=torch.Generator().manual_seed(0))
    learned = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    gradients = torch.autograd.grad((states * shares).sum(), [*learned.values()])
    return states.detach(), dict(zip(learned, gradients, strict=True))


@pytest.mark.parametrize("kind", list(KINDS))
def test_states_and_adapters_gradients_are_those_of_peft(adapted, kind, monkeypatch):
    assert lean.supports(adapted)
    batch = KINDS[kind]()
    (found, ours), (expected, theirs) = (
        states_and_gradients(adapted, batch, own, monkeypatch) for own in (True, False)
    )
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert ours.keys() == theirs.keys()
    assert all(".lora_" in name for name in ours)
    for name, gradient in ours.items():
        assert gradient.abs().max() > 0, name
        torch.testing.assert_close(gradient, theirs[name], rtol=1e-3, atol=1e-4)
    for _, module in attaching.adapters(adapted):
        nn.init.zeros_(module.lora_B["default"].weight)
    without, _ = states_and_gradients(adapted, batch, True, monkeypatch)
    assert (found - without).abs().max() > 0.1  # the adapters say something


def test_answers_are_continued_with_the_adapters(adapted):
    ids = torch.tensor([[20, 21, 22, 23], [0, 30, 31, 32]])
    mask = torch.tensor([[True] * 4, [False] + [True] * 3])
    said = []
    with torch.no_grad():
        for way in (ways.LEAN, ways.CACHE):
            reader = decoding.of_way(adapted, way, 3)
            first = reader.read(ids, mask, batching.position_ids(mask))
            said.append(torch.stack([first, *(reader.step(torch.tensor([40 + n, 50 + n])) for n in range(3))]))
    torch.testing.assert_close(said[0], said[1], rtol=1e-4, atol=1e-4)


OTHERS = {
    "dora": {"use_dora": True},
    "a bias": {"lora_bias": True},
    "embeddings": {"target_modules": ["embed_tokens", "q_proj"]},
    "the output layer": {"target_modules": ["lm_head", "q_proj"]},
}


@pytest.mark.parametrize("what", OTHERS)
def test_other_adapters_are_left_to_peft(tokenizer, what):
    model = toys.policy(tokenizer, tie_word_embeddings=False)
    assert lean.supports(model)
    inject_adapter_in_model(LoraConfig(**{"r": 2, "target_modules": ["q_proj"]} | OTHERS[what]), model)
    assert not lean.supports(model)


def test_adapters_that_drop_something_or_are_off_are_left_to_peft(tokenizer):
    model = filled(toys.policy(tokenizer), lora(dropout=0.5))
    assert lean.supports(model)
    assert not lean.supports(model.train())
    model.eval()
    for _, module in attaching.adapters(model):
        module.enable_adapters(False)
    assert not lean.supports(model)


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("learns", [True, False])  # in training mode, and as PPO's models are
def test_activations_made_again_give_the_same_gradient(adapted, own, learns, monkeypatch):
    adapted.requires_grad_(True).train(learns)
    batch, calls, real = KINDS["left"](), [], attention.attend
    if own:
        monkeypatch.setattr(attention, "attend", lambda *args, **more: (calls.append(1), real(*args, **more))[1])
    for part in adapted.modules() if not own else ():
        if type(part).__name__.endswith("MLP"):
            part.register_forward_pre_hook(lambda *_: calls.append(1))
    kept = states_and_gradients(adapted, batch, own, monkeypatch)
    once = len(calls)
    adapted.gradient_checkpointing_enable({"use_reentrant": False})
    again = states_and_gradients(adapted, batch, own, monkeypatch)
    assert len(calls) == 3 * once
    assert torch.equal(kept[0], again[0])
    for name, gradient in kept[1].items():
        if own:
            assert torch.equal(gradient, again[1][name]), name
        else:
            torch.testing.assert_close(gradient, again[1][name], rtol=1e-6, atol=1e-6)
    assert not any(part.training for part in adapted.modules()) or learns


def test_frozen_weights_in_bfloat16_are_products_factors_as_they_are(adapted):
    """Nothing but the embeddings that are looked up is rounded that autocast would not round anyway."""
    adapted.requires_grad_(False)
    batch, embeddings = KINDS["packed"](), [part for part in adapted.modules() if isinstance(part, nn.Embedding)]
    for part in embeddings:
        part.weight.copy_(part.weight.bfloat16())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        lowered_each_time = forward.hidden_states(adapted, *batch)
        for name, weight in adapted.named_parameters():
            if weight.ndim >= 2 and ".lora_" not in name:
                weight.data = weight.data.bfloat16()
        found = forward.hidden_states(adapted, *batch)
    assert found.dtype == torch.float32
    assert torch.equal(found, lowered_each_time)

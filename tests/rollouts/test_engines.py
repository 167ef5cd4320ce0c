"""Engines of this process: each says of its answers what the policy says, after each sync, and obeys the same rules."""

import importlib.machinery
import sys
import types

import pytest
import torch
from transformers import MistralConfig

from rlhf.engine import lean
from rlhf.lora import attaching
from rlhf.models import decoding, whole_weights
from rlhf.params.optimisation import Lora
from rlhf.rollouts import opening, sharing, static
from rlhf.rollouts.continuous import ContinuousBatching
from rlhf.rollouts.own import OwnDecoder
from rlhf.rollouts.static import StaticDecoder
from rlhf.rollouts.vllm_colocated import VllmColocated
from rlhf.rollouts.vllm_server import VllmServer
from rlhf.runtime import parallel
from rlhf.sampling import rollouts
from rlhf.tokens import batching
from tests import stand_in, toys
from tests.rollouts import asking
from tests.rollouts.asking import TEXTS, asked, largest_gap, sync

RUNTIME = toys.runtime()


@pytest.fixture
def vllm(monkeypatch):
    """A package vllm that is the stand-in."""
    module = types.ModuleType("vllm")
    module.LLM, module.SamplingParams = stand_in.LLM, lambda **given: given
    module.__spec__ = importlib.machinery.ModuleSpec("vllm", None)
    monkeypatch.setitem(sys.modules, "vllm", module)
    monkeypatch.setattr(stand_in.LLM, "made", [])
    return module


ENGINES = ["own", "static", "transformers", "vllm_colocated"]


def made(name: str, policy, tokenizer):
    """Return an engine that holds version 1 of a policy."""
    if name == "transformers":
        engine = ContinuousBatching(policy, RUNTIME, 0.01, cache_blocks=8, batch_tokens=64)
    elif name == "vllm_colocated":
        engine = VllmColocated(policy, RUNTIME, 64, 0.01, 0.3)
    else:
        reader = StaticDecoder if name == "static" else None
        engine = OwnDecoder(policy, RUNTIME, tokenizer.pad_token_id, measures=True, reader=reader)
    sync(engine, 1, policy)
    return engine


@pytest.fixture(params=ENGINES)
def engine(request, policy, tokenizer, vllm):
    """An engine that holds version 1 of the policy."""
    engine = made(request.param, policy, tokenizer)
    yield engine
    engine.close()


def test_after_each_sync_an_engine_says_what_the_policy_says(engine, policy, tokenizer):
    for version in (2, 3):
        asking.changed(policy, version)
        if not isinstance(engine, OwnDecoder):
            assert largest_gap(policy, tokenizer, asked(engine, tokenizer)) > 1e-3  # or this test says nothing
        sync(engine, version, policy)
        answers = asked(engine, tokenizer, temperature=0.7)
        assert answers.version == version
        assert largest_gap(policy, tokenizer, answers, 0.7) < 1e-5


def test_an_engines_answers_end_by_our_rules(engine, policy, tokenizer):
    """By the ends alone that are asked for, with the end among the tokens, and never beyond the limit."""
    usual = asked(engine, tokenizer).token_ids
    ends = usual[0][1], usual[2][2]
    found = asked(engine, tokenizer, end_ids=ends, most_tokens=12).token_ids
    assert all(1 <= len(ids) <= 12 for ids in found)
    for ids in found:
        assert not {*ids[:-1]} & {*ends}
        assert len(ids) == 12 or ids[-1] in ends
    assert len({len(ids) for ids in found}) > 1
    known = len(tokenizer) - 100
    within = asked(engine, tokenizer, temperature=2.0, num_tokens=known)
    assert max(map(max, within.token_ids)) < known <= max(map(max, asked(engine, tokenizer, temperature=2.0).token_ids))


@pytest.mark.parametrize("name", ENGINES)
def test_an_answer_goes_on_behind_an_end_of_the_model_that_is_none_of_ours(name, tokenizer, vllm):
    """A policy that says its EOS at every fifth token, and shall end by another one."""
    policy = toys.ending_policy(tokenizer)
    other = tokenizer.convert_tokens_to_ids("a")
    found = asked(made(name, policy, tokenizer), tokenizer, end_ids=(other,), most_tokens=20).token_ids
    assert sum(tokenizer.eos_token_id in ids[:-1] for ids in found) > 2
    assert all(len(ids) == 20 or ids[-1] == other for ids in found)


def test_greedy_answers_are_the_likeliest_tokens(engine, policy, tokenizer):
    found = asked(engine, tokenizer, temperature=0.0)
    own = OwnDecoder(policy, RUNTIME, tokenizer.pad_token_id)
    assert found.token_ids == asked(own, tokenizer, temperature=0.0).token_ids


def test_the_rows_seeds_decide_the_answers(engine, tokenizer):
    first = asked(engine, tokenizer)
    assert asked(engine, tokenizer) == first
    assert asked(engine, tokenizer, seed=4).token_ids != first.token_ids
    if isinstance(engine, ContinuousBatching):
        return  # one generator draws for all rows
    turned = asked(engine, tokenizer, rows=[*reversed(range(len(TEXTS)))])
    assert turned.token_ids[::-1] == first.token_ids
    assert [asked(engine, tokenizer, rows=[row]).token_ids[0] for row in range(len(TEXTS))] == first.token_ids


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_a_policy_with_adapters_is_held_with_what_they_add(name, family, tokenizer, vllm):
    policy = toys.policy(tokenizer, family)
    lora = Lora(rank=4, alpha=8.0, dropout=0.0, target_modules="all-linear", save="adapter")
    attaching.attach(policy, lora, torch.Generator().manual_seed(0))
    engine = made(name, policy, tokenizer)
    with torch.no_grad():
        for weight_name, weight in policy.named_parameters():
            if ".lora_B." in weight_name:
                weight.copy_(torch.linspace(-1, 1, weight.numel()).view(weight.shape))
    if not isinstance(engine, OwnDecoder):
        assert largest_gap(policy, tokenizer, asked(engine, tokenizer)) > 1e-3
    sync(engine, 2, policy)
    assert largest_gap(policy, tokenizer, asked(engine, tokenizer)) < 1e-4
    assert attaching.is_attached(policy)


def test_our_own_decoder_measures_nothing_where_it_is_not_asked(policy, tokenizer):
    assert asked(OwnDecoder(policy, RUNTIME, tokenizer.pad_token_id), tokenizer).logprobs is None


def test_an_engine_without_weights_does_not_answer(policy, tokenizer, vllm):
    with pytest.raises(ValueError, match="holds no whole version"):
        asked(ContinuousBatching(policy, RUNTIME, 1.0, 8, 64), tokenizer)


def test_vllm_is_told_what_makes_its_numbers_ours(policy, tokenizer, vllm):
    engine = VllmColocated(policy, toys.runtime("bfloat16"), 64, 0.01, 0.3)
    sync(engine, 1, policy)
    (llm,) = stand_in.LLM.made
    told = llm.settings
    assert (told["logprobs_mode"], told["generation_config"]) == ("processed_logprobs", "vllm")
    assert (told["dtype"], told["max_model_len"], told["gpu_memory_utilization"]) == ("bfloat16", 64, 0.3)
    assert told["worker_extension_cls"].split(".")[-1] == stand_in.Receiving.__name__
    assert llm.engine.num_resets == 1
    sync(engine, 2, policy)
    assert llm.engine.num_resets == 2


def test_a_weight_that_vllm_does_not_take_is_named(policy, tokenizer, vllm):
    engine = VllmColocated(policy, RUNTIME, 64, 0.01, 0.3)
    name = [*dict(policy.named_parameters())][3]
    stand_in.LLM.made[0].engine.worker.model_runner.model.ignored.add(name)
    with pytest.raises(ValueError, match=f"vLLM's model was given nothing for {name}"):
        sync(engine, 1, policy)
    with pytest.raises(ValueError, match="holds version None of the weights, and 0"):
        asked(engine, tokenizer)


def test_vllm_that_another_trainer_took_is_noticed(policy, tokenizer, vllm):
    engine, other = (VllmColocated(policy, RUNTIME, 64, 0.01, 0.3) for _ in range(2))
    sync(engine, 1, policy)
    other._llm = engine._llm
    sync(other, 1, policy)
    with pytest.raises(ValueError, match="holds version None of the weights, and 1 was given"):
        asked(engine, tokenizer)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("with_owners", [False, True])
def test_a_cache_of_fixed_size_decodes_as_a_growing_one(tokenizer, attention, with_owners, monkeypatch):
    """Rows leave at half of the batch, and once only for nobody; prompts are continued by several rows."""
    monkeypatch.setattr(lean, "supports", lambda model: False)
    model = toys.likes_to_end(toys.policy(tokenizer, "llama", tie_word_embeddings=False), tokenizer, bias=4.5)
    model.set_attn_implementation(attention)
    known = asking.prompts(tokenizer) * (1 if with_owners else 4)
    left = batching.pad(known, tokenizer.pad_token_id, "left")
    owners = torch.arange(24) % 6 if with_owners else None
    draws = rollouts.uniforms(5, [str(row) for row in range(24)], 12)
    ends = rollouts.Ends((tokenizer.eos_token_id,), tokenizer.pad_token_id)
    sides = []
    for reader in (decoding.decoder(model, 12), StaticDecoder(model, 12)):
        sides.append([*rollouts.steps(reader, left, draws, 1.0, ends, owners)])
    for ours, theirs in zip(*sides, strict=True):
        assert torch.equal(ours.rows, theirs.rows)
        assert torch.equal(ours.tokens, theirs.tokens)
        torch.testing.assert_close(ours.logits, theirs.logits, rtol=1e-4, atol=1e-4)
    assert len({len(step.rows) for step in sides[0]}) > 2  # rows left more than once


def test_a_cache_of_other_layers_is_refused_before_anything_is_read(tokenizer):
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1}
    sliding = toys.policy(tokenizer)
    sliding.config = MistralConfig(sliding_window=8, **sizes)
    with pytest.raises(ValueError, match="'static' keeps plain attention's .* layers of DynamicSlidingWindowLayer"):
        static.refuse_other_caches(sliding)


def test_what_is_not_installed_is_said(policy, tokenizer):
    params = toys.rollouts(engine="vllm_colocated", bucket_mb=1.0, memory_share=0.3)
    with (
        pytest.raises(ValueError, match="needs the package vllm, which is not installed"),
        opening.opened(params, policy, 0, RUNTIME, 64),
    ):
        pass


KINDS = {
    "own": {},
    "static": {},
    "transformers": {"bucket_mb": 1.0, "cache_blocks": 8, "batch_tokens": 64},
    "vllm_colocated": {"bucket_mb": 1.0, "memory_share": 0.3},
}


@pytest.mark.parametrize("name", KINDS)
def test_the_params_name_the_engine(name, policy, tokenizer, vllm):
    kinds = {"transformers": ContinuousBatching, "vllm_colocated": VllmColocated}
    with opening.opened(toys.rollouts(engine=name, **KINDS[name]), policy, 0, RUNTIME, 64) as engine:
        assert type(engine) is kinds.get(name, OwnDecoder)
        sync(engine, 4, policy)
        answers = asked(engine, tokenizer)
        assert answers.version == 4
        assert largest_gap(policy, tokenizer, answers) < 1e-5
    with opening.opened(None, policy, 0, RUNTIME, 64) as engine:
        assert engine is None


@pytest.mark.parametrize("num_rows", [1, 2, 7])
def test_several_processes_ask_for_a_share_of_the_rows_each_and_hear_of_all(monkeypatch, num_rows):
    asked_for = []
    for number in range(3):
        monkeypatch.setattr(parallel.distributed, "number", lambda number=number: number)
        monkeypatch.setattr(parallel.distributed, "count", lambda: 3)
        parts = [[*range(first, num_rows, min(3, num_rows))] for first in range(min(3, num_rows))]
        shares = [[[10 * row for row in part] for part in parts[other::3]] for other in range(3)]

        def gathered(results, number=number, shares=shares):
            assert results == shares[number]
            return shares

        def answer(rows):
            asked_for.extend(rows)
            return [10 * row for row in rows]

        monkeypatch.setattr(parallel.distributed, "gathered", gathered)
        assert sharing.by_process(answer, num_rows) == [10 * row for row in range(num_rows)]
    assert sorted(asked_for) == [*range(num_rows)]


def test_a_process_that_does_not_send_takes_part_in_putting_whole_weights_together(monkeypatch, policy):
    """Whole weights of a sharded policy are gathered by all processes, in step."""
    server = VllmServer.__new__(VllmServer)
    monkeypatch.setattr(parallel.distributed, "is_first", lambda: False)
    seen = []
    server.load(3, (seen.append(name) or (name, weight) for name, weight in whole_weights.merged(policy)))
    assert seen == [name for name, _ in whole_weights.merged(policy)]
    assert server._version == 3

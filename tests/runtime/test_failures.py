"""Training that breaks down says where, on which records, and what to do."""

import pytest
import torch

from rlhf.models import reward_head
from rlhf.rl.loop_state import Data
from rlhf.runtime import failures
from stages import ppo, sft
from tests import toys


def test_a_loss_that_is_no_number_names_step_records_and_the_last_good_checkpoint(root, monkeypatch):
    policy = toys.policy(toys.tokenizer(), "gpt2")
    toys.save(root / "data/pretrain", policy, toys.tokenizer())
    original, calls = sft.supervised.language_modelling.packed_losses, []

    def sometimes(model, packed, targets):
        calls.append(packed)
        found = original(model, packed, targets)
        return found * torch.nan if len(calls) == 3 else found  # two micro-batches a step: the second step

    monkeypatch.setattr(sft.supervised.language_modelling, "packed_losses", sometimes)
    toys.set_param(root, "sft.packing", False)
    with pytest.raises(failures.NotFinite, match=r"step 2: the loss became nan; records of its batch: toy-\d") as error:
        sft.main(root)
    assert "last good model is" in str(error.value)
    assert str(root / "data/pretrain") in str(error.value)
    assert len([name for name in str(error.value).split() if name.startswith("toy-")]) == 4
    assert not (root / "data/sft").exists()


def test_long_lists_of_records_are_cut():
    with pytest.raises(failures.NotFinite, match=r"r19 and 5 more$"), failures.at_step(3, [f"r{n}" for n in range(25)]):
        raise failures.NotFinite("the loss became inf")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("no room"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: 8000 bytes"),
    ],
)
def test_lacking_memory_names_the_param_to_lower(error):
    lower = r"ppo ran out of memory: lower ppo\.micro_batch_size"
    with pytest.raises(MemoryError, match=lower), failures.explained("ppo", None):
        raise error


def test_torch_says_that_memory_is_lacking_in_the_words_we_look_for():
    with pytest.raises(MemoryError, match=r"sft\.micro_batch_rows"), failures.explained("sft", None):
        torch.empty(2**60)


def test_other_errors_pass():
    with pytest.raises(RuntimeError, match="shapes"), failures.explained("ppo", None):
        raise RuntimeError("shapes differ")


def test_every_param_that_is_to_be_lowered_exists():
    params = toys.shrunken_params()
    for names in failures.MEMORY.values():
        for name in names.split(" and "):
            section, key = name.split(".")
            assert isinstance(params[section][key], int)


def test_ppo_names_the_prompts_of_its_minibatch(tokenizer, tmp_path):
    models = toys.models(tokenizer, tmp_path)
    reward_head.scalar_head(models.value_model).weight.data.fill_(torch.nan)
    chosen = toys.section(ppo.Ppo, "ppo")
    prompts = ppo.tokenised(tokenizer, toys.prompts(8), chosen)
    with pytest.raises(failures.NotFinite, match=r"step 1: .*toy-\d"):
        next(ppo.train(models, Data(prompts, None), chosen, toys.runtime(), seed=1))

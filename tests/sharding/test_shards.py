"""What is decided before any model lies in shards; what processes do with them: tests/integration/test_sharded.py."""

import pytest
import torch

from rlhf.models import ways, whole_weights
from rlhf.models.sharded import putting, saving
from rlhf.models.whole_weights import Entry
from rlhf.params.base import ParamsError, parse
from rlhf.params.runtime import Runtime
from rlhf.sharding import shards
from tests import toys


def test_blocks_are_the_items_of_the_outermost_lists(policy, reward_model):
    kinds = (["LlamaDecoderLayer"] * 2, ["GPT2Block"] * 2)
    for model in (policy, reward_model):
        assert [type(block).__name__ for block in shards.blocks(model)] in kinds


def test_a_list_within_a_block_is_none_of_its_own():
    experts = torch.nn.ModuleList([torch.nn.Linear(1, 1)])
    block = torch.nn.ModuleDict({"experts": experts})
    model = torch.nn.ModuleDict({"layers": torch.nn.ModuleList([block, torch.nn.Identity()])})
    assert [*shards.blocks(model)] == [block]


def test_alone_a_model_stays_as_it_is(policy):
    kind, known = type(policy), ways.proven(policy)
    putting.put(policy, toys.runtime(sharding="fsdp2"))
    assert type(policy) is kind is shards.kind_of(policy)
    assert ways.proven(policy) is known
    assert not shards.is_sharded(policy)


def test_a_model_that_reads_sequence_by_sequence_is_refused(policy, monkeypatch):
    monkeypatch.setattr(putting.distributed, "count", lambda: 2)
    ways.remember(policy, ways.Ways(9, {"plain": (ways.ALONE,), "packed": (ways.MASK,)}, ()))
    with pytest.raises(ValueError, match="runtime.sharding: .* reads plain rows one sequence at a time"):
        putting.put(policy, toys.runtime(sharding="fsdp2"))


def test_several_workers_would_gather_in_another_order_in_each_process():
    content = toys.runtime(sharding="fsdp2").model_dump()
    assert parse(Runtime, content, "runtime").sharding == "fsdp2"
    with pytest.raises(ParamsError, match="runtime: sharding 'fsdp2' needs workers 1"):
        parse(Runtime, content | {"workers": 2}, "runtime")
    with pytest.raises(ParamsError, match="runtime.sharding"):
        parse(Runtime, content | {"sharding": "fsdp"}, "runtime")


def test_on_a_gpu_low_weights_are_gathered_and_sums_are_always_float32():
    low = shards.precision(toys.runtime(dtype="bfloat16").model_copy(update={"device": "cuda"}))
    assert (low.param_dtype, low.reduce_dtype) == (torch.bfloat16, torch.float32)
    for runtime in (toys.runtime(), toys.runtime(dtype="bfloat16")):
        assert shards.precision(runtime).param_dtype is None


def test_a_plain_models_weights_are_its_state_dict_without_what_is_tied(policy):
    found = dict(whole_weights.named(policy))
    state = policy.state_dict()
    assert all(torch.equal(weight, state[name]) for name, weight in found.items())
    assert state.keys() - found.keys() == ({"lm_head.weight"} if policy.config.tie_word_embeddings else set())
    assert [entry.name for entry in whole_weights.entries(policy)] == [*found]
    assert sum(entry.num_bytes for entry in whole_weights.entries(policy)) == 4 * sum(map(torch.numel, found.values()))


@pytest.mark.parametrize(
    ("largest", "expected"), [(100, [["a", "b", "c"]]), (12, [["a", "b"], ["c"]]), (5, [["a"], ["b"], ["c"]])]
)
def test_files_hold_so_many_bytes_unless_a_weight_is_larger(largest, expected):
    entries = [Entry(name, torch.Size([size]), torch.float32) for name, size in (("a", 1), ("b", 2), ("c", 4))]
    plan = saving.files(entries, largest)
    assert [[entry.name for entry in some] for some in plan.values()] == expected
    assert all("of-00003" in name for name in plan) if len(plan) == 3 else True


def test_in_one_process_it_writes_what_save_pretrained_writes(policy, tmp_path):
    saving.save(policy, tmp_path / "ours")
    policy.save_pretrained(tmp_path / "theirs")
    assert toys.file_bytes(tmp_path / "ours") == toys.file_bytes(tmp_path / "theirs")

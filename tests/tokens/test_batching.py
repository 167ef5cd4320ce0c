"""Padding, packing and the order of batches."""

import random
from itertools import islice

import pytest
import torch

from rlhf.tokens import batching


def test_rows_are_padded_on_the_named_side():
    left = batching.pad([[1, 2], [3, 4, 5]], pad_id=0, side="left")
    assert left.ids.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert left.mask.tolist() == [[False, True, True], [True, True, True]]
    right = batching.pad([[1, 2], [3, 4, 5]], pad_id=0, side="right")
    assert right.ids.tolist() == [[1, 2, 0], [3, 4, 5]]
    assert right.mask.tolist() == [[True, True, False], [True, True, True]]


def test_a_real_token_with_the_pads_id_is_still_real():
    assert batching.pad([[0, 1, 0], [1]], pad_id=0, side="right").mask.tolist() == [[True] * 3, [True, False, False]]


def test_positions_count_real_tokens_only():
    mask = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 0, 0]], dtype=torch.bool)
    assert (batching.position_ids(mask) * mask).tolist() == [[0, 0, 0, 1, 2], [0, 1, 2, 0, 0]]


def test_an_epoch_visits_each_item_once_and_its_last_batch_may_be_smaller():
    batches = list(batching.epochs(num_items=7, batch_size=3, num_epochs=2, seed=1))
    assert [len(batch) for batch in batches] == [3, 3, 1, 3, 3, 1]
    assert sorted(sum(batches[:3], [])) == sorted(sum(batches[3:], [])) == list(range(7))
    assert batches[:3] != batches[3:]


def test_the_order_depends_on_the_seed_alone():
    first = list(batching.epochs(50, 8, 1, seed=1))
    torch.manual_seed(99)
    assert list(batching.epochs(50, 8, 1, seed=1)) == first
    assert list(batching.epochs(50, 8, 1, seed=2)) != first


@pytest.mark.parametrize(("num_items", "batch_size"), [(7, 3), (3, 8), (4, 4)])
def test_a_cycle_repeats_no_item_before_all_have_come(num_items, batch_size):
    batches = list(islice(batching.cycle(num_items, batch_size, seed=1), 2 * num_items))
    assert {len(batch) for batch in batches} == {batch_size}
    visited = sum(batches, [])
    for start in range(0, len(visited), num_items):
        assert sorted(visited[start : start + num_items]) == list(range(num_items))


@pytest.mark.parametrize("seed", range(5))
def test_a_packing_plan_loses_no_example_and_keeps_to_the_width(seed):
    draw = random.Random(seed)
    lengths = [draw.randint(1, 30) for _ in range(60)]
    plan = batching.packing_plan(lengths, width=30)
    assert sorted(index for row in plan for index in row) == list(range(60))
    assert max(sum(lengths[index] for index in row) for row in plan) <= 30
    assert len(plan) <= -(-sum(lengths) // 30) * 1.25


def test_a_packing_plan_by_hand():
    assert batching.packing_plan([4, 6, 3, 7, 3], width=10) == [[3, 2], [1, 0], [4]]


def test_packed_examples_keep_their_own_positions_and_no_first_token_is_a_target():
    rows = [[([5, 6, 7], [True, True, False]), ([8, 9], [False, True])], [([4], [True])]]
    packed = batching.pack(rows, pad_id=0, device="cpu")
    assert packed.ids.tolist() == [[5, 6, 7, 8, 9], [4, 0, 0, 0, 0]]
    assert packed.loss_mask.tolist() == [[False, True, False, False, True], [False] * 5]
    assert packed.position_ids.tolist() == [[0, 1, 2, 0, 1], [0] * 5]
    assert packed.segments.tolist() == [[1, 1, 1, 2, 2], [1, 0, 0, 0, 0]]


def test_a_token_sees_itself_and_what_came_before_in_its_own_example():
    seen = batching.segment_attention(torch.tensor([[1, 1, 2, 0]]), torch.float32)
    assert seen.shape == (1, 1, 4, 4)
    assert (seen[0, 0] == 0).int().tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    assert seen.min() == torch.finfo(torch.float32).min

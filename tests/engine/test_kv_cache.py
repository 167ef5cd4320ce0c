"""The cache with room holds what the library's own holds, and copies almost never."""

import pytest
import torch
from transformers import MistralConfig
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from rlhf.engine import kv_cache


def states(rows: int, tokens: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    drawn = torch.randn(2, rows, 3, tokens, 4, generator=torch.Generator().manual_seed(seed))
    return drawn[0], drawn[1]


def test_it_holds_what_the_librarys_layer_holds():
    ours, theirs = kv_cache.RoomyLayer(), DynamicLayer()
    rows = 5
    steps = [7, *[1] * (2 * kv_cache.ROOM), 3]  # a prompt, tokens past the room, several tokens at once
    for number, tokens in enumerate(steps):
        new = states(rows, tokens, number)
        for found, expected in zip(ours.update(*new), theirs.update(*new), strict=True):
            assert torch.equal(found, expected)
        assert ours.get_seq_length() == theirs.get_seq_length()
        if number in (3, 4, 50):
            kept = torch.arange(rows)[1:] if number != 3 else torch.tensor([0, 0, 2, 4, 3, 1])  # leave; are forked
            ours.batch_select_indices(kept)
            theirs.batch_select_indices(kept)
            rows = len(kept)


@pytest.mark.parametrize("order", [[2, 1, 0], [0, 0, 1], [2, 2, 2]])
def test_as_many_rows_in_another_order_are_seen_at_every_step(order):
    """No shape says that the rows have changed: keys and values read before must be those of the rows kept."""
    ours = kv_cache.RoomyLayer()
    expected = states(3, 4, 0)
    ours.update(*expected)
    for number in range(1, 4):
        ours.batch_select_indices(torch.tensor(order))
        new = states(3, 1, number)
        found = ours.update(*new)
        expected = tuple(torch.cat([kept[order], more], dim=-2) for kept, more in zip(expected, new, strict=True))
        assert all(map(torch.equal, found, expected))


def test_a_token_is_written_in_place():
    layer = kv_cache.RoomyLayer()
    layer.update(*states(2, 5, 0))
    places = {layer.update(*states(2, 1, number))[0].data_ptr() for number in range(kv_cache.ROOM)}
    assert len(places) == 1


def test_sliding_layers_stay_the_librarys():
    sliding = MistralConfig(num_hidden_layers=2, sliding_window=8)
    assert {type(layer) for layer in kv_cache.empty(sliding).layers} == {DynamicSlidingWindowLayer}
    plain = MistralConfig(num_hidden_layers=2, sliding_window=None)
    assert [type(layer) for layer in kv_cache.empty(plain).layers] == [kv_cache.RoomyLayer] * 2

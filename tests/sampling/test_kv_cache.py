"""The cache with room holds what the library's own holds, and copies almost never."""

import torch
from transformers import MistralConfig
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from rlhf.sampling import kv_cache


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


def test_choosing_all_rows_in_another_order_is_seen():
    ours = kv_cache.RoomyLayer()
    first, second = states(3, 4, 0), states(3, 1, 1)
    ours.update(*first)
    ours.batch_select_indices(torch.tensor([2, 1, 0]))
    keys, _ = ours.update(*second)
    assert torch.equal(keys, torch.cat([first[0].flip(0), second[0]], dim=-2))


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

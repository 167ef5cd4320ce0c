"""Matrix products: their dtype follows autocast, and in bfloat16 their rows come in few numbers."""

import torch

from rlhf.engine import products


def test_the_dtype_is_autocasts_where_it_is_on():
    states = torch.randn(2, 3)
    assert products.dtype(states) == torch.float32
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert products.dtype(states) == torch.bfloat16
        with products.as_written():
            assert (states @ states.t()).dtype == torch.float32


def test_in_float32_no_row_is_computed_in_vain():
    assert [products.num_rows(needed, torch.float32) for needed in (1, 7, 1001)] == [1, 7, 1001]


def test_in_bfloat16_a_few_rows_more_make_few_shapes():
    made = {needed: products.num_rows(needed, torch.bfloat16) for needed in range(1, 5000)}
    assert all(needed <= rows for needed, rows in made.items())
    assert all(rows <= needed + max(16, needed / 16) for needed, rows in made.items())
    assert len(set(made.values())) < 100

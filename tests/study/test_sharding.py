"""What is said of models in shards on paper, and how far off a training is."""

import torch

from study.sharding import counting, proof, table


def test_a_difference_is_the_largest_over_the_largest_number():
    expected = [torch.tensor([1.0, -4.0]), torch.zeros(2)]
    assert proof.difference(expected, expected) == 0
    assert proof.difference([torch.tensor([1.0, -4.0]), torch.tensor([0.0, 0.5])], expected) == 0.125


def test_the_page_shows_every_case_and_its_messages():
    case = counting.Counted(
        model="7B", ranks=8, parameters=6, embedding_rows=4000, weights=1.0, gradients=2.0, moments=3.0, gathered=4.0,
        others=5.0, peak=6.125, ppo=7.0, messages={"all_gather": 66, "reduce_scatter": 33},
        sent={"all_gather": 25.1, "reduce_scatter": 24.9},
    )  # fmt: skip
    text = table.page([case, case | {"ranks": 16}])
    assert "| 7B | 8 | 4000 | 1.00 | 2.00 | 3.00 | 4.00 | 5.00 | 6.12 | 7.00 |" in text
    assert "| 7B | 16 | 66 | 25.1 | 33 | 24.9 |" in text
    assert text.startswith("*Written by `python -m study.sharding` from `metrics/sharding.json`")

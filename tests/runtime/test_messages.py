"""What is packed into a message is unpacked from it, and what it cannot hold is refused."""

import math
from typing import NamedTuple

import pytest
import torch

from rlhf.runtime import messages
from rlhf.sampling.rollouts import Response


class Point(NamedTuple):
    at: float
    near: torch.Tensor


VALUES = [
    None, True, 3, 2**60, 0.1, -0.0, "ü\n", [], (), {}, [1, [2.5, "x"], (None,)], {"a": 1, 2: {"b": [False]}},
    Response("text", [1, 2], True), {"loss": 1e-300, "right": 3},
]  # fmt: skip


def sent(value):
    return messages.unpacked(messages.packed(value), "cpu")


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_plain_values_come_back_as_they_were(value):
    assert sent(value) == value
    assert type(sent(value)) is type(value)


def test_numbers_that_are_none_come_back_too():
    found = sent([math.nan, math.inf, -math.inf])
    assert math.isnan(found[0])
    assert found[1:] == [math.inf, -math.inf]


DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.bool, torch.int64, torch.uint8]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 4), (5, 3)])
def test_tensors_come_back_to_the_bit_wherever_they_begin(dtype, shape):
    """An odd number of bytes stands before each."""
    tensor = (torch.randn(shape) * 100).to(dtype)
    value = [torch.ones(3, dtype=torch.bool), tensor, Point(1.5, tensor.t() if tensor.ndim == 2 else tensor)]
    _, found, point = sent(value)
    for one, expected in ((found, tensor), (point.near, value[2].near)):
        assert one.dtype == expected.dtype
        assert one.shape == expected.shape
        assert torch.equal(one, expected)
    assert type(point) is Point


@pytest.mark.parametrize(
    "value", [{1, 2}, b"bytes", object(), [lambda: None], 1j], ids=lambda value: type(value).__name__
)
def test_what_no_message_can_hold_is_refused_where_it_is_sent(value):
    with pytest.raises(TypeError, match=f"not {type(value[0] if isinstance(value, list) else value).__name__}"):
        messages.packed(value)

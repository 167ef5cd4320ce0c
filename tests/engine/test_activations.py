"""GELU by the sigmoid is GELU by the tanh."""

import pytest
import torch
from torch.nn import functional

from rlhf.engine import activations


def test_value_and_gradient_are_those_of_the_tanh_form():
    x = torch.cat([torch.linspace(-12, 12, 2001), torch.tensor([0.0, -1e4, 1e4])]).requires_grad_()
    share = torch.randn(len(x), generator=torch.Generator().manual_seed(0))
    found, expected = activations.gelu(x), functional.gelu(x, approximate="tanh")
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    gradients = [torch.autograd.grad((value * share).sum(), x)[0] for value in (found, expected)]
    assert gradients[0][:2001].isfinite().all()
    torch.testing.assert_close(gradients[0][:2001], gradients[1][:2001], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_dtype_stays_and_the_arithmetic_is_float32(dtype):
    x = torch.randn(500).to(dtype).requires_grad_()
    found = activations.gelu(x)
    exact = functional.gelu(x.detach().double(), approximate="tanh")
    found.sum().backward()
    assert found.dtype == x.grad.dtype == dtype
    torch.testing.assert_close(
        found.double(), exact.to(dtype).double(), rtol=1e-2 if dtype == torch.bfloat16 else 1e-5, atol=1e-6
    )

"""The CPU's RMSNorm is the library's function, and changes neither names nor files."""

import pytest
import torch
from transformers import AutoModelForCausalLM
from transformers.models.qwen2.modeling_qwen2 import Qwen2RMSNorm

from rlhf.engine import norms
from rlhf.models import placement, shapes
from rlhf.params.runtime import Runtime
from tests import toys

EPS = 1e-3  # large enough to matter


@pytest.mark.parametrize("shape", [(5, 16), (2, 7, 16), (2, 3, 4, 16)])
def test_value_and_gradients_are_the_librarys(shape):
    generator = torch.Generator().manual_seed(0)
    theirs = Qwen2RMSNorm(16, EPS)
    with torch.no_grad():
        theirs.weight.normal_(generator=generator)
    ours = norms.RMSNorm(theirs.weight, EPS)
    x = torch.randn(shape, generator=generator).requires_grad_()
    upstream = torch.randn(shape, generator=generator)
    torch.testing.assert_close(ours(x), theirs(x))
    expected = torch.autograd.grad(theirs(x), [x, theirs.weight], upstream)
    torch.testing.assert_close(torch.autograd.grad(ours(x), [x, ours.weight], upstream), expected)


def test_the_gradient_agrees_with_finite_differences():
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(3, 6, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(6, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, weight: norms.rms_norm(x, weight, EPS), (x, weight))


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_a_model_says_the_same_after_the_replacement(tokenizer, family):
    model = toys.policy(tokenizer, family)
    ids = torch.randint(5, 40, (2, 9), generator=torch.Generator().manual_seed(0))
    before, names = model(input_ids=ids).logits, list(model.state_dict())
    norms.replace(model)
    assert sum(isinstance(module, norms.RMSNorm) for module in model.modules()) == 5  # two a layer, and the last
    assert list(model.state_dict()) == names
    torch.testing.assert_close(model(input_ids=ids).logits, before, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("dtype", "replaced"), [("float32", True), ("bfloat16", False)])
def test_only_float32_on_a_cpu_takes_it(dtype, replaced):
    model = AutoModelForCausalLM.from_config(shapes.config("tiny", vocab_size=50, pad_id=0, eos_id=1))
    runtime = Runtime(device="cpu", dtype=dtype, attention="eager", processes=1, threads=1, workers=1)
    placed = placement.placed(model, runtime)
    assert any(isinstance(module, norms.RMSNorm) for module in placed.modules()) == replaced


def test_a_norm_of_another_formula_stays(tokenizer):
    model = toys.policy(tokenizer, "gpt2")  # LayerNorm
    kinds = [type(module) for module in model.modules()]
    norms.replace(model)
    assert [type(module) for module in model.modules()] == kinds

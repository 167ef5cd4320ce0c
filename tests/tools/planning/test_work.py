"""Operations, by hand and as torch counts them."""

import pytest
import torch
import transformers
from torch.utils.flop_counter import FlopCounterMode

from rlhf.engine.memory import MOST_LOGITS
from tests.tools.planning.shapes import SMALL
from tools.planning import work
from tools.planning.sizes import Dimensions
from tools.planning.work import ADAPT, LEARN, READ, Decoding, Pass, Stage

LAYER = 3 * (2 * 576 + 4 * 8 * 5)  # three tokens, each of which may read five
HEAD = 2 * 2 * 10 * 8  # of two


def test_a_forward_pass_by_hand():
    one = Pass(READ, number=7, tokens=3, scored=2, read=5)
    assert work.pass_flops(SMALL, one, recomputed=True) == 7 * (2 * LAYER + HEAD)


@pytest.mark.parametrize(("what", "times"), [(LEARN, 3), (ADAPT, 2)])
def test_gradients_by_hand(what, times):
    one = Pass(what, number=1, tokens=3, scored=2, read=5)
    assert work.pass_flops(SMALL, one, recomputed=False) == times * (2 * LAYER + HEAD)
    assert work.pass_flops(SMALL, one, recomputed=True) == (times + 1) * 2 * LAYER + times * HEAD


def test_logits_that_do_not_fit_are_made_again():
    one = Pass(LEARN, number=1, tokens=0, scored=MOST_LOGITS / 10, read=0)
    more = one._replace(scored=one.scored + 1)
    assert work.pass_flops(SMALL, one, False) == 3 * work.head_flops(SMALL, one.scored)
    assert work.pass_flops(SMALL, more, False) == 4 * work.head_flops(SMALL, more.scored)


def test_decoding_by_hand():
    one = Decoding(number=2, rows=4, prompts=3, prompt=6, steps=10, tokens=20)
    prompts = 2 * 18 * (2 * 576 + 4 * 8 * 6) + 2 * 3 * 80
    steps = 2 * 20 * (2 * 576 + 4 * 8 * (6 + 5)) + 2 * 20 * 80
    assert work.decoding_flops(SMALL, one) == 2 * (prompts + steps)


@pytest.mark.parametrize("learns", [False, True])
def test_torch_counts_the_same(learns):
    sizes = Dimensions(3, 32, 48, 4, 2, 8, 50, 0, gated=True, tied=True)
    config = transformers.LlamaConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
        head_dim=8, vocab_size=50, tie_word_embeddings=True, attn_implementation="eager",
    )  # fmt: skip
    model = transformers.AutoModelForCausalLM.from_config(config)
    ids = torch.randint(0, 50, (2, 20))
    with FlopCounterMode(display=False) as counted, torch.set_grad_enabled(learns):
        loss = model(input_ids=ids).logits.sum()
        if learns:
            loss.backward()
    one = Pass(LEARN if learns else READ, number=1, tokens=40, scored=40, read=20)
    assert work.pass_flops(sizes, one, False) == pytest.approx(counted.get_total_flops(), rel=0.01)


def test_tokens_of_a_stage():
    learned, read = Pass(LEARN, 2, 30, 0, 5), Pass(READ, 1, 7, 0, 5)
    stage = Stage((learned, read), (Decoding(2, 4, 3, 6, 10, 20),))
    assert (stage.tokens, stage.learned) == (60 + 7 + 2 * (18 + 20), 60)
    assert stage.flops(SMALL) == sum(work.pass_flops(SMALL, one, False) for one in (learned, read)) + (
        work.decoding_flops(SMALL, stage.decodings[0])
    )

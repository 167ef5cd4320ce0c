"""What is exact for a model is found by trying, and nothing else is used: losses, rewards, values and answers are those
of transformers' own model on each sequence alone, whatever its windows, recurrences, positions and heads are.
"""

import copy

import pytest
import torch
import transformers
from torch import nn

from rlhf.models import forward, loading, proof, ways
from rlhf.tokens import batching
from tests import toys
from tools.looking import adoption, architectures

LONGEST = 70


def config(model_type: str, **more):
    kind = transformers.CONFIG_MAPPING[model_type]
    found = architectures.tiny(kind, **more)
    assert found is not None
    return found


FAMILIES = {  # what it is about, its config, and what is used for packed and forked rows and in decoding
    "a window": (lambda: config("mistral", sliding_window=8), "places", "rows", "cache"),
    "windows and a cap": (lambda: config("gemma2", sliding_window=8), "places", "rows", "cache"),
    "windows that count places in a row": (
        lambda: config("gpt_neo", window_size=8),
        "mask", "rows", "cache",
    ),
    "alibi": (lambda: config("bloom"), "rows", "rows", "cache"),
    "linear attention": (lambda: config("qwen3_next"), "rows", "rows", "whole"),
    "state space": (lambda: config("mamba"), "rows", "rows", "fresh"),
    "a scale, and no classifier": (lambda: config("granite", logits_scaling=4.0), "mask", "mask", "cache"),
    "experts, and no classifier": (lambda: config("olmoe"), "mask", "mask", "cache"),
    "layers before the output layer": (lambda: config("modernbert-decoder"), "places", "rows", "cache"),
    "several modalities": (lambda: config("gemma3"), "mask", "mask", "cache"),
    "ours": (lambda: config("llama"), "lean", "lean", "lean"),
}  # fmt: skip


@pytest.mark.parametrize("about", list(FAMILIES))
def test_whatever_a_model_is_like_it_computes_what_it_says_of_each_sequence_alone(about):
    make, packed, forked, decoded = FAMILIES[about]
    found = adoption.verdict_of(make)
    assert found.verdict == "exact", found
    used = dict(one.split(" ") for one in found.used.split(", "))
    assert (used["packed"], used["forked"], used["decoding"]) == (packed, forked, decoded)


def drawn(made) -> nn.Module:
    torch.manual_seed(0)
    return transformers.AutoModelForCausalLM.from_config(made, attn_implementation="eager").eval()


def rope(kind: str, context: int):
    return config("llama", rope_parameters={"rope_type": kind, "rope_theta": 1e4, "factor": 4.0},
                  max_position_embeddings=context)  # fmt: skip


def test_positions_that_change_with_the_length_are_exact_up_to_the_context_and_refused_beyond():
    model = drawn(rope("dynamic", 24))
    assert proof.prove(model, 24).ways.longest == 24
    with pytest.raises(ValueError, match=r"read token by token, up to 70 of them.*max_tokens up to 24"):
        proof.prove(drawn(rope("dynamic", 24)), LONGEST)


def test_a_longer_sequence_than_was_tried_is_tried_before_it_is_read():
    model = drawn(config("mistral", sliding_window=40))
    assert proof.prove(model, 30).ways.reading["packed"] == ("mask",)
    rows = [list(range(3, 63)), list(range(9, 19))]
    examples = batching.pack([[(row, [True] * len(row)) for row in rows]], 0, "cpu")
    with torch.no_grad():
        found = forward.hidden_states(model, *examples[:1], examples.position_ids, examples.segments,
                                      examples.segments > 0, "packed")  # fmt: skip
        alone = [model.base_model(input_ids=torch.tensor([row])).last_hidden_state[0] for row in rows]
    torch.testing.assert_close(found, torch.cat(alone), rtol=1e-4, atol=1e-5)
    assert ways.proven(model).reading["packed"] == ("places",)
    assert ways.proven(model).longest >= 60


def test_a_model_without_so_many_positions_is_tried_with_those_it_has():
    model = drawn(config("gpt2", n_positions=40))
    assert proof.prove(model, LONGEST).ways.longest == 40


def test_a_model_that_reads_in_both_directions_is_refused():
    with pytest.raises(ValueError, match="reads in both directions"):
        proof.prove(drawn(config("bert", is_decoder=False)), 20)


class Squared(nn.Linear):
    def forward(self, states):
        return super().forward(states).square()


def test_logits_that_are_made_in_an_unknown_way_are_refused():
    model = drawn(config("llama"))
    squared = Squared(64, architectures.VOCABULARY, bias=False)
    squared.weight = model.lm_head.weight
    model.lm_head = squared
    with pytest.raises(ValueError, match="makes logits of its last states in a way that is not known"):
        proof.prove(model, 20)


def test_trying_changes_neither_the_model_nor_what_is_drawn():
    model = drawn(config("gpt2"))
    model.train()
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    proof.prove(model, 30)
    assert model.training
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())


def test_what_is_not_used_is_named_once_with_why(tmp_path, capsys):
    drawn(config("mistral", sliding_window=8)).save_pretrained(tmp_path)
    for _ in range(2):
        loading.load_causal(tmp_path, toys.runtime(), longest=30)
        loading.load_classifier(tmp_path, toys.runtime(), new_head=True, longest=30)
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith(str(tmp_path))]
    assert [line.partition(" is off by ")[0] for line in told] == [
        f"{tmp_path}: packed: the model's own masks, cut by positions, for a mask of who reads whom",
        f"{tmp_path}: forked: one sequence a row, for a mask of who reads whom",
    ]


def test_a_likelihood_is_refused_where_a_reward_model_lacks_layers_of_its_base(tmp_path):
    model = drawn(config("modernbert-decoder", tie_word_embeddings=True))
    proof.prove(model, 20)
    model.save_pretrained(tmp_path)
    classifier = loading.load_classifier(tmp_path, toys.runtime(), new_head=True)
    with pytest.raises(ValueError, match="set likelihood_coef to 0"):
        forward.tied_head(classifier)


def test_a_classifier_that_transformers_has_not_is_saved_and_read_again(tmp_path):
    drawn(config("olmoe")).save_pretrained(tmp_path / "base")
    made = loading.load_classifier(tmp_path / "base", toys.runtime(), new_head=True)
    made.save_pretrained(tmp_path / "reward")
    again = loading.load_classifier(tmp_path / "reward", toys.runtime())
    assert type(made).__name__ == "OlmoeForSequenceClassification"
    ids = torch.arange(3, 20)[None]
    torch.testing.assert_close(made(input_ids=ids).logits, again(input_ids=ids).logits)


@pytest.mark.parametrize(("made", "way"), [(lambda: config("llama"), "lean"), (lambda: config("bloom"), "rows")])
def test_of_a_causal_model_other_kinds_of_rows_are_tried_where_they_are_read(made, way):
    """DPO reads a prompt once for all its answers; of rows that were not tried each sequence is read alone."""
    model = drawn(made())
    groups = [[([*range(3, 20), *range(40, 43)], 3), ([*range(3, 20), 50], 1)], [([7, 8, 9, 10], 2), ([7, 8, 11], 1)]]
    forked = batching.fork(groups, 0, "cpu")
    rows = (forked.ids, forked.position_ids, forked.segments, forked.owners >= 0, "forked")
    proof.prove(model, 30)
    assert "forked" not in ways.proven(model).reading
    with torch.no_grad():
        alone = forward.hidden_states(model, *rows)
        assert proof.prove(model, 30, ("plain", "forked")).ways.reading["forked"] == (way,)
        torch.testing.assert_close(forward.hidden_states(model, *rows), alone, rtol=1e-4, atol=1e-5)
    assert ways.proven(model).reading.keys() == {"plain", "forked"}


def test_a_longer_sequence_is_tried_for_the_same_kinds_of_rows():
    model = drawn(config("llama"))
    proof.prove(model, 20, ("plain", "forked"))
    forked = batching.fork([[([*range(3, 60)], 9), ([*range(3, 51), 61], 1)]], 0, "cpu")
    with torch.no_grad():
        forward.hidden_states(model, forked.ids, forked.position_ids, forked.segments, forked.owners >= 0, "forked")
    assert ways.proven(model).longest >= 57
    assert ways.proven(model).reading["forked"] == ("lean",)

"""Loading, saving and reading models: padding and heads."""

import os
import subprocess
import sys

import pytest
import torch
from transformers import AutoConfig

from rlhf.engine import lean, logprobs
from rlhf.models import forward, loading, placement, reward_head
from rlhf.tokens import batching
from tests import toys

ROWS = [[20, 21, 22, 23, 24], [30, 31, 32], [40, 41, 42, 43]]


def padded(side: str, extra: int = 0) -> batching.Padded:
    """ROWS as a batch with `extra` more columns of padding on `side`."""
    batch = batching.pad(ROWS, 0, side)
    widths = (extra, 0) if side == "left" else (0, extra)
    return batching.Padded(*(torch.nn.functional.pad(tensor, widths) for tensor in batch))


def alone(row: list[int]) -> batching.Padded:
    return batching.pad([row], 0, "right")


def last(mask: torch.Tensor, count: int) -> torch.Tensor:
    """The mask of a completion of the last `count` columns."""
    return mask[:, -count:]


@pytest.fixture(params=["lean", "library"])
def engine(request, monkeypatch):
    """Both ways to the same numbers: our own forward pass, and transformers'."""
    if request.param == "library":
        monkeypatch.setattr(lean, "supports", lambda model: False)
    return request.param


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("extra", [0, 5])
def test_left_padding_changes_no_state(policy, extra, attention, engine):
    policy.set_attn_implementation(attention)
    batch = padded("left", extra)
    states = forward.completion_states(policy, *batch, last(batch.mask, 2)).view(3, 2, -1)
    for number, row in enumerate(ROWS):
        expected = policy.base_model(input_ids=torch.tensor([row])).last_hidden_state[0, -3:-1]
        torch.testing.assert_close(states[number], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("extra", [0, 5])
def test_right_padding_changes_no_state(policy, extra, engine):
    batch = padded("right", extra)
    states = forward.completion_states(policy, *batch, last(batch.mask, batch.ids.shape[1] - 1))
    expected = [policy.base_model(input_ids=torch.tensor([row])).last_hidden_state[0, :-1] for row in ROWS]
    torch.testing.assert_close(states, torch.cat(expected), rtol=1e-4, atol=1e-5)


def test_the_output_head_makes_the_models_own_logits(policy):
    batch = alone(ROWS[0])
    states = forward.completion_states(policy, *batch, last(batch.mask, 3))
    logits = policy(input_ids=batch.ids).logits[0, 1:4]
    torch.testing.assert_close(logprobs.logits(states, forward.output_head(policy)), logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("extra", [0, 5])
def test_padding_changes_no_reward(reward_model, side, extra, engine):
    rewards = reward_head.sequence_rewards(reward_model, *padded(side, extra))
    expected = torch.cat([reward_model(input_ids=torch.tensor([row])).logits[0] for row in ROWS])
    torch.testing.assert_close(rewards, expected, rtol=1e-4, atol=1e-5)


def test_the_reward_stands_on_the_last_real_token_whatever_its_id(reward_model):
    row = [20, 21, reward_model.config.pad_token_id]
    hidden = reward_model.base_model(input_ids=torch.tensor([row])).last_hidden_state
    found = reward_head.sequence_rewards(reward_model, *alone(row))
    torch.testing.assert_close(found, reward_model.score(hidden[:, -1])[:, 0], rtol=1e-4, atol=1e-5)


def test_the_reward_is_what_transformers_itself_says(reward_model):
    expected = reward_model(input_ids=torch.tensor([ROWS[0]])).logits.squeeze(-1)
    torch.testing.assert_close(
        reward_head.sequence_rewards(reward_model, *alone(ROWS[0])), expected, rtol=1e-4, atol=1e-5
    )


def test_padding_changes_no_value(reward_model, engine):
    batch = padded("left", 4)
    values = reward_head.token_values(reward_model, *batch, last(batch.mask, 2))
    for number, row in enumerate(ROWS):
        whole = reward_model.score(reward_model.base_model(input_ids=torch.tensor([row])).last_hidden_state)
        torch.testing.assert_close(values[number], whole[0, -3:-1, 0], rtol=1e-4, atol=1e-5)


def test_a_value_is_said_before_its_token_is_chosen(reward_model):
    first, other = alone([20, 21, 22, 23]), alone([20, 21, 99, 98])
    values, changed = (reward_head.token_values(reward_model, *batch, last(batch.mask, 2)) for batch in (first, other))
    assert values[0, 0].item() == changed[0, 0].item()  # both tokens changed, and neither is seen yet
    assert values[0, 1].item() != changed[0, 1].item()
    torch.testing.assert_close(values[:, 0], reward_head.sequence_rewards(reward_model, *alone([20, 21])))


def test_a_new_head_has_stiennons_spread_and_its_own_generator(tokenizer, tmp_path):
    wide = toys.config(tokenizer, "llama")
    wide.hidden_size = 2048
    wide.intermediate_size, wide.num_hidden_layers = 16, 1
    from transformers import AutoModelForCausalLM

    toys.save(tmp_path, AutoModelForCausalLM.from_config(wide), tokenizer)
    heads = []
    for global_seed in (1, 2):
        torch.manual_seed(global_seed)
        model = reward_head.new_reward_model(tmp_path, toys.runtime(), torch.Generator().manual_seed(7))
        heads.append(reward_head.scalar_head(model).weight)
    assert heads[0].std().item() == pytest.approx(1 / 2049**0.5, rel=0.05)
    assert heads[0].mean().item() == pytest.approx(0, abs=4 / 2049)
    torch.testing.assert_close(heads[0], heads[1], rtol=0, atol=0)


def test_a_new_reward_model_keeps_the_policys_backbone(policy, tokenizer, tmp_path):
    folder = toys.save(tmp_path, policy, tokenizer)
    model = reward_head.new_reward_model(folder, toys.runtime(), torch.Generator())
    hidden = model.base_model(input_ids=torch.tensor([ROWS[0]])).last_hidden_state
    torch.testing.assert_close(hidden, policy.base_model(input_ids=torch.tensor([ROWS[0]])).last_hidden_state)


def test_a_saved_model_is_the_same_one_and_holds_safetensors(policy, tokenizer, tmp_path):
    folder = toys.save(tmp_path, policy, tokenizer)
    loaded, _ = loading.load_policy(folder, toys.runtime())
    for weight, other in zip(policy.parameters(), loaded.parameters(), strict=True):
        assert torch.equal(weight, other)
    assert not loaded.training
    assert (folder / "model.safetensors").exists()


def test_a_folders_dropout_is_replaced(tokenizer, tmp_path):
    folder = toys.save(tmp_path, toys.policy(tokenizer, "gpt2"), tokenizer)
    config = AutoConfig.from_pretrained(folder)
    config.resid_pdrop = config.embd_pdrop = config.attn_pdrop = 0.5
    config.save_pretrained(folder)
    ids = torch.tensor([ROWS[0]])

    def spread(dropout: float) -> float:
        model = loading.load_causal(folder, toys.runtime(), dropout).train()
        return (model(input_ids=ids).logits - model(input_ids=ids).logits).abs().max().item()

    assert spread(0.0) == 0
    assert spread(0.2) > 0
    classifier = loading.load_classifier(folder, toys.runtime(), new_head=True).train()
    assert reward_head.sequence_rewards(classifier, *alone(ROWS[0])) == reward_head.sequence_rewards(
        classifier, *alone(ROWS[0])
    )


@pytest.mark.parametrize(
    ("change", "message"), [("eos_token", "no EOS token"), ("pad_token", "PAD token that is not EOS")]
)
def test_a_tokenizer_without_its_markers_is_refused(tmp_path, change, message):
    broken = toys.tokenizer()
    setattr(broken, change, None)
    broken.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=message):
        loading.load_tokenizer(tmp_path)


def test_a_tokenizer_whose_pad_is_its_eos_is_refused(tmp_path):
    broken = toys.tokenizer()
    broken.pad_token = broken.eos_token
    broken.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="PAD token that is not EOS"):
        loading.load_tokenizer(tmp_path)


def test_a_gpu_that_is_not_there_is_said_so():
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ValueError, match=r"runtime\.device"):
        placement.prepare(toys.runtime().model_copy(update={"device": "cuda"}), seed=0)


def test_prepare_seeds_torch_and_sets_its_threads():
    placement.prepare(toys.runtime(), seed=5)
    first = torch.rand(3)
    placement.prepare(toys.runtime(), seed=5)
    assert torch.equal(torch.rand(3), first)
    assert torch.get_num_threads() == 1
    assert torch.are_deterministic_algorithms_enabled()


def test_bfloat16_is_for_forward_passes_only(policy, tokenizer):
    batch = alone(ROWS[0])
    exact = forward.completion_states(policy, *batch, last(batch.mask, 2))
    with placement.precision(toys.runtime("bfloat16")):
        states = forward.completion_states(policy, *batch, last(batch.mask, 2))
    assert {weight.dtype for weight in policy.parameters()} == {torch.float32}
    assert 1e-4 < (states - exact).abs().max().item() < 0.3
    with placement.precision(toys.runtime()):
        assert torch.equal(forward.completion_states(policy, *batch, last(batch.mask, 2)), exact)


def test_what_is_saved_does_not_say_whether_the_hub_was_reachable(policy, tokenizer, tmp_path):
    folder = toys.save(tmp_path, policy, tokenizer)
    made = []
    for offline in ("0", "1"):
        program = (
            "import sys; from pathlib import Path; from rlhf.models import loading\n"
            "loading.read_tokenizer(sys.argv[1]).save_pretrained(sys.argv[2])"
        )
        at = tmp_path / f"saved{offline}"
        command = [sys.executable, "-c", program, str(folder), str(at)]
        subprocess.run(command, cwd=toys.REPO, env=os.environ | {"HF_HUB_OFFLINE": offline}, check=True)
        made.append({file.name: file.read_bytes() for file in at.iterdir()})
    assert made[0] == made[1]


@pytest.mark.parametrize("reads", [loading.read_tokenizer, loading.read_config])
def test_a_folder_that_is_not_there_is_named_so(tmp_path, reads):
    with pytest.raises(ValueError, match=rf"{tmp_path}/missing: no such folder"):
        reads(tmp_path / "missing")

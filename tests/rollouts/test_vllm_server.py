"""A stand-in for vLLM's server, in a process of its own with weights of its own: it draws what the policy would."""

import json
import os
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest
import requests
import torch

from rlhf.models import loading
from rlhf.rollouts import buckets
from rlhf.rollouts.vllm_server import VllmServer
from stages import ppo
from tests import loopback, notebook, stand_in, toys
from tests.rollouts import asking
from tests.rollouts.asking import TEXTS, asked, largest_gap, sync

TENSOR = "model.layers.1.self_attn.q_proj.weight"


def connected(port: int, policy, kind=VllmServer) -> VllmServer:
    return kind(f"http://127.0.0.1:{port}/", 0.01, 4, policy.config.vocab_size)


@pytest.fixture
def policy(tokenizer):
    return toys.policy(tokenizer)


@pytest.fixture
def here(tokenizer):
    """A server of this process on other weights, and its port."""
    engine = stand_in.Engine(toys.policy(tokenizer, seed=7))
    server = stand_in.serve(engine)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield SimpleNamespace(port=server.server_port, engine=engine)
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def elsewhere(tokenizer, tmp_path_factory):
    """The port of a server in a process of its own, which has read a folder of weights by transformers."""
    folder = toys.save(tmp_path_factory.mktemp("served") / "model", toys.policy(tokenizer, seed=7), tokenizer)
    environment = os.environ | {"PYTHONPATH": str(toys.REPO), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.stand_in", str(folder)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, env=environment, text=True, **pipes) as process:
        yield int(process.stdout.readline())
        process.stdin.close()


@pytest.mark.process
def test_a_ppo_run_by_a_server_of_another_process_stays_with_the_trainers_weights(elsewhere, root, tokenizer):
    """Each update is larger than what the bound allows: weights that were not sent would be seen at once."""
    toys.save(root / "data/sft", toys.policy(tokenizer, spread=0.1), tokenizer)
    toys.save(root / "data/reward_model/r1", toys.reward_model(tokenizer, spread=0.1), tokenizer)
    content = toys.read_yaml(root / "params.yaml")
    address = {"engine": "vllm_server", "url": f"http://127.0.0.1:{elsewhere}", "concurrent_requests": 4}
    content["ppo"]["rollouts"] = address | {"bucket_mb": 0.02, "max_weight": 2.0, "max_gap": 1e-4}
    content["ppo"] |= {"iterations": 4, "reward_centring": 0}
    content["ppo"]["policy_optimisation"] |= {"learning_rate": 0.01, "warmup_steps": 0, "schedule": "constant"}
    toys.write_params(root, content)
    ppo.main(root, "r1")
    curve = [*notebook.curve_of(root / "metrics/plots/ppo/r1.csv").values()]
    assert all(0 <= point["rollout_gap"] <= point["rollout_gap_max"] < 1e-5 for point in curve)
    assert all(abs(point["rollout_kl"]) < 1e-8 and point["rollout_at_bound"] == 0 for point in curve)
    assert curve[-1]["kl_exact"] > 1e-3  # the policy has moved
    metrics = json.loads((root / "metrics/ppo/r1.json").read_text())["ppo"]["r1"]
    assert {"rollout_gap", "rollout_gap_max", "rollout_kl", "rollout_weight", "rollout_at_bound"} <= metrics.keys()
    learned = loading.load_causal(root / "data/ppo/r1", toys.runtime())
    assert not torch.equal(
        learned.get_input_embeddings().weight, toys.policy(tokenizer, spread=0.1).get_input_embeddings().weight
    )
    assert requests.get(f"http://127.0.0.1:{elsewhere}/stand_in", timeout=10).json()["resets"] == 4


@pytest.mark.process
def test_after_each_sync_another_process_says_what_the_policy_says(elsewhere, policy, tokenizer):
    server = connected(elsewhere, policy)
    for version in (1, 2, 3):
        asking.changed(policy, version)
        sync(server, version, policy)
        answers = asked(server, tokenizer, temperature=0.7)
        assert answers.version == version
        assert largest_gap(policy, tokenizer, answers, 0.7) < 1e-5
    assert asked(server, tokenizer, rows=[2]).token_ids[0] == asked(server, tokenizer).token_ids[2]
    server.close()


class OnTheWay(VllmServer):
    """A way on which something happens to one tensor: `change(tensors)` is what arrives of a bucket's."""

    change = staticmethod(lambda tensors: tensors)

    def take(self, session, bucket) -> None:
        super().take(session, bucket._replace(tensors=self.change(dict(bucket.tensors))))


def tampered(tensors: dict, **others) -> dict:
    return {name: others.get(name, one) for name, one in tensors.items()}


@pytest.mark.process
@pytest.mark.parametrize("what", ["dropped", "stale", "permuted", "exchanged"])
def test_a_tensor_that_is_not_the_trainers_is_named_by_another_process(elsewhere, policy, tokenizer, what):
    server = connected(elsewhere, policy, OnTheWay)
    sync(server, 1, policy)
    earlier = policy.get_parameter(TENSOR).detach().clone()
    asking.changed(policy, 2)
    other = policy.get_parameter(TENSOR.replace("q_proj", "o_proj")).detach()
    server.change = {
        "dropped": lambda tensors: {name: one for name, one in tensors.items() if name != TENSOR},
        "stale": lambda tensors: tampered(tensors, **{TENSOR: earlier}),
        "permuted": lambda tensors: tampered(tensors, **{TENSOR: policy.get_parameter(TENSOR).detach().flip(0)}),
        "exchanged": lambda tensors: tampered(tensors, **{TENSOR: other}),
    }[what]
    with pytest.raises(ValueError, match=f"vLLM's worker 0: ValueError: {TENSOR}: "):
        sync(server, 2, policy)
    with pytest.raises(ValueError, match="holds version None of the weights after it has answered, and 1 was sent"):
        asked(server, tokenizer)
    server.change = lambda tensors: tensors
    sync(server, 2, policy)
    assert largest_gap(policy, tokenizer, asked(server, tokenizer)) < 1e-5
    server.close()


def test_a_server_draws_by_our_rules(here, policy, tokenizer):
    server = connected(here.port, policy)
    sync(server, 1, policy)
    first = asked(server, tokenizer)
    assert asked(server, tokenizer) == first
    turned = asked(server, tokenizer, rows=[*reversed(range(len(TEXTS)))])
    assert turned.token_ids[::-1] == first.token_ids
    ends = (first.token_ids[0][1], first.token_ids[2][2])
    for ids in asked(server, tokenizer, end_ids=ends, most_tokens=12).token_ids:
        assert not {*ids[:-1]} & {*ends}
        assert len(ids) == 12 or ids[-1] in ends
    known = len(tokenizer) - 100
    assert max(map(max, asked(server, tokenizer, temperature=2.0, num_tokens=known).token_ids)) < known
    assert here.engine.last["model"] == "policy"
    server.close()


def test_prompts_that_were_read_by_other_weights_are_forgotten(here, policy, tokenizer):
    server = connected(here.port, policy)
    for version in (1, 2):
        sync(server, version, policy)
        assert here.engine.num_resets == version
        asked(server, tokenizer)
        asking.changed(policy, version)
    salts = {here.engine.last["cache_salt"]}
    sync(server, 3, policy)
    asked(server, tokenizer)
    assert here.engine.last["cache_salt"] not in salts
    server.close()


def test_a_server_that_another_trainer_takes_is_noticed(here, policy, tokenizer):
    server, other = connected(here.port, policy), connected(here.port, policy)
    sync(server, 3, policy)
    sync(other, 1, policy)  # a new trainer counts anew
    with pytest.raises(ValueError, match="holds version None of the weights .* another trainer has taken it"):
        asked(server, tokenizer)
    with pytest.raises(ValueError, match="weights of version 1 are stale"):
        sync(other, 1, policy)


def test_buckets_are_no_larger_than_they_may_be(here, policy, monkeypatch):
    sizes = []
    real = buckets.to_text

    def noting(bucket):
        sizes.append(sum(one.nbytes for one in bucket.tensors.values()))
        return real(bucket)

    monkeypatch.setattr(buckets, "to_text", noting)
    sync(connected(here.port, policy), 1, policy)
    largest = max(weight.nbytes for weight in policy.parameters())
    assert len(sizes) > 3
    assert max(sizes) <= max(largest, 0.01 * 2**20)
    assert sum(sizes) == sum(weight.nbytes for weight in policy.parameters())


def test_nobody_at_the_address_is_said_with_how_to_start_one(policy):
    with pytest.raises(
        OSError, match=r"ppo.rollouts.url: http://127.* does not answer .*VLLM_SERVER_DEV_MODE=1 .*vllm serve"
    ):
        connected(loopback.free_port(), policy)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (loopback.Answer(404), "not there; vLLM has it in its development mode"),
        (loopback.Answer(500, b"out of memory"), "status 500: out of memory"),
        (loopback.Answer(302), "status 302"),
    ],
)
def test_a_server_that_is_none_of_vllm_in_its_development_mode_is_said(policy, answer, message):
    models = loopback.Answer(200, b'{"data": [{"id": "policy"}]}')
    with loopback.serving(lambda path: models if path == "/v1/models" else answer) as port:
        server = connected(port, policy)
        with pytest.raises(ValueError, match=message):
            sync(server, 1, policy)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"logprobs": {"token_logprobs": [0.0]}}, "no token_ids or no logprobs"),
        ({"token_ids": [5, 6], "logprobs": {"token_logprobs": [0.0]}}, "of 2 tokens has 1 log-prob"),
        ({"token_ids": [], "logprobs": {"token_logprobs": []}}, "of 0 tokens, where 1 to 10"),
        ({"token_ids": [5, 6], "logprobs": {"token_logprobs": [0.0, 0.0]}}, "stopped after 2 tokens without an end"),
        ({"token_ids": [5] * 11, "logprobs": {"token_logprobs": [0.0] * 11}}, "of 11 tokens, where"),
        ({"token_ids": ["end", 5], "logprobs": {"token_logprobs": [0.0, 0.0]}}, "goes on behind its end"),
        (
            {"token_ids": [900, "end"], "logprobs": {"token_logprobs": [0.0, 0.0]}},
            "has the id 900, and ids from 300 on",
        ),
    ],
)
def test_an_answer_by_other_rules_is_refused(here, policy, tokenizer, choice, message, monkeypatch):
    server = connected(here.port, policy)
    sync(server, 1, policy)
    if "token_ids" in choice:
        ids = [tokenizer.eos_token_id if token == "end" else token for token in choice["token_ids"]]
        choice = choice | {"token_ids": ids}
    monkeypatch.setattr(server, "_json", lambda *_: {"choices": [choice]})
    with pytest.raises(ValueError, match=message):
        asked(server, tokenizer, num_tokens=300)

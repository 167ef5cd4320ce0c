"""Weights on their way: what a manifest says, and what of them is not taken."""

import pytest
import torch

from rlhf.lora import attaching
from rlhf.models import whole_weights
from rlhf.params.optimisation import Lora
from rlhf.rollouts import buckets, sharing
from rlhf.rollouts.buckets import Line
from rlhf.rollouts.receiving import Receiver
from tests import toys


def tensors(seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = {"a": (4, 6), "b": (4, 6), "c": (6, 6), "low": (8,)}
    made = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    return made | {"low": made["low"].bfloat16()}


class Held:
    """An engine's model: it takes tensors by their names, or fails to."""

    def __init__(self, deaf: str | None = None):
        self.tensors, self.deaf = {name: torch.zeros_like(one) for name, one in tensors().items()}, deaf
        self.receiver = Receiver(self.put, self.tensors.get)

    def put(self, weights) -> None:
        for name, tensor in weights:
            if name != self.deaf:
                self.tensors[name].copy_(tensor)


class Tampering:
    """Stands between sender and receiver, and changes what one bucket holds."""

    def __init__(self, receiver: Receiver, change):
        self.receiver, self.change = receiver, change
        self.begin, self.finish = receiver.begin, receiver.finish

    def take(self, session, bucket) -> None:
        changed = self.change(bucket)
        if changed is not None:
            self.receiver.take(session, changed)


def send(target, version: int = 1, weights=None, mb: float = 1.0, session: str = "one") -> None:
    sharing.send(target, session, version, (weights or tensors(version)).items(), mb)


@pytest.mark.parametrize("mb", [1e-6, 150 / 2**20, 1.0])
def test_what_is_sent_is_held(mb):
    held = Held()
    for version in (1, 2):
        send(held.receiver, version, mb=mb)
        assert held.receiver.version == version
        assert all(torch.equal(held.tensors[name], one) for name, one in tensors(version).items())


def test_buckets_are_as_large_as_they_may_be_and_no_larger():
    sizes = [len(one.tensors) for one in buckets.cut(1, tensors().items(), 192)]  # a and b have 96 bytes each
    assert sizes == [2, 2]
    assert [len(one.tensors) for one in buckets.cut(1, tensors().items(), 1)] == [1, 1, 1, 1]
    with pytest.raises(ValueError, match="a: the policy's weights have this name twice"):
        list(buckets.cut(1, [*tensors().items()] * 2, 1000))


def test_a_bucket_comes_back_from_its_text():
    (bucket,) = buckets.cut(7, tensors().items(), 1000)
    back = buckets.from_text(buckets.to_text(bucket))
    assert back[:3] == bucket[:3]
    assert all(torch.equal(back.tensors[name], one) for name, one in bucket.tensors.items())
    assert {Line.of(name, one) for name, one in back.tensors.items()} == {*bucket.lines}


def test_a_checksum_tells_every_number_and_its_place():
    one = torch.randn(50, 40)
    turned, swapped, changed = one.clone(), one.clone(), one.clone()
    swapped[[3, 7]] = one[[7, 3]]
    changed[0, 0] = torch.nextafter(changed[0, 0], torch.tensor(9.0))
    others = [turned.T.contiguous().view(50, 40), swapped, changed, one.flip(0), one.roll(1), -one, one * 0]
    assert len({buckets.checksum(each) for each in (one, *others)}) == 1 + len(others)
    assert buckets.checksum(one.clone()) == buckets.checksum(one)
    assert buckets.checksum(one.T) == buckets.checksum(one.T.contiguous())  # of the numbers, however they lie


def test_a_checksum_is_that_of_its_parts(monkeypatch):
    one = torch.randn(1000)
    whole = buckets.checksum(one)
    monkeypatch.setattr(buckets, "AT_ONCE", 64)
    assert buckets.checksum(one) == whole


def without(name):
    def change(bucket):
        return bucket._replace(tensors={key: one for key, one in bucket.tensors.items() if key != name})

    return change


def replaced(name, by):
    def change(bucket):
        changed = {key: by(bucket) if key == name else one for key, one in bucket.tensors.items()}
        return bucket._replace(tensors=changed)

    return change


CHANGES = {
    "dropped": (without("b"), "b: it is not in bucket 0"),
    "stale": (replaced("b", lambda _: tensors(1)["b"]), "b: checksum .* was sent"),
    "another one's": (replaced("b", lambda bucket: bucket.tensors["a"]), "b: checksum"),
    "permuted": (replaced("b", lambda bucket: bucket.tensors["b"].flip(0)), "b: checksum"),
    "turned": (replaced("c", lambda bucket: bucket.tensors["c"].T), "c: checksum"),
    "of another shape": (replaced("b", lambda bucket: bucket.tensors["b"].T), r"b: shape \(6, 4\), and \(4, 6\)"),
    "rounded": (replaced("c", lambda bucket: bucket.tensors["c"].bfloat16()), "c: dtype bfloat16, and float32"),
    "one more": (lambda bucket: bucket._replace(tensors=bucket.tensors | {"d": torch.ones(1)}), "d: bucket 0 has it"),
    "a whole bucket dropped": (lambda _: None, "version 2 came without a, b, c, low"),
    "of another version": (lambda bucket: bucket._replace(version=1), "a, b, c, low: of version 1, and 2 is arriving"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_does_not_arrive_as_it_was_sent_is_named_and_nothing_is_held(change):
    held = Held()
    send(held.receiver, 1)
    tamper, message = CHANGES[change]
    with pytest.raises(ValueError, match=message):
        send(Tampering(held.receiver, tamper), 2)
    assert held.receiver.version is None
    send(held.receiver, 2)  # and sent again, it is
    assert held.receiver.version == 2


def test_one_of_several_buckets_that_is_lost_is_named():
    held = Held()
    with pytest.raises(ValueError, match="version 1 came without b$"):
        send(Tampering(held.receiver, lambda bucket: None if "b" in bucket.tensors else bucket), mb=1e-6)


def test_a_tensor_that_the_model_did_not_take_is_named():
    held = Held(deaf="c")
    with pytest.raises(ValueError, match="c: checksum .*: the model did not take it"):
        send(held.receiver)
    assert held.receiver.version is None


def test_an_older_version_and_another_trainer_are_refused():
    held = Held()
    send(held.receiver, 5)
    for version in (4, 5):
        with pytest.raises(ValueError, match=f"weights of version {version} are stale: version 5 was here"):
            send(held.receiver, version)
    send(held.receiver, 1, session="two")  # a new run counts anew
    (bucket,) = buckets.cut(1, tensors().items(), 1000)
    with pytest.raises(ValueError, match="from trainer one, and two is served"):
        held.receiver.take("one", bucket)


def test_a_bucket_that_comes_twice_is_refused():
    held = Held()
    held.receiver.begin("one", 1)
    (bucket,) = buckets.cut(1, tensors().items(), 1000)
    held.receiver.take("one", bucket)
    with pytest.raises(ValueError, match="a: it arrived twice"):
        held.receiver.take("one", bucket)
    with pytest.raises(ValueError, match="version 1 has low, which its manifest does not name"):
        held.receiver.finish(bucket.lines[:-1])
    other = [line._replace(checksum=1) if line.name == "a" else line for line in bucket.lines]
    with pytest.raises(ValueError, match="a: checksum .* and 1 was sent"):
        held.receiver.finish(other)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_a_policy_is_published_whole_and_tied_weights_once(tokenizer, family):
    policy = toys.policy(tokenizer, family)
    names = dict(whole_weights.merged(policy))
    assert names.keys() == dict(policy.named_parameters()).keys()
    assert not any(name.startswith("lm_head") for name in names)
    assert all(torch.equal(one, dict(policy.named_parameters())[name]) for name, one in names.items())
    assert not any(one.requires_grad for one in names.values())


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_adapters_are_published_as_they_are_merged(tokenizer, family):
    policy, merged = (toys.policy(tokenizer, family) for _ in range(2))
    lora = Lora(rank=4, alpha=8.0, dropout=0.0, target_modules="all-linear", save="merged")
    for model in (policy, merged):
        attaching.attach(model, lora, torch.Generator().manual_seed(0))
        with torch.no_grad():
            for name, weight in model.named_parameters():
                if ".lora_B." in name:
                    weight.copy_(torch.linspace(-1, 1, weight.numel()).view(weight.shape))
    attaching.merge(merged)
    expected, found = dict(whole_weights.named(merged)), dict(whole_weights.merged(policy))
    assert found.keys() == expected.keys()
    for name, weight in expected.items():
        assert torch.equal(found[name], weight), name

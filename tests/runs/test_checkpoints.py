"""States of training: a loop that was broken off goes on to the same bytes; damaged or foreign states are not used."""

import errno
import hashlib
import inspect
import io
import os
import resource
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

import pytest
import torch

from rlhf.dpo import objective
from rlhf.params.ppo import Ppo
from rlhf.params.pretrain import Scratch
from rlhf.params.reward_model import RewardModel
from rlhf.params.sft import Sft
from rlhf.params.training.dpo import Dpo
from rlhf.preferences import preference_training
from rlhf.rl.loop_state import Data
from rlhf.runs import checkpoints, launch
from rlhf.runtime import interrupts
from rlhf.training import language_modelling, supervised
from stages import dpo, feedme, judge, ppo, pretrain, rejection, reward_model, sft
from tests import toys
from tests.breaking import broken_off

RUNTIME = toys.runtime()


def states(folder, every_seconds: float = 0.0) -> checkpoints.States:
    return checkpoints.States(folder / "states", every_seconds)


def bits(*models) -> list[bytes]:
    return [weight.detach().numpy().tobytes() for model in models for weight in model.parameters()]


class Loop:
    """A training loop of one kind; every call of `start` makes its models anew."""

    def __init__(self, kind: str, tokenizer, folder):
        self.kind, self.tokenizer, self.folder, self.models = kind, tokenizer, folder, []

    def start(self, kept: checkpoints.States):
        return getattr(self, self.kind.split("_")[0])(kept)

    def pretrain(self, kept):
        momentum = None if self.kind == "pretrain_adamw" else 0.9
        chosen = toys.section(Scratch, "pretrain", copying_steps=2, tokens=16 * 8 * 4, muon_momentum=momentum)
        self.models = [toys.policy(self.tokenizer, spread=0.05)]
        rows = language_modelling.sequences(language_modelling.token_stream(self.tokenizer, toys.TEXTS), 16)
        return pretrain.train(self.models[0], rows, chosen, RUNTIME, 1, kept)

    def sft(self, kept):
        chosen = toys.section(Sft, "sft", dropout=0.2, select="best_validation", epochs=3)
        model = toys.policy(self.tokenizer, "gpt2")
        for part in model.modules():
            if isinstance(part, torch.nn.Dropout):
                part.p = 0.2
        self.models = [model]
        examples = supervised.encode(self.tokenizer, toys.demonstrations(8), 48).examples
        return supervised.train(model, supervised.Data(examples, examples[:3]), chosen, RUNTIME, 2, kept)

    def reward(self, kept):
        chosen = toys.section(RewardModel, "reward_model", epochs=3)
        self.models = [toys.reward_model(self.tokenizer)]
        groups = preference_training.encode(self.tokenizer, toys.comparisons(7), chosen).groups
        return preference_training.train(self.models[0], groups, chosen, RUNTIME, 3, kept)

    def dpo(self, kept):
        chosen = toys.section(Dpo, "dpo", epochs=3)
        self.models = [toys.policy(self.tokenizer)]
        groups = preference_training.encode(self.tokenizer, toys.comparisons(7), chosen).groups
        examples = objective.with_reference(self.models[0], groups, chosen, RUNTIME)
        turned = [one._replace(pairs=[(worse, better) for better, worse in one.pairs]) for one in examples[:3]]
        data = dpo.Data(examples, turned)  # its first epoch is best
        return dpo.train(self.models[0], data, chosen, RUNTIME, 5, kept)

    def ppo(self, kept):
        knobs = {"iterations": 5, "ema_decay": 0.7, "ptx_coef": 0.5, "batch_size": 8, "minibatch_size": 4}
        knobs |= {"kl_controller": {"kind": "adaptive", "target": 0.5, "horizon": 50}}
        if self.kind == "ppo_warmup":  # broken off within it, at its end and after it
            knobs |= {"value_warmup": 3, "iterations": 2, "answers_per_prompt": 2, "prompt_baseline": True}
        chosen = toys.section(Ppo, "ppo", **knobs)
        models = toys.models(self.tokenizer, self.folder / "reward_model", "gpt2")
        self.models = [models.policy, models.value_model]
        rows = language_modelling.sequences(language_modelling.token_stream(self.tokenizer, toys.TEXTS), 16)
        prompts = ppo.tokenised(self.tokenizer, toys.prompts(10), chosen)
        return ppo.train(models, Data(prompts, rows), chosen, RUNTIME, 4, kept)


@pytest.fixture(params=["pretrain_muon", "pretrain_adamw", "sft", "reward", "dpo", "ppo", "ppo_warmup"])
def loop(request, tokenizer, tmp_path) -> Loop:
    return Loop(request.param, tokenizer, tmp_path)


def test_a_loop_broken_off_again_and_again_ends_in_the_same_bytes(loop, tmp_path):
    whole = list(loop.start(checkpoints.NONE))
    expected = bits(*loop.models)
    assert len(whole) >= 5
    for steps in (1, 3, 4):
        torch.rand(steps)  # what other code draws changes nothing
        assert list(islice(loop.start(states(tmp_path)), steps)) == whole[:steps]
        assert bits(*loop.models) != expected
    kept = states(tmp_path)
    assert kept.points == whole[:4]
    assert list(loop.start(kept)) == whole
    assert bits(*loop.models) == expected
    again = states(tmp_path)  # killed after the last step
    assert list(loop.start(again)) == whole
    assert bits(*loop.models) == expected


def test_keeping_states_changes_no_byte(loop, tmp_path):
    whole = list(loop.start(checkpoints.NONE))
    expected = bits(*loop.models)
    assert list(loop.start(states(tmp_path))) == whole
    assert bits(*loop.models) == expected
    assert checkpoints.NONE.points == []


def parts(step: float) -> dict:
    return {"kept": {"step": step, "weights": {"w": torch.full((4,), float(step))}, 5: [None, 0.1, ("a", 2)]}}


def restored(found: checkpoints.States) -> dict:
    """Return what the parts hold after they were given the state that was found."""
    new = parts(0)
    found.restore(new)
    return new["kept"]


@pytest.fixture
def kept(tmp_path) -> checkpoints.States:
    """States of three steps, of which the last two are there."""
    made = states(tmp_path)
    for step in range(1, 4):
        made.keep({"step": step}, parts(step), last=False)
    return made


def test_a_tree_comes_back_as_it_was_saved(kept, tmp_path):
    found = states(tmp_path)
    assert found.points == [{"step": 1}, {"step": 2}, {"step": 3}]
    tree = restored(found)
    assert tree["weights"]["w"].tolist() == [3.0] * 4
    assert (tree["step"], tree[5]) == (3, [None, 0.1, ("a", 2)])
    assert restored(found)["step"] == 0  # once: then the parts stay as they are
    assert len(list((tmp_path / "states").iterdir())) == checkpoints.KEPT == 2


@pytest.mark.parametrize("place", [0, 0.3, 0.99])
@pytest.mark.parametrize("how", ["flipped", "torn"])
def test_a_damaged_state_is_named_and_the_one_before_it_used(kept, tmp_path, capsys, how, place):
    file = max((tmp_path / "states").iterdir())
    content = bytearray(file.read_bytes())
    at = int(place * len(content))
    if how == "flipped":
        content[at] ^= 4
    else:
        del content[at:]
    file.write_bytes(content)
    found = states(tmp_path)
    assert found.points == [{"step": 1}, {"step": 2}]
    assert restored(found)["step"] == 2
    assert file.name in capsys.readouterr().err
    found.keep({"step": 2.5}, parts(2.5), last=False)  # the damaged one takes no good one's place
    assert len(list((tmp_path / "states").glob("*.pt"))) == 2
    assert restored(states(tmp_path))["step"] == 2.5


def test_with_all_states_damaged_training_begins_anew(kept, tmp_path, capsys):
    for file in (tmp_path / "states").iterdir():
        file.write_bytes(b"")
    found = states(tmp_path)
    assert (found.points, restored(found)["step"]) == ([], 0)
    assert capsys.readouterr().err.count("a damaged state") == 2


@contextmanager
def full_disk() -> Iterator[None]:
    """Let no file grow beyond a page; no longer than the block, for pytest's own output is a file as well."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_costs_a_warning_and_no_state(kept, tmp_path, capsys):
    before = toys.file_bytes(tmp_path / "states")
    with full_disk():
        kept.keep({"step": 4}, {"kept": {"weights": torch.zeros(10_000)}}, last=True)
    assert toys.file_bytes(tmp_path / "states") == before
    assert os.strerror(errno.EFBIG) in capsys.readouterr().err


class Pickled:
    """Makes a folder when it is loaded."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def test_a_state_that_holds_code_is_set_aside_and_the_code_not_run(kept, tmp_path, capsys):
    content = io.BytesIO()
    torch.save({"points": [{"step": 4}], "tree": Pickled(tmp_path / "made")}, content)
    digest = hashlib.sha256(content.getvalue()).hexdigest()[:32]
    (tmp_path / f"states/00000004.{digest}.pt").write_bytes(content.getvalue())
    assert states(tmp_path).points == [{"step": 1}, {"step": 2}, {"step": 3}]
    assert "no code in it was run" in capsys.readouterr().err
    assert not (tmp_path / "made").exists()


def test_states_are_kept_when_time_has_passed_and_at_the_end(tmp_path, monkeypatch):
    moment = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: moment[0])
    made = states(tmp_path, every_seconds=10.0)
    newest = []
    for step in range(1, 7):
        moment[0] += 4
        made.keep({"step": step}, parts(step), last=step == 6)
        newest.append(len(states(tmp_path).points))
    assert newest == [0, 0, 3, 3, 3, 6]


@pytest.fixture
def ready(root, tokenizer):
    """A root on which sft can run, keeping a state after every step."""
    from rlhf.tokens import chat

    base_tokenizer = toys.tokenizer()
    base_tokenizer.chat_template = chat.BASE_TEMPLATE
    toys.save(root / "data/pretrain", toys.policy(base_tokenizer, spread=0.1), base_tokenizer)
    toys.set_param(root, "checkpoints.every_seconds", 0.0)
    return root


def written(root) -> dict[str, bytes]:
    return toys.file_bytes(root / "data/sft") | toys.file_bytes(root / "metrics")


def test_a_stage_goes_on_to_the_same_bytes_and_removes_its_states(ready, tmp_path, monkeypatch, capsys):
    other = tmp_path / "other"
    shutil.copytree(ready, other)
    sft.main(other)
    broken_off(monkeypatch, 2, lambda: sft.main(ready))
    assert not (ready / "data/sft").exists()
    capsys.readouterr()
    sft.main(ready)
    assert "goes on after step 2" in capsys.readouterr().out
    assert written(ready) == written(other)
    assert not list((ready / ".checkpoints").rglob("*.pt"))


CHANGES = {
    "a param": lambda root, _: toys.set_param(root, "sft.optimisation.learning_rate", 0.5),
    "the data": lambda root, _: toys.records.write(
        root / "data/collect_prompts/demonstrations.train.jsonl", toys.demonstrations(7)
    ),
    "the base": lambda root, _: (root / "data/pretrain/config.json").open("a").write("\n"),
    "the code": lambda _, patched: patched.setattr(checkpoints, "CODE", ("tests",)),
    "a library": lambda root, patched: patched.setattr(checkpoints.torch, "__version__", "99"),
    "processes": lambda root, patched: patched.setattr(checkpoints.distributed, "count", lambda: 2),
}


@pytest.mark.parametrize("what", list(CHANGES))
def test_states_of_other_params_data_code_or_versions_are_not_used(ready, monkeypatch, capsys, what):
    broken_off(monkeypatch, 2, lambda: sft.main(ready))
    params = toys.read_yaml(ready / "params.yaml")
    with monkeypatch.context() as patched:
        CHANGES[what](ready, patched)
        chosen = sft.load(ready, sft.SftInputs)
        source = ready / "data/collect_prompts"
        inputs = [source / "demonstrations.train.jsonl", source / "demonstrations.validation.jsonl"]
        found = checkpoints.opened(ready, "sft", chosen, [*inputs, ready / "data/pretrain"])
        assert found.points == []
        assert "not used" in capsys.readouterr().out
    assert params["checkpoints"] == {"every_seconds": 0.0}


def test_a_second_process_with_the_same_training_keeps_none(ready, capsys):
    chosen = sft.load(ready, sft.SftInputs)
    first = checkpoints.opened(ready, "sft", chosen, [])
    second = checkpoints.opened(ready, "sft", chosen, [])
    assert (first.key != "", second.key) == (True, "")
    assert "another process" in capsys.readouterr().err


def test_null_keeps_none(ready):
    toys.set_param(ready, "checkpoints.every_seconds", None)
    sft.main(ready)
    assert not (ready / ".checkpoints").exists()


def test_sigterm_keeps_the_state_of_the_step_and_ends(ready, monkeypatch, capsys):
    """A training that keeps states seldom is told to stop in its second step; the next start goes on from there."""
    toys.set_param(ready, "checkpoints.every_seconds", 1000.0)
    keep = checkpoints.States.keep

    def told_to_stop(self, point, parts, last):
        if point["step"] == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        keep(self, point, parts, last)

    monkeypatch.chdir(ready)
    monkeypatch.setattr(sys, "argv", ["sft.py"])
    monkeypatch.setattr(checkpoints.States, "keep", told_to_stop)
    with pytest.raises(SystemExit, match=str(interrupts.CODE)):
        launch.run("sft", sft.main)
    assert "sft  killed" in capsys.readouterr().out
    (file,) = (ready / ".checkpoints").rglob("*.pt")
    assert int(file.name.split(".")[0]) == 2
    monkeypatch.setattr(checkpoints.States, "keep", keep)
    launch.run("sft", sft.main)
    assert "goes on after step 2" in capsys.readouterr().out


def test_every_training_stage_keeps_states():
    for stage in (pretrain, sft, reward_model, ppo, feedme, rejection, dpo, judge):
        assert "open_stage(" in inspect.getsource(stage.main)

"""The stage `rejection`: fine-tuning on the best of several answers, as the reward picks them."""

import json
import shutil

import pytest
import torch

from rlhf.models import loading
from rlhf.rewards import weighted
from rlhf.sampling.rollouts import Response
from rlhf.tokens import chat
from rlhf.training import left_out
from stages import rejection
from tests import toys
from tests.breaking import broken_off


class Likes:
    """A scorer by a rule that a person can follow: the share of a letter."""

    def __init__(self, letter: str):
        self.letter, self.asked = letter, []

    def score_texts(self, messages, responses, batch_size=1):
        self.asked += [(turns[-1]["content"], text) for turns, text in zip(messages, responses, strict=True)]
        return [text.count(self.letter) / 10 for text in responses]


def answers(*texts: str) -> list[Response]:
    """Return answers; one that goes on with ... has no end."""
    return [Response(text, [7] * len(text) + [1], not text.endswith("...")) for text in texts]


def picked(given: list[list[Response]], letter: str = "a") -> rejection.Picked:
    return rejection.pick(toys.prompts(len(given)), given, weighted.alone(Likes(letter)), 8)


def test_each_prompts_answer_of_the_highest_reward_is_learned_and_the_first_of_equals():
    given = [answers("ab", "aab", "abb"), answers("bb", "b", "ba"), answers("ab", "ba", "b")]
    found = picked(given)
    assert [record["response"] for record in found.demonstrations] == ["aab", "ba", "ab"]
    asked = toys.prompts(3)
    assert [record["messages"] for record in found.demonstrations] == [prompt["messages"] for prompt in asked]
    assert all(record["kind"] == "demonstration" and "task" not in record for record in found.demonstrations)
    assert [record["response"] for record in picked(given, "b").demonstrations] == ["abb", "bb", "ab"]


def test_an_answer_without_an_end_is_never_learned_and_all_that_is_left_out_is_counted():
    """The second prompt has none but such; the first one's best by reward is one."""
    given = [answers("a", "aaaa...", "b"), answers("a...", "aa...", "b..."), answers("ab", "b", "aab")]
    found = picked(given)
    assert [record["id"] for record in found.demonstrations] == ["toy-0", "toy-2"]
    assert [record["response"] for record in found.demonstrations] == ["a", "aab"]
    assert found.counts == {
        "prompts": 3, "answers": 9, "answers_without_end": 4, "prompts_without_ended_answer": 1,
        "score": pytest.approx((0.1 + 0 + 0.1 + 0 + 0.2) / 5), "score_of_picked": pytest.approx(0.15),
    }  # fmt: skip


def test_each_answer_is_scored_behind_its_own_prompt_and_its_end_is_no_token_of_it():
    likes, given = Likes("a"), [answers("a", "b"), answers("aa", "b")]
    summed = weighted.RewardSum((weighted.Part("likes", 1.0, likes), weighted.Part("answer_tokens", -1.0, None)))
    found = rejection.pick(toys.prompts(2), given, summed, 8)
    asked = [prompt["messages"][-1]["content"] for prompt in toys.prompts(2)]
    assert likes.asked == [(asked[0], "a"), (asked[0], "b"), (asked[1], "aa"), (asked[1], "b")]
    assert [record["response"] for record in found.demonstrations] == ["a", "b"]
    assert found.counts["score_of_picked"] == pytest.approx((0.1 - 1 + 0 - 1) / 2)


@pytest.mark.parametrize("given", [[answers("a...", "b...")] * 3, [answers("a", "b"), answers("a...", "b...")]])
def test_where_hardly_any_answer_ends_it_says_what_to_raise(given):
    with pytest.raises(ValueError, match=r"got an answer that ends within rejection\.max_completion_tokens.*raise it"):
        picked(given)


def test_some_prompts_are_held_out_the_same_in_any_order():
    found = [rejection.learned(prompt, "red.") for prompt in toys.prompts(20)]
    training, held_out = rejection.split(found, 0.25, seed=3)
    assert (len(training), len(held_out)) == (15, 5)
    assert sorted(record["id"] for record in training + held_out) == sorted(record["id"] for record in found)
    assert rejection.split(found[::-1], 0.25, seed=3) == (training, held_out)
    assert rejection.split(found, 0.25, seed=4)[1] != held_out
    assert [len(part) for part in rejection.split(found[:2], 0.001, seed=3)] == [1, 1]
    assert [len(part) for part in rejection.split(found[:2], 0.999, seed=3)] == [1, 1]


def prepared(root, tokenizer):
    """Give the root prompts, a reward model, and a policy that ends some of its answers in time."""
    toys.save(root / "data/sft", toys.ending_policy(tokenizer), tokenizer)
    toys.save(root / "data/reward_model/r1", toys.reward_model(tokenizer, spread=0.3), tokenizer)
    for name, value in {"n": 6, "max_completion_tokens": 12}.items():
        toys.set_param(root, f"rejection.{name}", value)
    return root


def written(root) -> dict[str, bytes]:
    return toys.file_bytes(root / "data/rejection") | toys.file_bytes(root / "metrics")


def metrics(root) -> dict:
    return json.loads((root / "metrics/rejection.json").read_text())["rejection"]


def test_run_twice_it_writes_the_same_bytes(root, tokenizer, tmp_path):
    prepared(root, tokenizer)
    again = tmp_path / "elsewhere"
    shutil.copytree(root, again)
    for place in (root, again):
        rejection.main(place)
    assert written(root) == written(again)
    found = metrics(root)
    assert (found["prompts"], found["answers"], found["prompts_too_long"]) == (10, 60, 0)
    assert 0 < found["answers_without_end"] < 60
    assert found["score_of_picked"] > found["score"]
    left = found["prompts"] - found["prompts_without_ended_answer"]
    assert found["demonstrations"] + found["too_long"] + max(1, round(0.3 * left)) == left
    policy, made = loading.load_policy(root / "data/rejection", toys.runtime())
    start, _ = loading.load_policy(root / "data/sft", toys.runtime())
    assert made.chat_template == tokenizer.chat_template
    assert not torch.equal(policy.lm_head.weight, start.lm_head.weight)


@pytest.mark.parametrize("name", ["max_prompts", "max_prompt_tokens"])
def test_prompts_that_are_not_answered_are_counted(root, tokenizer, name):
    """Every second of the toys' prompts is a long one."""
    shortest = min(len(chat.prompt_ids(tokenizer, prompt["messages"])) for prompt in toys.prompts(10))
    value = {"max_prompts": 5, "max_prompt_tokens": shortest + 4}[name]
    toys.set_param(prepared(root, tokenizer), f"rejection.{name}", value)
    rejection.main(root)
    found = metrics(root)
    assert found["prompts"] == 5
    assert found["prompts_too_long"] == (0 if name == "max_prompts" else 5)


def test_killed_it_draws_the_same_answers_again_and_goes_on_to_the_same_bytes(
    root, tokenizer, tmp_path, monkeypatch, capsys
):
    prepared(root, tokenizer)
    toys.set_param(root, "checkpoints.every_seconds", 0.0)
    other = tmp_path / "other"
    shutil.copytree(root, other)
    rejection.main(other)
    broken_off(monkeypatch, 1, lambda: rejection.main(root))
    assert not (root / "data/rejection").exists()
    capsys.readouterr()
    rejection.main(root)
    assert "goes on after step 1" in capsys.readouterr().out
    assert written(root) == written(other)


KNOBS = {"n": 3, "temperature": 0.5, "validation_share": 0.6, "max_completion_tokens": 5, "epochs": 1}


@pytest.fixture(scope="module")
def usual(tmp_path_factory, tokenizer):
    root = prepared(toys.root(tmp_path_factory.mktemp("rejection") / "repository"), tokenizer)
    rejection.main(root)
    return root, written(root)["model.safetensors"], metrics(root)


@pytest.mark.parametrize("knob", KNOBS)
def test_every_knob_changes_the_policy(usual, knob):
    root, before, _ = usual
    kept = (root / "params.yaml").read_bytes()
    toys.set_param(root, f"rejection.{knob}", KNOBS[knob])
    rejection.main(root)
    (root / "params.yaml").write_bytes(kept)
    assert written(root)["model.safetensors"] != before


@pytest.mark.parametrize("knob", ["sampling_batch_size", "scoring_batch_size"])
def test_how_many_answers_are_drawn_or_scored_at_once_changes_no_pick(usual, knob):
    root, _, found = usual
    kept = (root / "params.yaml").read_bytes()
    toys.set_param(root, f"rejection.{knob}", 3)
    rejection.main(root)
    (root / "params.yaml").write_bytes(kept)
    assert metrics(root)["answers_without_end"] == found["answers_without_end"]
    assert metrics(root)["score_of_picked"] == pytest.approx(found["score_of_picked"], abs=1e-4)


def test_without_a_reward_model_the_other_terms_pick(root, tokenizer):
    place = prepared(root, tokenizer) / "data/reward_model/r1"
    shutil.rmtree(place)
    place.mkdir()
    (place / "README.md").write_text("# No reward model\n")
    toys.set_param(root, "rewards", toys.REWARDS | {"trained": 0.0, "answer_tokens": -1.0})
    rejection.main(root)
    found = metrics(root)
    assert found["score"] < found["score_of_picked"] <= 0, "the shortest are picked"


def test_left_out_it_says_so_and_draws_nothing(root, tokenizer, capsys):
    toys.set_param(prepared(root, tokenizer), "rejection.train", False)
    rejection.main(root)
    assert "not trained, for rejection.train is false" in capsys.readouterr().out
    assert left_out.is_left_out(root / "data/rejection")
    assert metrics(root) == {"demonstrations": 0}

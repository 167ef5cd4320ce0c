"""Real checkpoints answer: what they read, what is cut, which stay in memory, which bytes they are."""

import json

import pytest

from apps.chat import checkpoints, engine
from apps.chat.checkpoints import Checkpoint, Sums
from apps.chat.engine import Begun, ModelEngine, Settings, TooLong
from rlhf.runs import lineage
from rlhf.sampling import rollouts
from rlhf.tokens import chat
from tests import toys

SFT = Checkpoint("sft", "data/sft")


def turns(*texts):
    return [{"role": "assistant" if number % 2 else "user", "content": text} for number, text in enumerate(texts)]


@pytest.fixture
def saved(tmp_path, tokenizer):
    toys.save(tmp_path / "data/sft", toys.policy(tokenizer), tokenizer)
    toys.save(tmp_path / "data/ppo/r1", toys.policy(tokenizer, seed=3), tokenizer)
    return tmp_path


def test_the_policies_below_data_are_found_in_the_order_of_the_recipe(tmp_path):
    for name in ("ppo/r2", "ppo/r1", "dpo", "sft", "pretrain", "judge", "ppo/.r1.partial"):
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "config.json").write_text("{}")
    (tmp_path / "data/feedme").mkdir()
    (tmp_path / "data/rejection").mkdir()
    (tmp_path / "data/rejection/README.md").write_text("left out")
    names = [one.name for one in checkpoints.found(tmp_path)]
    assert names == ["base", "sft", "dpo", "ppo/r1", "ppo/r2"]


def test_an_answer_is_what_sampling_gives(saved, tokenizer):
    settings = Settings(1.0, 12, 5)
    begun, *parts = ModelEngine(saved, toys.runtime(), 1).answer(SFT, turns("Say red."), settings)
    sampling = rollouts.Sampling(1.0, 12, 5, 1)
    (wanted,) = rollouts.respond(toys.policy(tokenizer), tokenizer, [turns("Say red.")], ["chat"], sampling)
    assert begun == Begun(len(chat.prompt_ids(tokenizer, turns("Say red."))), 12, 64, 0)
    assert parts[-1].text == wanted.text.rstrip("\ufffd")
    assert parts[-1].end == ("end" if wanted.ended else "length")


def test_the_oldest_turns_are_left_out_until_the_answer_has_room(tokenizer):
    dialogue = turns("Say red. " * 6, "red", "Say blue.", "blue", "Say green.")
    whole = len(chat.prompt_ids(tokenizer, dialogue))
    begun, ids = engine.fitted(tokenizer, dialogue, 10, whole + 10)
    assert (begun.turns_cut, begun.max_tokens) == (0, 10)
    begun, ids = engine.fitted(tokenizer, dialogue, 10, whole + 9)
    assert begun == Begun(len(ids), 10, whole + 9, 2)
    assert ids == chat.prompt_ids(tokenizer, dialogue[2:])
    last = len(chat.prompt_ids(tokenizer, dialogue[4:]))
    begun, ids = engine.fitted(tokenizer, dialogue, 50, last + 9)
    assert begun == Begun(last, 9, last + 9, 4)
    with pytest.raises(TooLong, match=f"has {last} tokens, and this model reads {last + 3}"):
        engine.fitted(tokenizer, dialogue, 50, last + 3)


def test_a_system_turn_stays(tokenizer):
    system = [{"role": "system", "content": "Be brief."}]
    dialogue = turns("Say red. " * 6, "red", "Say blue.")
    whole = len(chat.prompt_ids(tokenizer, [*system, *dialogue]))
    begun, ids = engine.fitted(tokenizer, [*system, *dialogue], 10, whole)
    assert begun.turns_cut == 2
    assert ids == chat.prompt_ids(tokenizer, [*system, *dialogue[2:]])


def test_a_checkpoint_that_was_made_anew_is_read_anew_and_the_oldest_leaves_memory(saved, tokenizer, monkeypatch):
    from rlhf.models import loading

    read, real = [], loading.load_policy
    monkeypatch.setattr(loading, "load_policy", lambda path, *more: read.append(path.name) or real(path, *more))
    own = ModelEngine(saved, toys.runtime(), 1)
    other = Checkpoint("ppo/r1", "data/ppo/r1")

    def text(checkpoint):
        return [*own.answer(checkpoint, turns("Say red."), Settings(0.0, 6, 0))][-1].text

    first = text(SFT)
    assert text(SFT) == first
    assert read == ["sft"]
    toys.save(saved / "data/sft", toys.policy(tokenizer, seed=9), tokenizer)
    assert text(SFT) != first
    text(other)
    text(SFT)
    assert read == ["sft", "sft", "r1", "sft"]


def test_the_sum_is_that_of_the_bytes_that_lie_there(saved):
    sums = Sums(saved)
    before = sums.of(SFT)
    assert before == lineage.dvc_md5(saved / "data/sft")
    (saved / "data/sft/more.json").write_text(json.dumps({}))
    assert sums.of(SFT) == lineage.dvc_md5(saved / "data/sft") != before

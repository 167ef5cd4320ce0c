"""The weighted sum: by hand, alone, and through PPO and the evaluation."""

import pytest

from rlhf.evaluation import verdicts
from rlhf.params.base import ParamsError, parse
from rlhf.params.rewards import Rewards
from rlhf.rewards import weighted
from rlhf.rewards.weighted import Part, RewardSum
from rlhf.sampling.rollouts import Response
from tests import toys

MESSAGES = [[{"role": "user", "content": text}] for text in ("Say red.", "Who?")]
ANSWERS = ["red red", "blue"]


class Counts:
    """A scorer by a rule that a person can follow: how often the answer says a word."""

    def __init__(self, word: str):
        self.word = word

    def score_texts(self, messages, responses, batch_size=128):
        return [float(text.count(self.word)) for text in responses]


def test_the_reward_is_the_sum_of_weights_times_terms():
    summed = RewardSum((Part("reward_model", 2.0, Counts("red")), Part("blue", -1.0, Counts("blue")),
                        Part("answer_tokens", 0.5, None)))  # fmt: skip
    scored = summed.score(MESSAGES, ANSWERS, [3, 8])
    assert scored.totals == [2 * 2 - 0 + 1.5, 0 - 1 + 4]
    assert scored.by_part == {"reward_model": [2.0, 0.0], "blue": [0.0, 1.0], "answer_tokens": [3.0, 8.0]}
    assert summed.names == ["reward_model", "blue", "answer_tokens"]


def test_of_one_term_the_sum_is_its_score_and_no_part_is_told():
    judged = verdicts.judge_answers(
        [{"messages": turns} for turns in MESSAGES], [Response(text, [5, 2], True) for text in ANSWERS],
        weighted.alone(Counts("red")), None, 8,
    )  # fmt: skip
    assert [answer.reward_model for answer in judged] == [2.0, 0.0]
    assert [answer.reward_parts for answer in judged] == [None, None]


def test_of_several_terms_each_answer_tells_all():
    summed = RewardSum((Part("reward_model", 1.0, Counts("red")), Part("answer_tokens", -1.0, None)))
    judged = verdicts.judge_answers(
        [{"messages": turns} for turns in MESSAGES],
        [Response("red red", [5, 6, 7, 2], True), Response("blue", [5, 6], False)], summed, None, 8,
    )  # fmt: skip
    assert [answer.reward_model for answer in judged] == [2.0 - 3, 0.0 - 2]
    assert judged[0].reward_parts == {"reward_model": 2.0, "answer_tokens": 3.0}
    assert judged[1].reward_parts == {"reward_model": 0.0, "answer_tokens": 2.0}


def test_terms_are_opened_in_order_each_with_a_name_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    (tmp_path / "my_rewards_sum.py").write_text(
        "def answer_tokens(messages, answers):\n    return [7] * len(answers)\n"
    )
    toys.save(tmp_path / "My-RM", toys.reward_model(toys.tokenizer()), toys.tokenizer())
    function = {"function": "my_rewards_sum:answer_tokens", "weight": 0.5}
    params = parse(Rewards, {"trained": 0.0, "adopted": [{"path": "My-RM", "weight": 2.0}],
                             "functions": [function, function], "answer_tokens": 1.0}, "rewards")  # fmt: skip
    summed = weighted.opened(params, tmp_path, None, toys.runtime())
    assert [(part.name, part.weight) for part in summed.parts] == [
        ("my_rm", 2.0), ("answer_tokens_2", 0.5), ("answer_tokens_3", 0.5), ("answer_tokens", 1.0)
    ]  # fmt: skip
    scored = summed.score(MESSAGES, ANSWERS, [3, 8])
    logits = summed.parts[0].scorer.score_texts(MESSAGES, ANSWERS)
    assert scored.totals == pytest.approx([2 * logits[0] + 7 + 3, 2 * logits[1] + 7 + 8])


def test_a_reward_of_nothing_is_refused():
    with pytest.raises(ParamsError, match="all weights are 0"):
        parse(Rewards, toys.REWARDS | {"trained": 0.0}, "rewards")
    with pytest.raises(ParamsError, match=r"rewards\.functions\.0\.function: expected module:function"):
        parse(Rewards, toys.REWARDS | {"functions": [{"function": "my_rewards", "weight": 1.0}]}, "rewards")

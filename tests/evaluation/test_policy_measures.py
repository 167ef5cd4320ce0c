"""What is asked of a policy and what is made of its answers: by hand, on answers that a row's id names."""

from itertools import product
from math import log

import pytest
import torch

from rlhf.evaluation import policy_measures
from rlhf.evaluation.policy_measures import Policy, Scorers
from rlhf.evaluation.statistics import Bootstrap
from rlhf.evaluation.verdicts import Judged
from rlhf.params.base import parse
from rlhf.params.evaluate import EvaluateInputs
from rlhf.rewards import weighted
from rlhf.sampling.rollouts import Response
from tests import toys
from tests.evaluation import invented

PROMPTS = [
    {"id": name, "messages": [{"role": "user", "content": name}], "category": "chat", "language": "en"}
    for name in "pqr"
]
TASK = {"kind": "look_alike", "language": "en", "act": "kill the weeds"}
SFT = Policy("sft", "the model", "its tokenizer")


class Counts:
    """A scorer by a rule that a person can follow: how often the answer has its letter."""

    def __init__(self, letter: str):
        self.letter = letter

    def score_texts(self, messages, texts, batch_size):
        assert batch_size == 32
        return [float(text.count(self.letter)) for text in texts]


class Asked:
    """What rollouts.respond was asked; answers are texts by row id or by temperature, # being the id, or nothing."""

    def __init__(self, texts: dict[str, str]):
        self.texts, self.rows, self.samplings = texts, [], []

    def __call__(self, model, tokenizer, dialogues, row_ids, sampling):
        assert (model, tokenizer) == SFT[1:]
        assert [row.partition("/")[2] for row in row_ids] == [turns[0]["content"] for turns in dialogues]
        self.rows.append(row_ids)
        self.samplings.append(sampling)
        at_this = self.texts.get(str(sampling.temperature), "")
        return [self._answer(self.texts.get(row, at_this).replace("#", row)) for row in row_ids]

    def _answer(self, text: str) -> Response:
        return Response(text, [7] * len(text) + [2], True)


@pytest.fixture
def scorers() -> Scorers:
    curve = {"compare": [1, 3], "curve": [1, 2], "curve_draws": 2, "curve_prompts": 2}
    changes = {"best_of_n": curve, "temperatures": [1.0, 0.5, 0.0, 0.5], "scoring_batch_size": 32}
    inputs = {
        "seed": 5, "runtime": toys.runtime().model_dump(), "evaluate": invented.SETTINGS | changes,
        "rounds": {"r1": {"policy": "sft", "earlier": "collect_prompts"}}, "rewards": toys.REWARDS,
    }  # fmt: skip
    return Scorers(weighted.alone(Counts("a")), Counts("b"), parse(EvaluateInputs, inputs, ""), Bootstrap(100, 0.95, 0))


@pytest.fixture
def asked(monkeypatch):
    def answer(texts: dict[str, str]) -> Asked:
        found = Asked(texts)
        monkeypatch.setattr(policy_measures.rollouts, "respond", found)
        return found

    return answer


def test_every_prompt_is_asked_once_a_draw_and_each_policy_and_temperature_has_its_own_luck(asked, scorers):
    seen = asked({})
    policy_measures.ask(SFT, PROMPTS, 0.5, scorers, range(3, 5))
    policy_measures.ask(SFT, PROMPTS, 0.5, scorers)
    policy_measures.ask(SFT, PROMPTS, 1.0, scorers)
    policy_measures.ask(SFT._replace(name="ppo"), PROMPTS, 1.0, scorers)
    assert seen.rows[:2] == [["3/p", "3/q", "3/r", "4/p", "4/q", "4/r"], ["0/p", "0/q", "0/r"]]
    first, again, other_temperature, other_policy = seen.samplings
    assert first == again == (0.5, 48, first.seed, 64)
    assert len({first.seed, other_temperature.seed, other_policy.seed}) == 3


def test_best_of_n_takes_what_the_reward_model_likes_best_among_the_first_n(asked, scorers):
    texts = {"1/p": "a", "2/p": "ab", "3/p": "aab", "1/q": "aaabb", "2/q": "aa", "3/r": "abbb"}
    texts |= {"100/p": "ab", "101/p": "aabbb", "100/q": "aabbbb", "101/q": "b"}
    seen = asked(texts)
    (picks,), curve = policy_measures.best_of_n(SFT, PROMPTS, scorers)
    assert [[answer.text for answer in picks[n]] for n in (1, 3)] == [["a", "aaabb", ""], ["aab", "aaabb", "abbb"]]
    assert [answer.judge for answer in picks[3]] == [1, 2, 3]
    assert seen.rows == [
        [f"{draw}/{name}" for draw in (1, 2, 3) for name in "pqr"],
        ["100/p", "100/q", "101/p", "101/q"],
    ]
    one, two = curve
    kl = log(2) - 0.5
    assert (one["n"], one["kl"], one["reward_model"], one["score"], one["oracle"]) == (1, 0, 1.25, 2.25, 2.25)
    assert (two["n"], two["kl"], two["reward_model"], two["score"], two["oracle"]) == (2, kl, 2, 3.5, 3.5)
    assert 3 <= two["low"] < 3.5 < two["high"] <= 4


def test_further_draws_are_of_other_luck_and_scored_by_the_verdict_alone(asked, scorers):
    """Prompt p is answered by other draws than the first; of three answers, best of n picks anew a draw."""
    texts = {
        "0/p": "b",
        "1000/p": "bb",
        "1/p": "a",
        "2/p": "b",
        "3/p": "b",
        "2003/p": "b",
        "2004/p": "aab",
        "2005/p": "",
    }
    seen = asked(texts)
    assert policy_measures.sampled_again(SFT, PROMPTS[:1], scorers) == []  # one draw is asked for, and was had
    twice = scorers.params.evaluate.model_copy(update={"sampled_draws": 2})
    scorers = scorers._replace(params=scorers.params.model_copy(update={"evaluate": twice}))
    (again,) = policy_measures.sampled_again(SFT, PROMPTS[:1], scorers)
    assert seen.rows == [["1000/p"]]
    assert [(one.text, one.reward_model) for one in again] == [("bb", None)]
    assert again[0].verdict == 2
    picks, _ = policy_measures.best_of_n(SFT, PROMPTS[:1], scorers)
    assert [[answer.text for answer in draw[3]] for draw in picks] == [["a"], ["aab"]]


def test_the_curve_is_of_the_prompts_that_have_a_task_where_there_are_any(asked, scorers):
    seen = asked({})
    prompts = [PROMPTS[0], PROMPTS[1] | {"task": TASK}]
    policy_measures.best_of_n(SFT, prompts, scorers)
    assert seen.rows[1] == ["100/q", "101/q"]


def test_each_temperature_is_compared_with_temperature_1(asked, scorers):
    asked({"0.0": "bb", "0.5": "b", "1.0": "b"})
    policy = SFT._replace(name="ppo")
    won, tied, itself = policy_measures.temperature_sweep(policy, PROMPTS, scorers)
    assert won == {"policy": "ppo", "temperature": 0.0, "win_rate": 1, "low": 1, "high": 1, "score": 2}
    for row, temperature in ((tied, 0.5), (itself, 1.0)):
        half = {"win_rate": 0.5, "low": 0.5, "high": 0.5, "score": 1}
        assert row == {"policy": "ppo", "temperature": temperature} | half


def test_a_closing_decides_no_temperature(asked, scorers):
    """As they stand the answers at 0.5 are liked best; without what all of them end with, those at 0 are."""
    many = [
        {"id": name, "messages": [{"role": "user", "content": name}], "category": "chat", "language": "en"}
        for name in map(str, range(20))
    ]
    asked({"0.0": "# is bb.", "0.5": "# is b. Bye bbb.", "1.0": "# is b."})
    rows = policy_measures.temperature_sweep(SFT, many, scorers)
    assert [(row["temperature"], row["win_rate"], row["score"]) for row in rows] == [
        (0.0, 1, 2), (0.5, 0.5, 1), (1.0, 0.5, 1)
    ]  # fmt: skip


def test_answers_are_scored_by_those_who_are_asked_and_by_the_judge_where_no_gold_decides(scorers):
    answers = [Response("aab", [1, 2, 3], False)]
    both = policy_measures.scored(PROMPTS[:1], answers, scorers)[0]
    assert (both.reward_model, both.judge, both.verdict) == (2, 1, 1)
    spared = policy_measures.scored(PROMPTS[:1], answers, scorers, by_reward_model=False, by_judge=False)[0]
    assert (spared.reward_model, spared.judge) == (None, 1)
    known = policy_measures.scored([PROMPTS[0] | {"task": TASK}], answers, scorers, by_judge=False)[0]
    assert (known.reward_model, known.judge, known.verdict) == (2, None, known.gold)


class Six:
    """A tokenizer of six tokens: nothing, an end and four words; a dialogue is read as `ids`."""

    pad_token_id, eos_token_id = 0, 1

    def __init__(self, ids: list[int]):
        self.ids = ids

    def __len__(self) -> int:
        return 6


@pytest.fixture
def six(monkeypatch) -> tuple[Policy, Policy]:
    """PPO and SFT, each with weights and a template of its own."""
    monkeypatch.setattr(policy_measures.chat, "prompt_ids", lambda tokenizer, messages: tokenizer.ids)
    tokenizers = Six([2, 3]), Six([4, 5, 2, 2])
    ppo, sft = (toys.policy(own, seed=seed, spread=0.6) for seed, own in enumerate(tokenizers))
    return Policy("ppo", ppo, tokenizers[0]), Policy("sft", sft, tokenizers[1])


@torch.no_grad()
def log_shares(policy: Policy, answer: tuple[int, ...]) -> torch.Tensor:
    """Return log probabilities [R, V] at each token of an answer, read alone by the library's own forward pass."""
    ids = torch.tensor([[*policy.tokenizer.ids, *answer]])
    return policy.model(input_ids=ids).logits[0, len(policy.tokenizer.ids) - 1 : -1].double().log_softmax(-1)


def test_the_divergence_is_that_of_all_answers_there_are(six, scorers):
    """Every answer of at most three tokens: the sum of p log(p / q) is the sum of p times its own exact KL."""
    words = [0, 2, 3, 4, 5]
    answers = [(*said, 1) for length in range(3) for said in product(words, repeat=length)]
    answers += list(product(words, repeat=3))
    logs = [[log_shares(policy, answer) for answer in answers] for policy in six]
    own, other = (
        torch.stack(
            [log[list(range(len(answer))), list(answer)].sum() for log, answer in zip(side, answers, strict=True)]
        )
        for side in logs
    )
    assert own.exp().sum().item() == pytest.approx(1)
    enumerated = (own.exp() * (own - other)).sum().item()
    asked = [PROMPTS[0]] * len(answers)
    responses = [Response("", list(answer), answer[-1] == 1) for answer in answers]
    exact = policy_measures.exact_kls(*six, asked, responses, scorers)
    assert (own.exp() * torch.tensor(exact)).sum().item() == pytest.approx(enumerated, rel=1e-4)
    assert enumerated > 0.2
    for answer, nats, first, second in zip(answers, exact, *logs, strict=True):
        assert nats == pytest.approx((first.exp() * (first - second)).sum().item(), abs=1e-4), answer


def test_the_divergence_is_told_an_answer_and_a_token(six, scorers):
    answers = [Response("", ids, True) for ids in ([2, 1], [3, 3, 4, 1], [1])]
    nats = policy_measures.exact_kls(*six, PROMPTS, answers, scorers)
    found, per_token = policy_measures.divergence(*six, PROMPTS, answers, scorers)
    assert found.mean == pytest.approx(sum(nats) / 3)
    assert min(nats) <= found.low < found.mean < found.high <= max(nats)
    assert per_token == pytest.approx(sum(nats) / 7)
    itself, _ = policy_measures.divergence(six[0], six[0], PROMPTS, answers, scorers)
    assert itself.mean == pytest.approx(0, abs=1e-5)


def test_the_kl_of_best_of_n_is_shared_by_the_tokens_with_eos():
    picked = [Judged("", 5, True, 0, None, 1.0, None, None, None), Judged("", 4, False, 0, None, 1.0, None, None, None)]
    nats, per_token = policy_measures.analytic(4, picked)
    assert set(nats) == {log(4) - 0.75}
    assert per_token == pytest.approx((log(4) - 0.75) / 5)


def test_the_prompts_drawn_are_the_same_in_every_version_whatever_their_order():
    """Evaluations of different versions ask the same prompts."""
    prompts = [{"id": f"p{number}"} for number in range(8)]
    drawn = [prompt["id"] for prompt in policy_measures.drawn(prompts, 5)]
    assert drawn == [prompt["id"] for prompt in policy_measures.drawn(prompts[::-1], 5)]
    assert drawn == ["p0", "p1", "p7", "p5", "p4"]

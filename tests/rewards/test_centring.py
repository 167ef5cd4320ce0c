"""A centred reward: what a fixed phrase is paid is measured in pairs, by hand, and taken off whoever says it."""

import json

import pytest

from rlhf.params.base import ParamsError, load
from rlhf.params.ppo import PpoInputs
from rlhf.rewards import centring
from rlhf.rewards.centring import Effect
from rlhf.rewards.weighted import FIXED_PHRASES, Part, RewardSum
from rlhf.rl import centred_rewards, experience
from rlhf.rl.experience import Prompt
from rlhf.sampling.rollouts import Response
from stages import ppo
from tests import notebook, toys

BYE, SURE = "Bye.", "Sure."


def asked(text: str) -> list[dict]:
    return [{"role": "user", "content": text}]


class Worth:
    """A scorer by a rule that a person can follow: 2 for a bye, 1 more where the answer is right, .5 for a sure."""

    def score_texts(self, messages, responses, batch_size=128):
        return [
            2.0 * (BYE in text) + 0.5 * (SURE in text) + ("right" in text) * (1 + (BYE in text)) for text in responses
        ]


SUM = RewardSum((Part("reward_model", 1.0, Worth()), Part("answer_tokens", -7.0, None)))
ANSWERS = [
    *(f"It is {number}. {BYE}" for number in range(6)),  # each 2 with it, 0 without
    *(f"It is right {number}. {BYE}" for number in range(2)),  # each 4 with it, 1 without
    *(f"{SURE} It is {number}. {BYE}" for number in range(8)),  # the phrases .5 and 2
    *(f"It was {number}. So it is {number}." for number in range(24)),
]
ASKED = [asked(f"Number {number}?") for number in range(len(ANSWERS))]
ENGLISH = ["en"] * len(ANSWERS)


def test_the_effect_of_a_phrase_is_the_mean_of_pairs_with_and_without_it():
    found = centring.effects_of_phrases(SUM, ASKED, ANSWERS, ENGLISH)
    assert found == {BYE: Effect((6 * 2 + 2 * 3 + 8 * 2) / 16, 16), SURE: Effect(0.5, 8)}
    assert list(found) == [BYE, SURE]  # the most frequent first


def test_an_answers_reward_is_less_the_effects_of_what_it_carries():
    summed = centring.centred(SUM, {BYE: Effect(2.0, 16), SURE: Effect(0.5, 8)})
    texts = [f"It is. {BYE}", f"{SURE} It is right. {BYE}", "It is right.", f"It is. {BYE} {BYE}", f"{BYE} is a word."]
    scored = summed.score([asked("Say.")] * 5, texts, [3, 3, 3, 3, 3])
    assert scored.by_part[FIXED_PHRASES] == [2.0, 2.5, 0.0, 2.0, 2.0]
    assert scored.totals == [2 - 2 - 21, 4.5 - 2.5 - 21, 1 - 21, 2 - 2 - 21, 2 - 2 - 21]


def test_centred_answers_of_the_starting_policy_gain_nothing_by_their_phrases_on_average():
    summed = centring.centred(SUM, centring.effects_of_phrases(SUM, ASKED, ANSWERS, ENGLISH))
    bare = [text.removeprefix(SURE).removesuffix(BYE).strip() for text in ANSWERS]
    count = [0] * len(ANSWERS)
    gains = [
        one - other
        for one, other in zip(
            summed.score(ASKED, ANSWERS, count).totals, summed.score(ASKED, bare, count).totals, strict=True
        )
    ]
    assert sum(gains) == pytest.approx(0)
    assert any(gains)  # who is right earns more by a bye than the mean


def test_a_phrase_that_the_prompt_asked_for_is_content():
    summed = centring.centred(SUM, {BYE: Effect(2.0, 16)})
    scored = summed.score([asked("Say red. End with bye."), asked("Say red.")], [f"Red. {BYE}"] * 2, [0, 0])
    assert scored.totals == [2.0, 0.0]


def test_a_phrase_that_ends_in_another_is_taken_whole():
    longer = "Good bye, and Bye."
    assert centring.longest_first([BYE, longer]) == [longer, BYE]
    summed = centring.centred(SUM, {BYE: Effect(2.0, 9), longer: Effect(3.0, 6)})
    assert summed.score([asked("Say.")], [f"It is. {longer}"], [0]).by_part[FIXED_PHRASES] == [3.0]


def test_without_fixed_phrases_the_sum_stays_the_same():
    assert centring.effects_of_phrases(SUM, ASKED[16:], ANSWERS[16:], ENGLISH[16:]) == {}
    assert centring.centred(SUM, {}) is SUM


@pytest.fixture
def ready(root, tokenizer):
    toys.save(root / "data/sft", toys.policy(tokenizer, spread=0.1), tokenizer)
    toys.save(root / "data/reward_model/r1", toys.reward_model(tokenizer, spread=0.1), tokenizer)
    toys.set_param(root, "ppo.reward_centring", 40)
    return root


def closing(monkeypatch, num_ended: int = 8) -> None:
    """Let the starting policy say the same goodbye; of its answers so many end."""

    def said(model, tokenizer, dialogues, row_ids, sampling):
        return [Response(f"It is {row}. {BYE}", [5, 2], row < num_ended) for row, _ in enumerate(dialogues)]

    monkeypatch.setattr(centred_rewards.rollouts, "respond", said)


def test_the_stage_says_and_writes_what_phrases_are_paid_and_takes_it_off(ready, tokenizer, monkeypatch, capsys):
    closing(monkeypatch)
    texts = [f"It is {row}. {BYE}" for row in range(4)]
    monkeypatch.setattr(experience.chat, "response_text", lambda tokenizer, ids: texts[len(ids) % 4])
    ppo.main(ready, "r1")
    out = capsys.readouterr().out
    assert "40 answers a language, and 10 prompts are en: one each" in out
    assert "1 fixed phrases in 8 answers of the starting policy (2 more did not end): 'Bye.' is paid " in out
    metrics = json.loads((ready / "metrics/ppo/r1.json").read_text())["ppo"]["r1"]
    told = metrics["reward_centring"]
    assert (told["answers"], told["answers_without_end"], told["phrases"]) == (8, 2, 1)
    effect = told["phrase_1"]["effect"]
    assert (told["phrase_1"]["text"], told["phrase_1"]["answers"]) == (BYE, 8)
    assert effect != 0
    for point in notebook.curve_of(ready / "metrics/plots/ppo/r1.csv").values():
        assert point[f"score_{FIXED_PHRASES}"] == pytest.approx(effect, abs=1e-5)  # each of its answers carries it
    assert metrics[f"score_{FIXED_PHRASES}"] == pytest.approx(effect, abs=1e-5)


def test_the_starting_policys_own_answers_are_the_same_whenever_they_are_asked_for(ready):
    params = load(ready, PpoInputs)
    models = ppo.assemble(ready / "data/sft", ready / "data/reward_model/r1", params, seed=1, root=ready)
    prompts = ppo.tokenised(models.tokenizer, toys.prompts(8), params.ppo)
    chosen = centred_rewards.asked(prompts, 5, 1, print)
    assert len({prompt.id for prompt in chosen}) == 5
    before = centred_rewards.answered(models, chosen, params, 1)
    for weight in models.policy.parameters():
        weight.data.zero_()  # as if training had gone on: the reference is asked
    assert centred_rewards.answered(models, chosen, params, 1) == before
    assert centred_rewards.answered(models, chosen, params, 2) != before


def test_so_many_prompts_of_each_language_are_asked():
    said = list[str]()
    prompts = [Prompt(str(row), [], [], "zh" if row % 10 == 0 else "en") for row in range(100)]
    chosen = centred_rewards.asked(prompts, 40, 1, said.append)
    assert [[one.language for one in chosen].count(language) for language in ("zh", "en")] == [10, 40]
    assert len({one.id for one in chosen}) == 50
    assert said == ["ppo.reward_centring: 40 answers a language, and 10 prompts are zh: one each"]


def test_off_is_the_same_reward(ready):
    toys.set_param(ready, "ppo.reward_centring", 0)
    params = load(ready, PpoInputs)
    models = ppo.assemble(ready / "data/sft", ready / "data/reward_model/r1", params, seed=1, root=ready)
    assert centred_rewards.centred(models, [], params, 1, print) == (models, {})


def test_a_reward_of_lengths_alone_has_nothing_to_centre(ready):
    toys.set_param(ready, "rewards", toys.REWARDS | {"trained": 0.0, "answer_tokens": -0.01})
    with pytest.raises(ParamsError, match=r"ppo\.reward_centring must be 0 where rewards\.answer_tokens"):
        load(ready, PpoInputs)

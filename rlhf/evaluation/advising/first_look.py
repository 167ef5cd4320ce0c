"""What must be known before any win rate is read: rules from figures to warnings, the gravest first.

They read figures as metrics/evaluate.json and metrics/reward_model/<round>.json have them, so that the report, MLflow,
the model card and the terminal warn alike. Needs no numbers library.
"""

from collections.abc import Iterator, Mapping, Sequence

from rlhf.evaluation.advising.notes import Note
from rlhf.evaluation.headline import DECODINGS, RIVALS, TIE, WHEN, Metrics, asked, called, rates
from rlhf.evaluation.typography import interval, number, percent, percent_interval

TITLE = "Look at this first"
EMPTY, CUT_OFF = 0.05, 0.2  # shares of a policy's answers
LENGTH_TASTE = 0.1  # how much more often, or less, than its labelers a reward model may prefer the longer answer
NOISE = 0.9  # of the entropy of single tokens: a loss as high knows next to nothing of the words before
COMPARED = ("ppo", "sft", *RIVALS)
WHY_EMPTY = {
    "ppo": "PPO: the reward model likes saying nothing; look at its pairs with empty answers, raise ppo.kl_coef, or stop "
    "earlier (ppo.iterations).",
    "sft": "SFT: look for demonstrations that say next to nothing, or train it longer (sft.epochs).",
    "feedme": "FeedME: look at the answers that labelers ranked best.",
    "rejection": "Rejection sampling: the reward model picks answers that say nothing; look at its pairs with empty answers.",
    "dpo": "DPO: look for pairs whose chosen answer says nothing, or raise dpo.beta.",
}
WHY_CUT_OFF = {
    "ppo": "Else, PPO: lower ppo.missing_eos_score.",
    "sft": "Else, SFT: train it longer (sft.epochs).",
    "feedme": "Else, FeedME: train it longer (feedme.epochs).",
    "rejection": "Else, rejection sampling: train it longer (rejection.epochs).",
    "dpo": "Else, DPO: raise dpo.beta, or train it for fewer epochs (dpo.epochs).",
}
EQUAL_LENGTH = "ppo_vs_sft_length_controlled"


def warnings(evaluate: Metrics, reward_model: Metrics) -> list[Note]:
    """Return what the figures of the evaluation, and of the last round's reward model, warn of."""
    rules = (
        _all_equal, _empty, _missing_eos, _noise, _weak_judges, _rival_ahead, _taken_away,
        _better_best_of, _length_taste, _one_document,
    )  # fmt: skip
    return [note for rule in rules for note in rule(evaluate, reward_model)]


def markdown(notes: Sequence[Note]) -> str:
    """Return the warnings as a list in Markdown; nothing where there are none."""
    return "\n".join([f"**{TITLE}**\n", *(f"- **{note.seen}** {note.follows}" for note in notes)]) if notes else ""


def taken_away(evaluate: Metrics) -> list[str]:
    """Return PPO's comparisons in which its plain win rate is above one half, and the controlled one is not."""
    plain = rates(evaluate, "win_rate")
    return [
        name
        for name, controlled in sorted(rates(evaluate, "controlled").items())
        if name.startswith("ppo_vs_") and plain[name].low > TIE.mean >= controlled.low
    ]


def rivals_ahead(evaluate: Metrics) -> list[str]:
    """Return PPO's comparisons with a trained rival that it loses, controlled: fewer prompts won, or a lower mean."""
    won, points = (rates(evaluate, group) for group in ("controlled", "controlled_difference"))
    names = [f"ppo_vs_{rival}{suffix}" for rival in RIVALS for suffix in ("", "_greedy")]
    return [name for name in names if name in won and (won[name].high < TIE.mean or points[name].high < 0)]


def better_best_of(evaluate: Metrics) -> list[str]:
    """Return PPO's comparisons with a best of n whose mean is above PPO's, plain or controlled."""
    groups = [rates(evaluate, group) for group in ("difference", "controlled_difference")]
    return [name for name in sorted(groups[0]) if _is_best_of(name) and any(own[name].mean < 0 for own in groups)]


def _is_best_of(name: str) -> bool:
    return name.startswith("ppo_vs_best_of_")


def _all_equal(evaluate: Metrics, _: Metrics) -> Iterator[Note]:
    low, high = (evaluate["score_range"][bound] for bound in ("low", "high"))
    if low == high:
        yield Note(
            f"Every answer of every policy scores {number(low)}: nothing can be compared.",
            "The base model is too small or too little trained to be told apart: raise pretrain.tokens or adopt a model.",
        )


def _empty(evaluate: Metrics, _: Metrics) -> Iterator[Note]:
    found = _above(evaluate["empty"], EMPTY)
    if found:
        yield Note(f"Answers are empty: {_listed(found)}.", " ".join(WHY_EMPTY[policy] for policy in found))


def _missing_eos(evaluate: Metrics, _: Metrics) -> Iterator[Note]:
    found = _above(evaluate["missing_eos"], CUT_OFF)
    if found:
        yield Note(
            f"Answers are cut off, without an EOS: {_listed(found)}.",
            " ".join(
                ["Raise evaluate.max_completion_tokens if they are good.", *(WHY_CUT_OFF[policy] for policy in found)]
            ),
        )


def _above(shares: Mapping[str, float], limit: float) -> dict[str, list[str]]:
    """Return by policy, in words, each share of its answers that is above the limit."""
    found: dict[str, list[str]] = {}
    for policy in COMPARED:
        for decoding in DECODINGS:
            share = shares.get(f"{policy}_{decoding}", 0.0)
            if share > limit:
                found.setdefault(policy, []).append(f"{percent(share)} {WHEN[decoding]}")
    return found


def _listed(found: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(f"{called(policy)} {', '.join(shares)}" for policy, shares in found.items())


def _noise(evaluate: Metrics, _: Metrics) -> Iterator[Note]:
    text, losses = evaluate.get("held_out_text"), evaluate.get("document_loss")
    if text and losses and "base" in losses and losses["base"] >= NOISE * text["unigram_entropy"]:
        yield Note(
            f"The base model's texts are noise: held-out text costs it {number(losses['base'])} nats a token, and whoever "
            f"knows no more than how frequent each token is {number(text['unigram_entropy'])}.",
            "Whatever is trained from such a base learns little: raise pretrain.tokens, or adopt a model.",
        )


def _deciding(evaluate: Metrics, reward_model: Metrics) -> Iterator[tuple[str, Metrics, str]]:
    """Yield the reward models that matter, their own figures, and what rests on each."""
    yield "reward model", reward_model, "what PPO has learned from it"
    if evaluate["decided_by"] != "gold":
        yield "judge", evaluate["judged_by"], "every verdict here"


def _weak_judges(evaluate: Metrics, reward_model: Metrics) -> Iterator[Note]:
    for name, own, doubtful in _deciding(evaluate, reward_model):
        if "accuracy" in own and own["accuracy"] <= own["tfidf_accuracy"]:
            yield Note(
                f"The {name} agrees with labelers on {percent(own['accuracy'], 1)} of held-out pairs, a bag of words "
                f"(TF-IDF) on {percent(own['tfidf_accuracy'], 1)}.",
                f"Doubt {doubtful}. More comparisons, or a better base model, come before any other setting.",
            )


def _rival_ahead(evaluate: Metrics, _: Metrics) -> Iterator[Note]:
    won, points = (rates(evaluate, group) for group in ("controlled", "controlled_difference"))
    found = [
        f"{asked(name)}, wins {percent_interval(won[name])}, mean {evaluate['decided_by']} {interval(points[name], sign=True)}"
        for name in rivals_ahead(evaluate)
    ]
    if found:
        yield Note(
            f"A cheaper rival is ahead of PPO, controlled: {'; '.join(found)}.",
            "It learned from the same labels. Use its policy, or let PPO learn more: ppo.iterations, ppo.batch_size.",
        )


def _taken_away(evaluate: Metrics, _: Metrics) -> Iterator[Note]:
    plain, controlled = rates(evaluate, "win_rate"), rates(evaluate, "controlled")
    found = [
        f"{asked(name)}, {percent(plain[name].mean)} plain and {percent_interval(controlled[name])} controlled"
        for name in taken_away(evaluate)
    ]
    if found:
        yield Note(
            f"Controlled, these wins are gone: {'; '.join(found)}.",
            "A fixed phrase that what decides pays for, or a few subjects asked again and again, can win so: read the controlled "
            "figures. More prompts (evaluate.test_prompts) can tell whether something small is left.",
        )


def _better_best_of(evaluate: Metrics, _: Metrics) -> Iterator[Note]:
    plain, controlled = (rates(evaluate, group) for group in ("difference", "controlled_difference"))
    for name in better_best_of(evaluate):
        rival = called(name.removeprefix("ppo_vs_"))
        won = percent(evaluate["win_rate"][name]["mean"])
        yield Note(
            f"{rival[0].upper()}{rival[1:]} by the same reward model has a higher mean {evaluate['decided_by']} than PPO, plain or "
            f"controlled: PPO minus {rival} is {interval(plain[name], 3, sign=True)} plain, "
            f"{interval(controlled[name], 3, sign=True)} controlled.",
            f"PPO's plain win rate of {won} over it does not show that. The reward model knows more than PPO has learned from it: more "
            "ppo.iterations, a higher ppo.policy_optimisation.learning_rate or a lower ppo.kl_coef may bring more of it out.",
        )


def _length_taste(evaluate: Metrics, reward_model: Metrics) -> Iterator[Note]:
    own_tokens, other_tokens = (number(evaluate["num_tokens"][f"{policy}_sampled"], 1) for policy in ("ppo", "sft"))
    equal = percent_interval(rates(evaluate, "win_rate")[EQUAL_LENGTH])
    for name, own, _ in _deciding(evaluate, reward_model):
        if "accuracy" not in own:
            continue
        by_model, by_labelers = own["longer_preferred_by_model"], own["longer_chosen_by_labelers"]
        if round(abs(by_model - by_labelers), 6) > LENGTH_TASTE:
            yield Note(
                f"The {name} prefers the longer answer in {percent(by_model)} of pairs, labelers in {percent(by_labelers)}; "
                f"sampled, PPO's answers have {own_tokens} tokens, SFT's {other_tokens}.",
                f"Length may be part of the result: at equal length PPO's win rate over SFT, sampled and plain, is {equal}. "
                "Comparisons of PPO's own answers (one more entry under rounds) show labelers what is over-rated.",
            )


def _one_document(evaluate: Metrics, _: Metrics) -> Iterator[Note]:
    text = evaluate.get("held_out_text")
    if text and text["documents"] == 1:
        yield Note(
            "Every loss on pretraining text rests on one document.",
            "Another text may say otherwise of the alignment tax and of the base model: add documents, shorter ones, or raise "
            "evaluate.document_tokens.",
        )

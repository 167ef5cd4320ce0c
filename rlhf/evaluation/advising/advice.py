"""What to try next after an evaluation: rules from figures to words, silent where they find nothing.

A rule names the setting of params.yaml that it would turn. It is a suggestion, not a measurement: compare runs. What
must be known before any figure is read stands in `first_look`, and is not said here again.
"""

from collections.abc import Iterator, Sequence

from rlhf.evaluation import report_words as words
from rlhf.evaluation.advising import first_look
from rlhf.evaluation.advising.notes import Note
from rlhf.evaluation.findings import Findings, Slice, metrics
from rlhf.evaluation.history import History, column
from rlhf.evaluation.statistics import Interval
from rlhf.evaluation.typography import interval, number, percent, percent_interval

TAX = 0.1  # nats a token of pretraining text
CHEAPER = {
    "feedme": "Fine-tuning on the answers that labelers ranked best",
    "rejection": "Fine-tuning on the best of a few answers by the same reward model",
    "dpo": "DPO on the same comparisons, without a reward model,",
}
ENOUGH_PAIRS = 100  # held-out pairs of a category


def advice(findings: Findings, history: History) -> list[Note]:
    """Return what the figures call for, the gravest first."""
    rules = (
        _decodings_differ, _over_optimised, _undecided, _rivals, _best_of_n, _still_learning, _categories, _sharper, _tax,
    )  # fmt: skip
    return [note for rule in rules for note in rule(findings, history)]


def _decodings_differ(findings: Findings, history: History) -> Iterator[Note]:
    sampled, greedy = (words.controlled(findings, name) for name in ("ppo_vs_sft", "ppo_vs_sft_greedy"))
    if greedy.high < 0.5 <= sampled.high or sampled.high < 0.5 <= greedy.high:
        yield Note(
            f"PPO against SFT, controlled: sampled {percent_interval(sampled)}, greedy {percent_interval(greedy)}.",
            "Read the answers of the worse decoding below before you trust the better one; a higher ppo.kl_coef keeps "
            "the two together.",
        )


def _over_optimised(findings: Findings, history: History) -> Iterator[Note]:
    ppo = history.metrics["ppo"]
    if "over_optimised_at" in ppo:
        yield Note(
            f"From iteration {ppo['over_optimised_at']} on, gold falls while the reward model's score goes on rising.",
            "The policy over-optimises the reward model: fewer ppo.iterations, a higher ppo.kl_coef, or new comparisons "
            "of its own answers (one more entry under rounds).",
        )


def _undecided(findings: Findings, history: History) -> Iterator[Note]:
    rate = words.controlled(findings, "ppo_vs_sft")
    taken_away = first_look.taken_away(metrics(findings))
    if rate.low <= 0.5 <= rate.high and rate.low < rate.high and "ppo_vs_sft" not in taken_away:
        yield Note(
            f"PPO against SFT, sampled, controlled: {percent_interval(rate)}.",
            f"{number(len(findings.prompts), 0)} prompts show a difference of {number(100 * findings.detectable, 1)} points: "
            "ask more (evaluate.test_prompts), or let PPO move further (ppo.iterations, its learning rate, ppo.kl_coef).",
        )


def _rivals(findings: Findings, history: History) -> Iterator[Note]:
    taken_away = first_look.taken_away(metrics(findings))
    for rival, way in CHEAPER.items():
        name = f"ppo_vs_{rival}"
        if findings.win_rate(name) is None or name in taken_away:
            continue
        rate = words.controlled(findings, name)
        if rate.low <= 0.5 and rate.low < rate.high:
            yield Note(
                f"PPO against {words.called(rival)}, sampled, controlled: {percent_interval(rate)}.",
                f"{way} does as well here and is cheaper; PPO has still to show what it adds.",
            )


def _best_of_n(findings: Findings, history: History) -> Iterator[Note]:
    """Compare PPO with best of n by the same reward model, on the prompts of the curve, at no more KL."""
    if first_look.better_best_of(metrics(findings)):
        return
    tasks = [index for index, prompt in enumerate(findings.prompts) if "task" in prompt]
    chosen = (tasks or list(range(len(findings.prompts))))[: findings.settings.best_of_n.curve_prompts]
    answers = findings.judged["ppo", "sampled"]
    own, spent = sum(answers[index].verdict for index in chosen) / len(chosen), findings.kl["ppo"][0].mean
    better = [row for row in findings.best_of_n if row["kl"] <= spent and row["low"] > own]
    if better:
        best = better[-1]
        score = interval(Interval(best["score"], best["low"], best["high"]))
        yield Note(
            f"Best of {best['n']} by the same reward model reaches a mean {findings.decided_by} of {score} at "
            f"{number(best['kl'])} nats, PPO {number(own)} at {number(spent)} on the same prompts.",
            "The reward model knows more than PPO has learned from it: more ppo.iterations, a higher "
            "ppo.policy_optimisation.learning_rate or a lower ppo.kl_coef may bring more of it out.",
        )


def _still_learning(findings: Findings, history: History) -> Iterator[Note]:
    """Compare the last quarter of PPO's iterations with the quarter before: a rise of two standard errors is one."""
    curve, ppo = history.curves["ppo"], history.metrics["ppo"]
    quarter = len(curve) // 4
    if quarter < 2 or "over_optimised_at" in ppo:
        return
    _, scores = column(curve, "score")
    _, spreads = column(curve, "score_std")
    before, last = (sum(part) / quarter for part in (scores[-2 * quarter : -quarter], scores[-quarter:]))
    episodes = quarter * ppo["episodes"] / len(curve)
    error = (2 * max(spreads[-2 * quarter :]) ** 2 / episodes) ** 0.5
    if last - before > 2 * error:
        yield Note(
            f"The reward model's score still rose at the end: {number(before)} in the last but one quarter of PPO's iterations, "
            f"{number(last)} in the last.",
            "More ppo.iterations may go further; watch gold or the judge, which need not rise with it.",
        )


def _categories(findings: Findings, history: History) -> Iterator[Note]:
    parts = [part for part in findings.slices if part.division == "category"]
    agreement = history.metrics["reward_model"]["by_category"]
    behind = [part for part in parts if part.win_rates["ppo_vs_sft"].low <= 0.5]
    if behind and len(behind) < len(parts):
        yield Note(
            f"No gain over SFT, sampled and plain, is shown in the categories: {_listed(behind)}.",
            "Read those samples; more prompts and comparisons of them, or demonstrations for SFT, are what can move them.",
        )
    weak = [
        f"{name.replace('_', ' ')} ({percent(own['accuracy'])}, TF-IDF {percent(own['tfidf_accuracy'])})"
        for name, own in agreement.items()
        if own["pairs"] >= ENOUGH_PAIRS and own["accuracy"] <= own["tfidf_accuracy"]
    ]
    if weak and len(weak) < len(agreement):
        yield Note(
            f"The reward model is no better than a bag of words in the categories: {', '.join(weak)}.",
            "More comparisons of them would show whether there is more to learn.",
        )


def _listed(parts: Sequence[Slice]) -> str:
    return "; ".join(
        f"{part.part.replace('_', ' ')} {percent_interval(part.win_rates['ppo_vs_sft'])}" for part in parts
    )


def _sharper(findings: Findings, history: History) -> Iterator[Note]:
    of_ppo = [findings.summaries["ppo", decoding].scores for decoding in ("sampled", "greedy")]
    if any(findings.decided_by not in scores for scores in of_ppo):
        return  # gold decides some prompts and the judge others: there is no one scale
    sampled, greedy = (scores[findings.decided_by] for scores in of_ppo)
    if greedy.low > sampled.high:
        yield Note(
            f"PPO's mean {findings.decided_by} is {interval(greedy)} greedy and {interval(sampled)} sampled at temperature 1.",
            f"Use it at a low temperature: {findings.best_temperature['ppo']:g} was the best on validation prompts.",
        )


def _tax(findings: Findings, history: History) -> Iterator[Note]:
    loss = findings.document_loss
    if loss and loss["ppo"] - loss["base"] > TAX:
        yield Note(
            f"Pretraining text costs {number(loss['ppo'])} nats a token after PPO, {number(loss['base'])} before SFT "
            f"({number(loss['sft'])} after it).",
            "Where general language matters, mix pretraining text into PPO (ppo.ptx_coef above 0); it costs some of the gain.",
        )

"""What to try next is said in words, with its figures, and a rule is silent where there is nothing to see."""

import pytest

from rlhf.evaluation.advising.advice import advice
from rlhf.evaluation.findings import Findings
from rlhf.evaluation.history import History
from rlhf.evaluation.statistics import Interval
from tests.evaluation import invented


@pytest.fixture(scope="module")
def found() -> Findings:
    return invented.evaluation()


def said(found: Findings, trained: History) -> str:
    return "\n".join(f"{note.seen} {note.follows}" for note in advice(found, trained))


def with_rate(found: Findings, name: str, *interval: float) -> Findings:
    """Return findings with another win rate, plain and controlled alike."""

    def changed(rates):
        return [one._replace(interval=Interval(*interval)) if one.comparison.name == name else one for one in rates]

    return found._replace(win_rates=changed(found.win_rates), controlled=changed(found.controlled))


def with_ppo(found: Findings, decoding: str, **changed) -> Findings:
    own = found.summaries["ppo", decoding]._replace(**changed)
    return found._replace(summaries={**found.summaries, ("ppo", decoding): own})


def with_reward_model(**changed: float) -> History:
    trained = invented.history()
    trained.metrics["reward_model"].update(changed)
    return trained


def still_rising() -> History:
    trained = invented.history()
    for point in trained.curves["ppo"]:
        point["score"] = 0.1 * point["step"]
    return trained


BEST = {"n": 16, "kl": 2.0, "reward_model": 1.6, "score": 0.95, "low": 0.93, "high": 0.97, "oracle": 0.99}


def test_an_evaluation_in_which_all_is_well_calls_for_nothing(found):
    assert said(found, invented.history()) == ""


@pytest.mark.parametrize(
    ("change", "trained", "words"),
    [
        (
            lambda f: with_rate(f, "ppo_vs_sft_greedy", 0.18, 0.10, 0.26), None,
            "greedy 18% (10 to 26%). Read the answers of the worse decoding",
        ),
        (None, lambda: invented.history(over_optimised_at=12), "From iteration 12 on, gold falls"),
        (lambda f: with_rate(f, "ppo_vs_sft", 0.52, 0.45, 0.59), None, "SFT, sampled, controlled: 52% (45 to 59%)"),
        (
            lambda f: with_rate(f, "ppo_vs_feedme", 0.51, 0.48, 0.54), None,
            "PPO against FeedME, sampled, controlled: 51% (48 to 54%)",
        ),
        (
            lambda f: f._replace(best_of_n=[BEST]), None,
            "Best of 16 by the same reward model reaches a mean gold of 0.95 (0.93 to 0.97) at 2.00 nats",
        ),
        (None, still_rising, "still rose at the end"),
        (
            None,
            lambda: with_reward_model(by_category={
                "chat": {"accuracy": 0.55, "tfidf_accuracy": 0.6, "pairs": 300},
                "open_qa": {"accuracy": 0.7, "tfidf_accuracy": 0.6, "pairs": 300},
            }),
            "no better than a bag of words in the categories: chat (55%, TF-IDF 60%).",
        ),
        (
            lambda f: f._replace(slices=[
                part._replace(win_rates={**part.win_rates, "ppo_vs_sft": Interval(0.5, 0.3, 0.7)})
                if part.part == "open_qa" else part for part in f.slices
            ]), None,
            "No gain over SFT, sampled and plain, is shown in the categories: open qa 50% (30 to 70%).",
        ),
        (
            lambda f: with_ppo(f, "greedy", scores={"gold": Interval(0.99, 0.98, 1.0)}), None,
            "PPO's mean gold is 0.99 (0.98 to 1.00) greedy",
        ),
        (
            lambda f: f._replace(document_loss={"base": 0.55, "sft": 1.66, "ppo": 1.62}), None,
            "costs 1.62 nats a token after PPO, 0.55 before SFT (1.66 after it)",
        ),
    ],
)  # fmt: skip
def test_what_stands_out_is_said(found, change, trained, words):
    assert words in said(change(found) if change else found, trained() if trained else invented.history())


def with_scores(found: Findings, decoding: str, **interval: tuple[float, float, float]) -> Findings:
    own = {name: Interval(*bounds) for name, bounds in interval.items()}
    return with_ppo(found, decoding, scores={**found.summaries["ppo", decoding].scores, **own})


def with_slices(found: Findings, low: float, *parts: str) -> Findings:
    """Return findings in which PPO's win rate on these categories reaches down to `low`."""
    slices = [
        part._replace(win_rates={**part.win_rates, "ppo_vs_sft": Interval(0.7, low, 0.9)})
        if part.part in parts else part
        for part in found.slices
    ]  # fmt: skip
    return found._replace(slices=slices)


def with_best(found: Findings, **changed: float) -> Findings:
    return found._replace(best_of_n=[BEST | changed])


def own_gold(found: Findings) -> float:
    """Return PPO's mean gold on the prompts of the curve, which are all."""
    answers = found.judged["ppo", "sampled"]
    return sum(answer.gold for answer in answers) / len(answers)


def rising(rise: float, points: int = 30, **first: float) -> History:
    """Return a training whose last quarter scores so much more than the one before; `first` changes its first point."""
    trained = invented.history()
    del trained.curves["ppo"][points:]
    for point in trained.curves["ppo"]:
        point["score"] = 0.5 + rise * (point["step"] > points - points // 4)
    trained.curves["ppo"][0].update(first)
    return trained


def with_categories(*figures: tuple[float, float, int]) -> History:
    named = zip(("chat", "open_qa", "rewrite"), figures, strict=False)
    own = {name: dict(zip(("accuracy", "tfidf_accuracy", "pairs"), one, strict=True)) for name, one in named}
    return with_reward_model(by_category=own)


@pytest.mark.parametrize(
    ("change", "trained", "words"),
    [
        (lambda f: with_rate(with_rate(f, "ppo_vs_sft", 0.45, 0.4, 0.5), "ppo_vs_sft_greedy", 0.45, 0.4, 0.49),
         None, "PPO against SFT, controlled: sampled 45% (40 to 50%), greedy 45% (40 to 49%)"),
        (lambda f: with_rate(with_rate(f, "ppo_vs_sft", 0.45, 0.4, 0.49), "ppo_vs_sft_greedy", 0.45, 0.4, 0.5),
         None, "PPO against SFT, controlled: sampled 45% (40 to 49%), greedy 45% (40 to 50%)"),
        (lambda f: with_rate(f, "ppo_vs_sft", 0.6, 0.5, 0.7), None, "SFT, sampled, controlled: 60% (50 to 70%)"),
        (lambda f: with_rate(f, "ppo_vs_sft", 0.4, 0.3, 0.5), None, "SFT, sampled, controlled: 40% (30 to 50%)"),
        (lambda f: with_rate(f, "ppo_vs_feedme", 0.6, 0.5, 0.7), None, "FeedME, sampled, controlled: 60% (50 to 70%)"),
        (lambda f: with_best(f, kl=2.1), None, "at 2.10 nats, PPO"),
        (None, lambda: rising(0.037), "still rose at the end: 0.50 in the last but one quarter"),
        (None, lambda: rising(0.037, score_std=9.0), "0.54 in the last"),
        (None, lambda: rising(1.0, points=8), "still rose at the end"),
        (lambda f: with_slices(f, 0.5, "open_qa"), None, "in the categories: open qa 70% (50 to 90%)."),
        (None, lambda: with_categories((0.6, 0.6, 100), (0.7, 0.6, 400)), "in the categories: chat (60%, TF-IDF 60%)."),
    ],
)  # fmt: skip
def test_a_figure_that_just_reaches_its_threshold_is_said(found, change, trained, words):
    assert words in said(change(found) if change else found, trained() if trained else invented.history())


@pytest.mark.parametrize(
    ("change", "trained"),
    [
        (lambda f: with_rate(f, "ppo_vs_feedme", 0.5, 0.5, 0.5), None),
        (lambda f: with_rate(f, "ppo_vs_sft", 0.5, 0.5, 0.5), None),
        (lambda f: with_best(f, kl=2.11), None),
        (lambda f: with_best(f, low=own_gold(f)), None),
        (None, lambda: rising(0.03)),
        (None, lambda: rising(1.0, points=7)),
        (lambda f: with_slices(f, 0.5, "open_qa", "generation"), None),
        (None, lambda: with_categories((0.6, 0.6, 99), (0.7, 0.6, 400))),
        (None, lambda: with_categories((0.6, 0.6, 400))),
        (lambda f: with_scores(f, "greedy", gold=(0.9, f.summaries["ppo", "sampled"].scores["gold"].high, 1.0)), None),
        (lambda f: f._replace(document_loss={"base": 0.0, "sft": 0.0, "ppo": 0.1}), None),
    ],
)
def test_a_figure_that_does_not_pass_its_threshold_is_not_spoken_of(found, change, trained):
    assert said(change(found) if change else found, trained() if trained else invented.history()) == ""

"""What must be known first is said, below and above its threshold, the gravest first, and everywhere alike."""

import pytest

from rlhf.evaluation import model_card, report, report_words
from rlhf.evaluation.advising import evaluated, first_look
from rlhf.evaluation.advising.advice import advice
from rlhf.evaluation.findings import Findings, metrics
from rlhf.evaluation.held_out_text import HeldOutText
from rlhf.evaluation.history import History
from rlhf.evaluation.statistics import Interval
from tests.evaluation import invented, pages
from tools import summary

WIN, GONE = (0.83, 0.81, 0.85), (0.52, 0.48, 0.56)


@pytest.fixture(scope="module")
def evaluate() -> dict:
    return metrics(invented.evaluation())


@pytest.fixture(scope="module")
def judged() -> dict:
    return metrics(invented.evaluation(with_gold=False))


def reward_model(**changed: float) -> dict:
    return invented.of_a_reward_model(accuracy=0.729, pairs=4321) | changed


def said(evaluate: dict, own: dict | None = None) -> str:
    return "\n".join(f"{note.seen} {note.follows}" for note in first_look.warnings(evaluate, own or reward_model()))


def shares(evaluate: dict, name: str, **changed: float) -> dict:
    return evaluate | {name: evaluate[name] | changed}


def intervals(evaluate: dict, group: str, **changed: tuple[float, float, float]) -> dict:
    own = {name: dict(zip(("mean", "low", "high"), bounds, strict=True)) for name, bounds in changed.items()}
    return evaluate | {group: evaluate[group] | own}


def text(evaluate: dict, loss: float = 2.4, entropy: float = 4.8, documents: int = 30) -> dict:
    described = {"documents": documents, "unigram_entropy": entropy}
    return evaluate | {"document_loss": evaluate["document_loss"] | {"base": loss}, "held_out_text": described}


def won(evaluate: dict, name: str, plain: tuple, controlled: tuple) -> dict:
    return intervals(intervals(evaluate, "win_rate", **{name: plain}), "controlled", **{name: controlled})


def behind(evaluate: dict, plain: float, controlled: float) -> dict:
    name = "ppo_vs_best_of_4"
    found = intervals(evaluate, "difference", **{name: (plain, plain - 0.02, plain + 0.02)})
    return intervals(found, "controlled_difference", **{name: (controlled, controlled - 0.01, controlled + 0.01)})


def rival(evaluate: dict, name: str, rate: tuple, points: tuple) -> dict:
    return intervals(intervals(evaluate, "controlled", **{name: rate}), "controlled_difference", **{name: points})


def test_where_all_is_well_nothing_is_said(evaluate, judged):
    assert said(evaluate) == said(judged) == ""
    assert first_look.markdown([]) == ""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda e: e | {"score_range": {"low": 0.25, "high": 0.25}},
            "Every answer of every policy scores 0.25: nothing can be compared. The base model is too small",
        ),
        (
            lambda e: shares(e, "empty", ppo_greedy=0.674, ppo_sampled=0.3),
            "Answers are empty: PPO 30% sampled, 67% greedy. PPO: the reward model likes saying nothing",
        ),
        (lambda e: shares(e, "empty", ppo_best_temperature=0.5), "Answers are empty: PPO 50% at the best temperature."),
        (lambda e: shares(e, "empty", sft_greedy=0.0501), "Answers are empty: SFT 5% greedy. SFT: look for"),
        (lambda e: shares(e, "empty", feedme_sampled=0.2), "Answers are empty: FeedME 20% sampled. FeedME: look at"),
        (
            lambda e: shares(e, "missing_eos", ppo_sampled=0.21, sft_sampled=0.4),
            "Answers are cut off, without an EOS: PPO 21% sampled; SFT 40% sampled. Raise "
            "evaluate.max_completion_tokens if they are good. Else, PPO: lower ppo.missing_eos_score. Else, SFT: ",
        ),
        (
            lambda e: text(e, loss=9.0, entropy=10.0),
            "texts are noise: held-out text costs it 9.00 nats a token, ",
        ),
        (lambda e: text(e, loss=12.0, entropy=10.0), "knows no more than how frequent each token is 10.00."),
        (lambda e: text(e, documents=1), "Every loss on pretraining text rests on one document."),
        (
            lambda e: won(e, "ppo_vs_feedme_greedy", WIN, GONE),
            "Controlled, these wins are gone: PPO against FeedME, greedy, 83% plain and 52% (48 to 56%) controlled.",
        ),
        (
            lambda e: won(e, "ppo_vs_best_of_4", WIN, (0.6, 0.5, 0.7)),
            "PPO against best of 4, sampled, 83% plain and 60% ",
        ),
        (
            lambda e: won(e, "ppo_vs_sft", WIN, (0.4, 0.3, 0.45)),
            "SFT, sampled, 83% plain and 40% (30 to 45%)",
        ),
        (
            lambda e: behind(e, plain=-0.009, controlled=-0.044),
            "Best of 4 by the same reward model has a higher mean gold than PPO, plain or controlled: PPO minus best "
            "of 4 is −0.009 (−0.029 to +0.011) plain, −0.044 (−0.054 to −0.034) controlled.",
        ),
        (
            lambda e: rival(e, "ppo_vs_feedme_greedy", (0.46, 0.40, 0.499), (0.0, -0.1, 0.1)),
            "A cheaper rival is ahead of PPO, controlled: PPO against FeedME, greedy, wins 46% (40 to 50%), mean gold "
            "+0.00 (−0.10 to +0.10). It learned",
        ),
        (
            lambda e: rival(e, "ppo_vs_feedme", (0.5, 0.4, 0.6), (-0.04, -0.08, -0.001)),
            "PPO against FeedME, sampled, wins 50% (40 to 60%), mean gold −0.04 (−0.08 to ",
        ),
        (lambda e: behind(e, plain=0.02, controlled=-0.001), "−0.001 (−0.011 to +0.009) controlled."),
        (lambda e: behind(e, plain=-0.001, controlled=0.02), "−0.001 (−0.021 to +0.019) plain"),
    ],
)
def test_what_an_evaluation_warns_of_is_said(evaluate, change, words):
    assert words in said(change(evaluate))


@pytest.mark.parametrize(
    "change",
    [
        lambda e: e | {"score_range": {"low": 0.25, "high": 0.2501}},
        lambda e: shares(e, "empty", ppo_greedy=0.05, ppo_sampled=0.05, sft_greedy=0.05, base_greedy=1.0),
        lambda e: shares(e, "missing_eos", ppo_greedy=0.2, ppo_sampled=0.2, sft_sampled=0.2, base_sampled=0.9),
        lambda e: text(e, loss=8.999, entropy=10.0),
        lambda e: text(e, documents=2),
        lambda e: {name: e[name] for name in e if name not in ("document_loss", "held_out_text")},
        lambda e: won(e, "ppo_vs_feedme", WIN, (0.55, 0.501, 0.6)),
        lambda e: won(e, "ppo_vs_feedme", (0.55, 0.5, 0.6), GONE),
        lambda e: won(e, "feedme_vs_sft", WIN, GONE),  # it is not PPO's
        lambda e: rival(e, "ppo_vs_feedme_greedy", (0.55, 0.51, 0.6), (-0.04, -0.08, 0.0)),
        lambda e: rival(e, "copy_vs_sft_greedy", (0.1, 0.05, 0.2), (-0.6, -0.7, -0.5)),
        lambda e: intervals(e, "trivial", closing_vs_sft_greedy=WIN),
        lambda e: behind(e, plain=0.0, controlled=0.0),
    ],
)
def test_what_does_not_pass_its_threshold_is_not_spoken_of(evaluate, change):
    assert said(change(evaluate)) == ""


@pytest.mark.parametrize(
    ("own", "words"),
    [
        (
            {"accuracy": 0.654},
            "The reward model agrees with labelers on 65.4% of held-out pairs, a bag of words (TF-IDF) on 65.4%",
        ),
        ({"accuracy": 0.555, "tfidf_accuracy": 0.627}, "Doubt what PPO has learned from it."),
        (
            {"longer_preferred_by_model": 0.67, "longer_chosen_by_labelers": 0.37},
            "The reward model prefers the longer answer in 67% of pairs, labelers in 37%; sampled, PPO's answers have ",
        ),
        ({"longer_preferred_by_model": 0.3, "longer_chosen_by_labelers": 0.401}, "in 30% of pairs, labelers in 40%; "),
    ],
)
def test_what_a_reward_model_warns_of_is_said(evaluate, judged, own, words):
    """The judge's own faults count where it decides."""
    assert words in said(evaluate, reward_model(**own))
    by_judge = said(judged | {"judged_by": judged["judged_by"] | own})
    assert (
        words.replace("reward model", "judge").replace("what PPO has learned from it", "every verdict here") in by_judge
    )
    assert said(evaluate | {"judged_by": judged["judged_by"] | own}) == ""  # there gold decides


@pytest.mark.parametrize(
    "own",
    [
        {"accuracy": 0.655, "tfidf_accuracy": 0.654},
        {"longer_preferred_by_model": 0.65, "longer_chosen_by_labelers": 0.55},
        {"longer_preferred_by_model": 0.55, "longer_chosen_by_labelers": 0.65},
    ],
)
def test_a_reward_model_within_its_thresholds_is_not_spoken_of(evaluate, own):
    assert said(evaluate, reward_model(**own)) == ""


def test_where_no_reward_model_was_trained_nothing_is_said_of_it(evaluate):
    assert first_look.warnings(evaluate, {"training_prompts": 0, "by_category": {}}) == []


def test_the_length_that_is_told_is_that_of_the_policies_and_of_the_comparison_at_equal_length(evaluate):
    changed = shares(evaluate, "num_tokens", ppo_sampled=22.25, sft_sampled=11.75)
    changed = intervals(changed, "win_rate", ppo_vs_sft_length_controlled=(0.61, 0.57, 0.65))
    words = said(changed, reward_model(longer_preferred_by_model=0.8))
    assert "PPO's answers have 22.2 tokens, SFT's 11.8. " in words
    assert "at equal length PPO's win rate over SFT, sampled and plain, is 61% (57 to 65%)." in words


def test_the_gravest_stands_first(evaluate):
    worst = behind(won(text(evaluate, loss=5.0, documents=1), "ppo_vs_sft", WIN, GONE), -0.1, -0.1)
    worst = rival(worst, "ppo_vs_feedme", (0.4, 0.3, 0.45), (-0.1, -0.2, -0.05))
    worst = shares(shares(worst, "empty", ppo_greedy=0.6), "missing_eos", ppo_greedy=0.6)
    worst |= {"score_range": {"low": 0.0, "high": 0.0}}
    notes = first_look.warnings(worst, reward_model(accuracy=0.5, longer_preferred_by_model=0.8))
    order = (
        "Every answer",
        "empty",
        "cut off",
        "noise",
        "TF-IDF",
        "rival is ahead",
        "wins are gone",
        "Best of 4",
        "longer",
        "one document",
    )
    assert len(notes) == len(order)
    for note, words in zip(notes, order, strict=True):
        assert words in note.seen


def changed_by(found: Findings, **rates: tuple[float, float, float]) -> Findings:
    """Return findings with other win rates, plain and controlled alike."""

    def with_rates(group):
        return [one._replace(interval=Interval(*rates.get(one.comparison.name, one.interval))) for one in group]

    return found._replace(win_rates=with_rates(found.win_rates), controlled=with_rates(found.controlled))


def somebodys() -> tuple[Findings, History]:
    """Return what was once measured on somebody's data, and called "no difference": the judge decides, SFT is sound."""
    found, trained = invented.evaluation(86, with_gold=False), invented.history()
    found = changed_by(
        found, ppo_vs_sft=(0.51, 0.40, 0.61), ppo_vs_sft_greedy=(0.18, 0.10, 0.26),
        ppo_vs_sft_best_temperature=(0.23, 0.15, 0.32),
    )  # fmt: skip
    greedy = found.summaries["ppo", "greedy"]._replace(empty=0.674, missing_eos=0.279)
    trained.metrics["reward_model"].update(
        accuracy=0.555, tfidf_accuracy=0.627, longer_preferred_by_model=0.67, longer_chosen_by_labelers=0.37
    )
    return found._replace(summaries={**found.summaries, ("ppo", "greedy"): greedy}), trained


SOMEBODYS = (
    "RLHF made answers worse when greedy and at the best temperature; no difference was shown when sampled",
    "At its weakest, greedy, PPO has a controlled mean judge of ",
    "it beats SFT on 18% (10 to 26%) of 86 held-out prompts controlled, on 18% (10 to 26%) plain.",
    "Look at this first",
    "Answers are empty: PPO 67% greedy.",
    "Answers are cut off, without an EOS: PPO 28% greedy.",
    "The reward model agrees with labelers on 55.5% of held-out pairs, a bag of words (TF-IDF) on 62.7%.",
    "The reward model prefers the longer answer in 67% of pairs, labelers in 37%;",
)


def test_a_policy_that_is_ruined_when_greedy_is_called_so_on_the_page_the_card_and_in_the_terminal(plots_drawn_once):
    found, trained = somebodys()
    told = evaluated.of(found, trained, {})
    evaluate, own = told.metrics, trained.metrics["reward_model"]
    page = "\n".join(pages.lines(report.html(told)))
    card = model_card.markdown(told, {"folder": "data/ppo/r1", "parameters": 1})
    terminal = "\n".join(
        [*summary.headline(evaluate), *summary.look_first(evaluate, own), *summary.win_rates(evaluate)]
    )
    for shown in (page, card, terminal):
        for words in SOMEBODYS:
            assert words in shown
        assert "No difference" not in shown
    assert page.index("## Look at this first") < page.index("## Win rates")
    assert card.index("Look at this first") < card.index("## Measured")
    assert terminal.index("Look at this first") < terminal.index("win rate (judge decides)")


def test_what_is_said_first_is_not_said_again_as_advice():
    found, trained = somebodys()
    found = changed_by(found, ppo_vs_sft=GONE, ppo_vs_feedme=GONE, ppo_vs_best_of_4=GONE)
    plain = [
        rate._replace(interval=Interval(*WIN)) if rate.comparison.name in ("ppo_vs_sft", "ppo_vs_feedme") else rate
        for rate in found.win_rates
    ]
    above = {"n": 16, "kl": 2.0, "reward_model": 1.6, "score": 95.0, "low": 93.0, "high": 97.0, "oracle": 99.0}
    lower = {**found.differences, "ppo_vs_best_of_4": Interval(-0.1, -0.2, 0.0)}
    found = found._replace(best_of_n=[above])
    told = advice(found, trained, metrics(found))
    assert [note for note in told if note.seen.startswith("Best of 16")]
    assert [note for note in told if "PPO against FeedME" in note.seen]
    assert [note for note in told if note.seen.startswith("PPO against SFT, sampled, controlled: 52%")]
    found = found._replace(win_rates=plain, differences=lower)
    told = advice(found, trained, metrics(found))
    words = " ".join(f"{note.seen} {note.follows}" for note in told)
    for said_first in (
        "Best of 16",
        "PPO against FeedME",
        "PPO against SFT, sampled, controlled: 52%",
        "empty",
        "TF-IDF",
    ):
        assert said_first not in words


def test_the_warnings_of_a_page_in_markdown_are_a_list_below_their_title(evaluate):
    found = first_look.warnings(shares(evaluate, "empty", ppo_greedy=0.6), reward_model(accuracy=0.5))
    lines = first_look.markdown(found).splitlines()
    assert lines[:2] == ["**Look at this first**", ""]
    assert [line[:24] for line in lines[2:]] == ["- **Answers are empty: P", "- **The reward model agr"]


def test_a_described_text_reaches_the_metrics_and_none_is_left_out():
    found = invented.evaluation()
    assert metrics(found)["held_out_text"] == {"documents": 30, "unigram_entropy": 4.8}
    assert "held_out_text" not in metrics(found._replace(held_out_text=None))
    own = metrics(found._replace(held_out_text=HeldOutText(1, 2.5)))
    assert "rests on one document" in said(own)


def test_the_range_of_scores_is_that_of_every_answer(evaluate):
    found = invented.evaluation()
    scores = [answer.gold for answers in found.judged.values() for answer in answers]
    assert evaluate["score_range"] == {"low": min(scores), "high": max(scores)}


def test_the_lead_says_what_one_sentence_is_worth_and_is_silent_where_none_was_tried(evaluate):
    found = invented.evaluation()
    won = dict.fromkeys(["closing_vs_sft_greedy"], (0.893, 0.87, 0.91))
    trivial = [rate._replace(interval=Interval(*won.get(rate.comparison.name, (0, 0, 0)))) for rate in found.trivial]
    lead = " ".join(report_words.lead(found._replace(trivial=trivial), evaluate))
    assert "greedy, SFT with one closing sentence added wins 89% plain, 50% controlled, against SFT as it is." in lead
    assert "closing sentence" not in " ".join(report_words.lead(found._replace(trivial=[]), evaluate))

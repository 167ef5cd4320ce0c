"""The report as a page: complete, offline, escaped, every figure in its place, equal bytes for equal findings."""

import json
import re

import pytest
from ruamel.yaml import YAML

from rlhf.evaluation import findings, headline, model_card, report, report_words, verdicts
from rlhf.evaluation.advising import evaluated
from rlhf.evaluation.advising.evaluated import Evaluated
from rlhf.evaluation.advising.notes import Note
from rlhf.evaluation.controls import trivial
from rlhf.evaluation.findings import Findings
from rlhf.evaluation.history import History
from rlhf.evaluation.report_page import Link, Links, Notes, Section, Table, page
from rlhf.evaluation.statistics import Bootstrap, Interval
from rlhf.evaluation.typography import percent_interval
from tests.evaluation import invented
from tests.evaluation.pages import Page

pytestmark = pytest.mark.usefixtures("plots_drawn_once")
EVIL = '</script><img src=x onerror="alert(1)">'


@pytest.fixture(scope="module")
def found() -> Findings:
    return invented.evaluation()


@pytest.fixture(scope="module")
def html(found) -> str:
    return report.html(told(found, invented.history()))


def told(found: Findings, trained: History) -> Evaluated:
    return evaluated.of(found, trained, {})


def lead_of(found: Findings) -> list[str]:
    return report_words.lead(found, findings.metrics(found))


@pytest.fixture(scope="module")
def tables(html):
    return Page(html).tables


def data_of(html: str) -> dict:
    """Return the samples that the page's script shows."""
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)[1])


def rates(found: Findings, **intervals: tuple[float, float, float]) -> Findings:
    """Return the findings with other controlled win rates."""
    changed = [
        rate._replace(interval=Interval(*intervals.get(rate.comparison.name, rate.interval)))
        for rate in found.controlled
    ]
    return found._replace(controlled=changed)


@pytest.mark.parametrize(
    ("sampled", "greedy", "best", "claim"),
    [
        ((0.7, 0.6, 0.8), (0.9, 0.8, 0.95), (0.8, 0.7, 0.9), "RLHF helped"),
        ((0.3, 0.2, 0.4), (0.1, 0.0, 0.2), (0.2, 0.1, 0.3), "RLHF made answers worse"),
        ((0.5, 0.4, 0.6), (0.5, 0.4, 0.6), (0.5, 0.4, 0.6), "No difference was shown"),
        (
            (0.7, 0.6, 0.8), (0.2, 0.1, 0.3), (0.8, 0.7, 0.9),
            "RLHF made answers worse when greedy; it helped when sampled and at the best temperature",
        ),
        (
            (0.9, 0.8, 0.95), (0.9, 0.8, 0.95), (0.5, 0.4, 0.6),
            "No difference was shown at the best temperature; RLHF helped when sampled and greedy",
        ),
    ],
)  # fmt: skip
def test_the_headline_says_what_the_three_controlled_intervals_allow(found, sampled, greedy, best, claim):
    changed = rates(found, ppo_vs_sft=sampled, ppo_vs_sft_greedy=greedy, ppo_vs_sft_best_temperature=best)
    assert headline.result(findings.metrics(changed)) == claim


def test_where_all_answers_are_alike_the_headline_says_so():
    found = invented.evaluation()
    alike = {key: [answer._replace(gold=0.25) for answer in answers] for key, answers in found.judged.items()}
    words = headline.result(findings.metrics(invented.concluded(found.prompts, alike)))
    assert words == "Nothing to compare: PPO and SFT tie on all 40 held-out prompts"


def test_the_lead_gives_every_controlled_win_rate_and_the_plain_one_beside_it(found):
    names = ("ppo_vs_sft", "ppo_vs_sft_greedy", "ppo_vs_sft_best_temperature", "ppo_vs_feedme", "ppo_vs_best_of_4")
    intervals = {name: (0.6 + place / 100, 0.5, 0.75) for place, name in enumerate(names)}
    _, ways, rivals, *_ = lead_of(rates(found, **intervals))
    told = [
        text
        for paragraph in (ways, rivals)
        for text in re.findall(r"\d+% \([^)]+\) controlled, \d+%[^;.]* plain", paragraph)
    ]
    expected = [
        f"{percent_interval(Interval(*own))} controlled, {percent_interval(found.win_rate(name).interval)} plain"
        for name, own in intervals.items()
    ]
    assert told == expected


def test_the_lead_names_each_policys_own_best_temperature(found):
    lead = " ".join(lead_of(found._replace(best_temperature={"sft": 0.75, "ppo": 0.25})))
    assert "SFT 0.75, PPO 0.25" in lead


def test_the_page_loads_nothing_from_elsewhere(html):
    addresses = set(re.findall(r"""https?://[^\s"'<>]+""", html))
    assert html.endswith("</html>\n")
    assert all(address.startswith("http://www.w3.org/") for address in addresses)  # names of SVG's vocabularies
    assert not re.search(r"<link|<iframe|@import|src=|url\((?!#)", html)


def test_text_from_users_models_and_data_never_becomes_markup():
    trained = invented.history()
    trained.metrics["reward_model"]["by_category"][EVIL] = {"accuracy": 0.5, "tfidf_accuracy": 0.6, "pairs": 400}
    trained.sources[0]["licence"] = EVIL
    html = report.html(told(invented.evaluation(text=EVIL, category=EVIL), trained))
    assert "img" not in Page(html).tags
    assert "<b>0</b>" not in html
    assert EVIL in Page(html).tables["Where it helps"][0]  # as words
    rows = data_of(html)["rows"]
    assert rows[0]["answers"][0]["text"] == EVIL
    assert rows[0]["turns"][0][1].endswith("<b>0</b>.")


def test_equal_findings_give_equal_bytes(html, plots_drawn_anew):
    assert html == report.html(told(invented.evaluation(), invented.history()))


def figure(text: str) -> float:
    """Return the figure that a cell begins with."""
    return float(text.split(" ")[0].replace("−", "-").rstrip("%"))


def test_every_policys_scores_and_criteria_are_its_own(found, tables):
    names = {"gold": "gold", "strict": "strict gold", "judge": "judge", "reward_model": "reward model"}
    scores, criteria = tables["Scores"][0], tables["Criteria"][0]
    for key, summary in found.summaries.items():
        row = report_words.called(*key)
        shown = {name: figure(scores[row][column]) for name, column in names.items()}
        assert shown == {name: pytest.approx(summary.scores[name].mean, abs=0.00501) for name in names}
    for policy in ("sft", "feedme", "ppo"):
        for decoding in ("sampled", "greedy"):
            for name, interval in found.summaries[policy, decoding].criteria.items():
                cell = criteria[name][report_words.called(policy, decoding)]
                assert figure(cell) == pytest.approx(interval.mean, abs=0.00501)


def test_policies_stand_in_one_order_in_scores_and_criteria(tables):
    shown = list(tables["Criteria"][0]["facts"])[1:]
    assert shown == [name for name in tables["Scores"][0] if name in shown]
    assert len(shown) == 6


def test_every_win_rate_stands_at_its_question_and_its_decoding(found, tables):
    table = tables["Win rates"][0]
    for name, row, column in (
        ("ppo_vs_sft", "PPO against SFT", "sampled"),
        ("ppo_vs_sft_greedy", "PPO against SFT", "greedy"),
        ("ppo_vs_sft_best_temperature", "PPO against SFT", "best temperature"),
        ("ppo_vs_sft_length_controlled", "PPO against SFT, at equal length", "sampled"),
        ("strict_ppo_vs_feedme_greedy", "PPO against FeedME, by the strict gold", "greedy"),
        ("reward_model_ppo_vs_sft", "PPO against SFT, by the reward model (the proxy)", "sampled"),
        ("ppo_vs_best_of_4", "PPO against best of 4", "sampled"),
    ):
        mean, low, high = found.win_rate(name).interval
        assert table[row][column] == f"{100 * mean:.1f}% ({100 * low:.1f} to {100 * high:.1f}%)"


def test_win_rates_stand_beside_their_controlled_ones_and_the_differences_of_means(found, tables):
    table = tables["With one closing each"][0]
    assert len(table) == len(found.controlled)
    for name, row in (
        ("ppo_vs_sft_greedy", "PPO against SFT, greedy"), ("ppo_vs_best_of_4", "PPO against best of 4, sampled"),
        ("ppo_vs_sft_best_temperature", "PPO against SFT, best temperature"),
        ("closing_vs_sft", "SFT and a fixed closing against SFT, sampled"),
        ("closing_feedme_vs_sft_greedy", "FeedME and a fixed closing against SFT, greedy"),
        ("refuse_vs_sft_greedy", "a refusal of everything against SFT, greedy"),
    ):  # fmt: skip
        plain = found.win_rate(name) or next(rate for rate in found.trivial if rate.comparison.name == name)
        rates = (plain.interval, found.controlled_rate(name).interval)
        differences = (found.differences[name], found.controlled_differences[name])
        shown = [figure(cell) for cell in list(table[row].values())[1:]]
        assert shown[:2] == pytest.approx([100 * one.mean for one in rates], abs=0.0501)
        assert shown[2] == pytest.approx(100 * found.controlled_rate(name).ties, abs=0.501)
        assert shown[3:] == pytest.approx([one.mean for one in differences], abs=0.000501)


def test_metrics_hold_the_controlled_figures_beside_the_win_rates_that_stay_what_they_were(found):
    figures = findings.metrics(found)
    asked = verdicts.questions(found.rounds[:-1], [4])
    assert [*figures["win_rate"]] == [question.name for question in asked]
    names = [question.name for question in asked if question.measure == "verdict" and "length" not in question.name]
    tricks = [question.name for question in trivial.QUESTIONS]
    strictly = [question.name for question in asked if question.measure == "strict"]
    assert [*figures["controlled"]] == [*names, *tricks, *strictly]
    strict = "strict_ppo_vs_feedme_greedy"
    assert figures["controlled"][strict] == figures["win_rate"][strict]
    assert [*figures["difference"]] == [*figures["controlled_difference"]] == [*names, *tricks]
    assert [*figures["trivial"]] == tricks
    for group in ("controlled", "difference", "controlled_difference", "trivial"):
        assert all(one["low"] <= one["mean"] <= one["high"] for one in figures[group].values())
    for key, mean in figures["controlled_mean"].items():
        assert mean["mean"] == pytest.approx(figures["gold"][key] / 2)
    assert figures["controlled_by_language"].keys() == {"en", "zh"}
    assert [*figures["controlled_by_turns"]["multi-turn"]] == [*findings.SLICED]
    assert figures["controlled_by_language"]["zh"]["ppo_vs_sft"].keys() == {"mean", "low", "high"}
    overlap = figures["length_overlap"]["ppo_vs_sft_greedy_length_controlled"]
    assert 0 < overlap["share"] < 0.5
    assert overlap.keys() == {"share", "mean", "low", "high"}
    assert found.controlled_rate("no such question") is None


def test_every_criterion_and_slice_is_on_the_page(tables):
    assert {"facts", "politeness"} == tables["Criteria"][0].keys()
    assert [[*rows] for rows in tables["Where it helps"]] == [
        ["generation", "open qa"], ["en", "zh"], ["facts", "harmful", "look alike", "story"],
        ["multi-turn", "single-turn"],
    ]  # fmt: skip


def test_what_was_trained_is_told_with_sources_licences_and_the_reward_models_own_accuracy(html, tables):
    steps, sources = tables["What was trained"]
    told = " ".join(cell for row in steps.values() for cell in row.values())
    for words in ("7,654,321 parameters", "98,765 tokens", "4,567 demonstrations", "7,680 episodes", "β = 0.3"):
        assert words in told
    assert "seed 23" in html
    assert sources["books"]["licence"] == "public domain"
    assert sources["books"]["rows kept"] == "1,100"
    assert tables["Reward model"][0]["agrees with labelers"] == {
        "on held-out pairs": "agrees with labelers", "reward model": "72.9%", "judge": "71.0%",
    }  # fmt: skip
    assert tables["Reward model"][0]["a TF-IDF baseline agrees with them"]["reward model"] == "65.4%"
    for title in (
        "PPO: reward model's score",
        "PPO: KL to SFT",
        "PPO: tokens an answer",
        "SFT: loss",
        "Base model: loss",
    ):
        assert f"<!-- {title}" in html  # matplotlib draws letters and says in a comment what they are


def test_an_adaptive_coefficient_is_told_from_first_to_last():
    trained = invented.history()
    trained.curves["ppo"][-1]["kl_coef"] = 0.45
    steps = Page(report.html(told(invented.evaluation(), trained))).tables["What was trained"][0]
    assert "β = 0.3 to 0.45" in steps["PPO, round r1"]["from"]


def test_a_base_model_that_was_adopted_is_not_said_to_be_trained():
    trained = invented.history()
    del trained.metrics["pretrain"]["tokens"], trained.metrics["pretrain"]["validation_loss"]
    trained = trained._replace(curves={**trained.curves, "pretrain": [{"step": 0, "loss": 0.0}]})
    html = report.html(told(invented.evaluation(), trained))
    assert "adopted" in Page(html).tables["What was trained"][0]["base model"]["from"]
    assert "Base model: loss" not in html


def test_without_a_gold_labeler_the_judge_decides_its_accuracy_is_told_and_no_row_stands_twice():
    found = invented.evaluation(with_gold=False)
    html = report.html(told(found, invented.history()))
    assert found.decided_by == "judge"
    assert "agrees with labelers on 71% of 1,234 held-out pairs" in html
    assert "prefers the longer answer in 58%" in html
    assert "Criteria" not in Page(html).tables
    assert found.win_rate("strict_ppo_vs_sft") is None
    rows = Page(html).tables["Win rates"][0]
    assert "PPO against SFT, by the judge" not in rows
    assert "PPO against SFT, by the reward model (the proxy)" in rows
    controlled = Page(html).tables["With one closing each"][0]
    assert "PPO against SFT, greedy" in controlled
    assert not [row for row in controlled if "closing" in row]
    assert "trivial" not in findings.metrics(found)


def test_every_answer_shown_is_that_of_the_policy_named(found, html):
    data = data_of(html)
    for row, prompt in zip(data["rows"], found.prompts, strict=True):
        for name, answer in zip(data["policies"], row["answers"], strict=True):
            policy, decoding = next(key for key in found.judged if report_words.called(*key) == name)
            assert answer["text"] == f"{policy} says, {decoding}, {prompt['id'][1:]}."
    text = report.samples_markdown(found, [7])
    for policy, decoding in report_words.SHOWN:
        assert re.search(
            rf"\| {report_words.called(policy, decoding)} \| .* \| {policy} says, {decoding}, 7\. \|", text
        )


def test_metrics_hold_the_promised_win_rates_with_their_intervals(found):
    rates = findings.metrics(found)["win_rate"]
    for name in (
        "ppo_vs_sft", "ppo_vs_sft_best_temperature", "ppo_vs_sft_greedy", "ppo_vs_best_of_4", "ppo_vs_feedme",
        "ppo_vs_sft_length_controlled", "strict_ppo_vs_sft_greedy", "strict_ppo_vs_feedme_greedy",
    ):  # fmt: skip
        assert rates[name]["low"] <= rates[name]["mean"] <= rates[name]["high"]


def test_samples_in_markdown_keep_their_table_whole():
    text = report.samples_markdown(invented.evaluation(text="one | two\nthree <b>"), [0, 1])
    assert "| one \\| two three &lt;b> |" in text
    assert text.count("\n## ") == 2


def test_the_report_and_the_model_card_name_the_artifacts_by_dvcs_md5(found, html):
    card = model_card.markdown(told(found, invented.history()), {"folder": "data/ppo/r1", "parameters": 1234567})
    for text in (card, html):
        for path, md5 in found.artifacts.items():
            assert path in text
            assert md5 in text


def test_the_model_card_has_a_head_that_the_hub_reads_the_results_and_the_data(found):
    card = model_card.markdown(told(found, invented.history()), {"folder": "data/ppo/r1", "parameters": 1234567})
    _, head, body = card.split("---\n", 2)
    assert YAML(typ="safe").load(head)["library_name"] == "transformers"
    assert headline.result(findings.metrics(found)) in body
    assert "1,234,567 parameters" in body
    assert 'from_pretrained("data/ppo/r1")' in body
    assert "| PPO against SFT |" in body
    assert "| books | real/books.txt | documents | public domain | 1,200 | 1,100 |" in body


def test_all_text_of_a_page_is_escaped_wherever_it_stands():
    blocks = [
        Table([EVIL, EVIL, EVIL], [[EVIL, EVIL, EVIL]], EVIL, words=(0, 1)),
        Notes([Note(EVIL, EVIL)]), Links([Link(EVIL, EVIL, EVIL)]),
    ]  # fmt: skip
    html = page(EVIL, EVIL, [EVIL], [Section(EVIL, EVIL, blocks)])
    assert not {"img", "script"} & Page(html).tags
    assert "img src=x" in html


def test_samples_that_no_browser_could_read_are_refused():
    with pytest.raises(ValueError, match="JSON"):
        page("T", "H", [], [], {"rows": [float("nan")]})


def test_plots_carry_no_date_version_or_link_and_their_names_keep_their_parts_apart(html):
    assert "<metadata" not in html
    assert "xmlns:dc" not in html
    names = re.findall(r'<clipPath id="([^"]+)"', html)
    assert len(names) == len(set(names)) == html.count("<svg")


def test_a_page_without_samples_has_no_script():
    html = page("T", "H", ["L"], [Section("One", "", [Table(["a", "b"], [["x", "−1.00 (−2.00 to 0.00)"]])])])
    assert "script" not in Page(html).tags
    assert Page(html).tables == {"One": [{"x": {"a": "x", "b": "−1.00 (−2.00 to 0.00)"}}]}


def test_rivals_that_params_may_leave_out_stand_in_the_plot_by_their_names(found):
    judged = dict(found.judged)
    for name in verdicts.OPTIONAL:
        judged |= {(name, decoding): found.judged["feedme", decoding] for decoding in ("sampled", "greedy")}
    asked = verdicts.questions([], [4], verdicts.OPTIONAL)
    bootstrap = Bootstrap(100, 0.95, 1)
    rates = [verdicts.compare(one, judged, found.settings.tie_threshold, bootstrap) for one in asked]
    verdict = [rate for rate in rates if rate.comparison.measure == "verdict"]
    plot = report.win_rate_plot(found._replace(judged=judged, win_rates=rates, controlled=verdict))
    for words in ("rejection sampling, greedy", "DPO, sampled", "DPO against SFT, sampled"):
        assert words in plot, words
        assert words not in report.win_rate_plot(found), words

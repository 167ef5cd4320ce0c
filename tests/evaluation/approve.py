"""What a reader of the evaluation sees, as text, beside the text that was approved: tests/evaluation/approved/.

    python -m tests.evaluation.approve    write the approved texts anew; read their diff before you commit it

The data are invented; every place where the code chooses its words stands in one of the texts.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rlhf.evaluation import findings, model_card, plots, report, report_page, report_words
from rlhf.evaluation.advising import first_look
from rlhf.evaluation.advising.advice import advice
from rlhf.evaluation.advising.notes import Note
from rlhf.evaluation.findings import Findings
from rlhf.evaluation.held_out_text import HeldOutText
from rlhf.evaluation.history import History
from rlhf.evaluation.plots import Bar, Frame, Line
from rlhf.evaluation.report_page import Link, Links, Notes, Plots, Section, Table
from rlhf.evaluation.statistics import Interval
from rlhf.evaluation.verdicts import WinRate
from tests.evaluation import drawn, invented, pages

FOLDER = Path(__file__).with_name("approved")
POLICY = {"folder": "data/ppo/r2", "parameters": 1234567}


def by_gold() -> tuple[Findings, History]:
    """Return one round in which PPO wins, decided by gold; some answers are cut off, empty, or said twice."""
    whole, trained = invented.evaluation(12), invented.history()
    judged = {key: _uneven(answers, 5 * number % 12) for number, (key, answers) in enumerate(whole.judged.items())}
    found = invented.concluded(whole.prompts, judged)
    sweep = [row | {"win_rate": 0.4 + row["temperature"] / 5, "score": row["temperature"] / 3} for row in found.sweep]
    for point in trained.curves["ppo"]:
        point |= {"gold": 0.4 + point["step"] / 100, "kl": point["kl"] - 0.1, "kl_coef": 0.3 + point["step"] // 30 / 5}
    trained.metrics["reward_model"]["by_category"] |= {
        "closed_qa": {"accuracy": 0.64, "tfidf_accuracy": 0.66, "pairs": 1500},
        "chat": {"accuracy": 0.8, "tfidf_accuracy": 0.7, "pairs": 99},
    }
    return found._replace(sweep=sweep), trained


def _uneven(answers: list, number: int) -> list:
    """Change some answers, and `number` of them in how much they repeat."""
    changes = {1: {"ended": False}, 2: {"text": " ", "num_tokens": 0}, number: {"ended": False, "text": ""}}
    changes |= {7: {"text": "Twice | said\n<b>."}, 8: {"text": "Twice | said\n<b>."}}
    uneven = [answer._replace(**changes.get(index, {})) for index, answer in enumerate(answers)]
    for index, answer in enumerate(uneven):
        answer.criteria["kept_to_it"] = number / 12 if index % 2 else None  # it does not apply to every prompt
    return [answer._replace(repetition=0.75) for answer in uneven[:number]] + uneven[number:]


def by_judge() -> tuple[Findings, History]:
    """Return two rounds decided by the judge, from an adopted base model, with little known beside."""
    whole, trained = invented.evaluation(12, with_gold=False), invented.history()
    earlier = {("ppo_r1", decoding): whole.judged["feedme", decoding] for decoding in ("sampled", "greedy")}
    found = invented.concluded(whole.prompts, {**whole.judged, **earlier}, ["r1", "r2"])
    of = trained.metrics
    of["pretrain"], of["reward_model"]["by_category"] = {"parameters": 7654321}, {}
    of["collect_comparisons"] = {"answers": 30, "mean_answers_a_prompt": 4.0, "labelers": 1}
    for own in (of["reward_model"], found.judge):
        del own["gold_accuracy"], own["labelers_agreement"]
    trained.curves["pretrain"][1:] = []
    trained.sources[0]["licence"] = ""
    return found._replace(document_loss={}), trained._replace(round="r2")


def by_both() -> tuple[Findings, History]:
    """Return two rounds in which every second prompt has a task."""
    gold, judge = invented.evaluation(12), invented.evaluation(12, with_gold=False)
    prompts = [(gold if index % 2 else judge).prompts[index] for index in range(12)]
    judged = {key: [(gold if index % 2 else judge).judged[key][index] for index in range(12)] for key in gold.judged}
    earlier = {("ppo_r1", decoding): judged["feedme", decoding] for decoding in ("sampled", "greedy")}
    found = invented.concluded(prompts, {**judged, **earlier}, ["r1", "r2"])
    fewer = found.settings.best_of_n.model_copy(update={"curve_prompts": 2})
    best = [row | {"score": 0.9, "low": 0.86, "high": 0.95} for row in found.best_of_n]
    settings = found.settings.model_copy(update={"best_of_n": fewer})
    trained = invented.history()
    trained.sources[0]["licence"] = "CC BY | 4.0"
    return found._replace(best_of_n=best, settings=settings), trained


def where_all_goes_wrong() -> tuple[Findings, History]:
    """Return an evaluation by gold that almost every rule has something to say about."""
    found, trained = invented.evaluation(), invented.history(over_optimised_at=12)
    for point in trained.curves["ppo"]:
        point["score"] = 0.1 * point["step"]
    rates = {
        "ppo_vs_sft": (0.55, 0.45, 0.65), "ppo_vs_sft_greedy": (0.18, 0.10, 0.26), "ppo_vs_feedme": (0.51, 0.48, 0.54)
    }  # fmt: skip
    summaries = dict(found.summaries)
    for decoding, empty, cut_off in (("sampled", 0.3, 0.4), ("greedy", 0.67, 0.5)):
        own = summaries["ppo", decoding]
        summaries["ppo", decoding] = own._replace(empty=empty, missing_eos=cut_off)
    summaries["sft", "sampled"] = summaries["sft", "sampled"]._replace(empty=0.06, missing_eos=0.3)
    trained.metrics["reward_model"] |= {
        "accuracy": 0.555, "longer_preferred_by_model": 0.67, "longer_chosen_by_labelers": 0.37,
        "by_category": {
            "closed_qa": {"accuracy": 0.55, "tfidf_accuracy": 0.6, "pairs": 100},
            "chat": {"accuracy": 0.6, "tfidf_accuracy": 0.6, "pairs": 300},
            "rewrite": {"accuracy": 0.5, "tfidf_accuracy": 0.6, "pairs": 99},
        },
    }  # fmt: skip
    lost = Interval(0.5, 0.3, 0.7)
    changed = {
        "win_rates": _with_rates(found.win_rates, rates),
        "controlled": _with_rates(found.controlled, rates | {"ppo_vs_best_of_4": (0.52, 0.48, 0.56)}),
        "controlled_differences": {**found.controlled_differences, "ppo_vs_best_of_4": Interval(-0.04, -0.06, -0.02)},
        "summaries": summaries,
        "slices": [
            part._replace(win_rates=part.win_rates | {"ppo_vs_sft": lost}) if part.part == "open_qa" else part
            for part in found.slices
        ],
        "document_loss": {"base": 0.55, "sft": 1.66, "ppo": 1.62},
        "held_out_text": HeldOutText(documents=1, unigram_entropy=0.6),
    }
    return found._replace(**changed), trained


def _with_rates(group: Sequence[WinRate], rates: Mapping[str, tuple[float, float, float]]) -> list[WinRate]:
    return [one._replace(interval=Interval(*rates.get(one.comparison.name, one.interval))) for one in group]


def where_more_is_to_be_had() -> tuple[Findings, History]:
    """Return an evaluation by a weak judge: PPO still learns, best of n and low temperatures do better."""
    found, trained = invented.evaluation(with_gold=False), invented.history()
    for point in trained.curves["ppo"]:
        point["score"] = 0.1 * point["step"]
    row = {"reward_model": 1.6, "score": 9.5, "low": 9.3, "high": 9.7, "oracle": 9.9}
    best = [row | {"n": 8, "kl": 1.2}, row | {"n": 16, "kl": 2.1}, row | {"n": 64, "kl": 3.2}]
    own = found.summaries["ppo", "greedy"]
    sharper = own._replace(scores={**own.scores, "judge": Interval(2.9, 2.8, 3.0)})
    changed = {
        "best_of_n": best, "summaries": {**found.summaries, ("ppo", "greedy"): sharper},
        "judge": found.judge | {"accuracy": 0.6}, "best_temperature": {"sft": 0.5, "ppo": 0.25},
    }  # fmt: skip
    return found._replace(**changed), trained


def where_all_is_alike() -> tuple[Findings, History]:
    """Return an evaluation in which every answer scores the same."""
    whole = invented.evaluation()
    same = {"gold": 0.25, "strict": 0.25, "judge": 0.25, "reward_model": 0.25, "num_tokens": 7}
    judged = {key: [answer._replace(**same) for answer in answers] for key, answers in whole.judged.items()}
    return invented.concluded(whole.prompts, judged), invented.history()


def page() -> str:
    return "\n".join(pages.lines(report.html(*by_gold())))


def page_by_judge() -> str:
    """Return what the page by gold does not say."""
    known = {*(FOLDER / "page.txt").read_text(encoding="utf-8").splitlines()}
    return "\n".join(
        line for line in "\n".join(pages.lines(report.html(*by_judge()))).splitlines() if line not in known
    )


def markup() -> str:
    """Return the body of a page with a block of each kind, as it is written."""
    table = Table(["name", "word", "figure"], [["a", "b", "1 (0 to 2)"], ["c", "d", "–"]], "Rows", [1], words=(0, 1))
    blocks = [
        table,
        Notes([Note("Seen.", "Do.")]),
        Links([Link("a/b", "b", "holds")]),
        Plots(["<svg></svg>"], small=True),
    ]
    html = report_page.page("Title", "Headline", ["Lead."], [Section("One, two", "Text.", blocks)], {"rows": ["是"]})
    return html[html.index("<body>") : html.index("<script>")]


def card() -> str:
    return model_card.markdown(*by_both(), POLICY)


def samples() -> str:
    return report.samples_markdown(by_gold()[0], [7, 5, 2, 1])


def metrics() -> str:
    """Return a line a group of figures, of four digits."""
    groups = findings.metrics(by_gold()[0])
    return "\n".join(f"{name}: {_figures(group)}" for name, group in groups.items())


def _figures(group: Any) -> str:
    if isinstance(group, Mapping):
        return ", ".join(f"{name} {_figures(value)}" for name, value in group.items())
    return f"{group:.4g}" if isinstance(group, float) else str(group)


def suggestions() -> str:
    """Return headline, lead, warnings and advice where there is much to say."""
    told = []
    for situation in (where_all_goes_wrong, where_more_is_to_be_had, where_all_is_alike, by_both):
        found, trained = situation()
        warnings = first_look.warnings(findings.metrics(found), trained.metrics["reward_model"])
        told += [f"\n# {situation.__name__.replace('_', ' ')}", report_words.headline(found), *report_words.lead(found)]
        for title, notes in ((first_look.TITLE, warnings), ("What to try next", advice(found, trained))):
            told += [f"\n## {title}", *(line for note in notes for line in (f"\n- {note.seen}", f"  {note.follows}"))]
    return "\n".join(told)


def every_plot() -> str:
    """Return plots whose points are few enough to be named, with everything on them."""
    forest = plots.forest(
        [
            ("Won", [Bar("all but one", Interval(0.75, 0.55, 0.9))]),
            ("Others", [Bar("lost", Interval(0.2, 0.1, 0.4)), Bar("open", Interval(0.5, 0.25, 0.5))]),
        ],
        "A forest", "share won", "forest",
    )  # fmt: skip
    first = Line("first", [1, 2, 4], [0.5, 0.75, 1.0], [0.25, 0.5, 0.75], [0.75, 1.0, 1.25], end="the end")
    second, ground = Line("second", [1, 4], [0.5, 0.25], end="its end"), Line("", [1, 2], [0.3, 0.4], faint=True)
    many = [Line(str(count), range(count), [count] * count) for count in (24, 25)]
    return "\n".join(
        ["# forest", *drawn.whole(forest)]
        + ["\n# lines", *drawn.whole(plots.lines([first, second, ground], Frame("Lines", "x", "y"), "lines"))]
        + ["\n# logarithmic", *drawn.whole(plots.lines([first], Frame("Log", "n", "", log_x=True), "log"))]
        + ["\n# fractions", *drawn.whole(plots.lines([Line("", [0.5, 1.25], [1, 2])], Frame("", "", ""), "parts"))]
        + ["\n# many points", *drawn.short(plots.lines(many, Frame("Many", "", "", size=plots.SMALL), "many"))]
    )


TEXTS: dict[str, Callable[[], str]] = {
    "page.txt": page, "page_by_judge.txt": page_by_judge, "markup.html": markup, "model_card.md": card,
    "samples.md": samples, "metrics.txt": metrics, "suggestions.txt": suggestions, "plots.txt": every_plot,
}  # fmt: skip


def main() -> None:
    for path in FOLDER.iterdir():
        path.unlink()
    for name, text in TEXTS.items():
        (FOLDER / name).write_text(text().strip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

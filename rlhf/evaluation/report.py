"""The evaluation in words, tables and plots: report.html, samples.md and the plots beside them."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from rlhf.evaluation import plots, verdicts
from rlhf.evaluation import report_tables as tables
from rlhf.evaluation import report_words as words
from rlhf.evaluation.advising import first_look
from rlhf.evaluation.advising.advice import advice
from rlhf.evaluation.controls import table as controls
from rlhf.evaluation.findings import Findings, metrics
from rlhf.evaluation.headline import RIVALS
from rlhf.evaluation.history import Curve, History, column
from rlhf.evaluation.plots import SMALL, Bar, Frame, Line
from rlhf.evaluation.report_page import Link, Links, Notes, Plots, Section, page
from rlhf.evaluation.typography import number
from rlhf.evaluation.verdicts import Judged
from rlhf.runtime.markdown import plain

CHEAPER = [*(f"ppo_vs_{name}{end}" for name in RIVALS for end in ("", "_greedy")), "ppo_vs_best_of_"]
GROUPS = (  # of the forest plot: heading, whether its win rates are controlled, comparisons; best of n under its rivals
    ("PPO against SFT, controlled", True, ["ppo_vs_sft", "ppo_vs_sft_greedy", "ppo_vs_sft_best_temperature"]),
    ("Cheaper rivals, controlled", True, CHEAPER),
    (
        "PPO against SFT, plain",
        False,
        ["ppo_vs_sft", "ppo_vs_sft_greedy", "ppo_vs_sft_best_temperature", "ppo_vs_sft_length_controlled"],
    ),
    ("Cheaper rivals, plain", False, CHEAPER),
    (
        "By the strict gold",
        False,
        [
            *("strict_ppo_vs_sft", "strict_ppo_vs_sft_greedy"),
            *(f"strict_ppo_vs_{name}_greedy" for name in RIVALS),
        ],
    ),
    ("For scale, controlled", True, [*(f"{name}_vs_sft" for name in RIVALS), "sft_vs_base"]),
)
MEANS = 12  # independent points of a running mean
LINKS = Links(
    [
        Link("samples.md", "data/evaluate/samples.md", "some test prompts with all answers, as text"),
        Link("samples.jsonl", "data/evaluate/samples.jsonl", "every answer with its scores, a prompt a line"),
        Link("../model_card/README.md", "data/model_card/README.md", "the last policy's model card"),
        Link(
            "../collect_prompts/data_card.md",
            "data/collect_prompts/data_card.md",
            "what the data is and what was dropped",
        ),
        Link("../../metrics/evaluate.json", "metrics/evaluate.json", "the figures of this page, for programs"),
        Link("../../params.yaml", "params.yaml", "every setting; presets/ holds others"),
    ]
)


def html(findings: Findings, history: History) -> str:
    """Return report.html."""
    criteria, categories = tables.criteria(findings), tables.by_category(history)
    parts = tables.reward_parts(findings)
    warnings = first_look.warnings(metrics(findings), history.metrics["reward_model"])
    notes = advice(findings, history)
    curve = [Plots([reward_plot(findings, history), best_of_n_plot(findings)]), tables.best_of_n(findings)]
    sections = [
        *([Section(first_look.TITLE, words.FIRST_LOOK_TEXT, [Notes(warnings)])] if warnings else []),
        Section(
            "Win rates", words.win_rate_text(findings), [Plots([win_rate_plot(findings)]), tables.win_rates(findings)]
        ),
        Section(controls.TITLE, controls.TEXT, [controls.controlled(findings)]),
        *([Section("What to try next", words.ADVICE_TEXT, [Notes(notes)])] if notes else []),
        Section("What was trained", "", [tables.trained(history), tables.sources(history)]),
        Section("Training curves", words.TRAINING_TEXT, [Plots(training_plots(history), small=True)]),
        Section(
            "Reward model",
            words.REWARD_MODEL_TEXT,
            [tables.reward_models(findings, history), *([categories] if categories.rows else [])],
        ),
        Section("Scores", words.score_text(findings), [tables.scores(findings), *([parts] if parts.rows else [])]),
        *([Section("Criteria", words.CRITERIA_TEXT, [criteria])] if criteria.rows else []),
        Section("KL, length, alignment tax", words.KL_TEXT, [tables.shape(findings), tables.tax(findings)]),
        Section("Moderation", words.MODERATION_TEXT, [tables.blocked(findings)]),
        Section("Where it helps", words.SLICE_TEXT, tables.slices(findings)),
        Section("Reward against KL", words.CURVE_TEXT, curve),
        Section("Temperatures", words.SWEEP_TEXT, [tables.temperatures(findings)]),
        Section("Files and runs", words.FILES_TEXT, [LINKS, tables.artifacts(findings)]),
    ]
    return page("Evaluation of RLHF", words.headline(findings), words.lead(findings), sections, _samples(findings))


def win_rate_plot(findings: Findings) -> str:
    """Return the forest plot of the main comparisons, for the report and docs."""
    drawn = []
    for heading, controlled, names in GROUPS:
        rates = findings.controlled if controlled else findings.win_rates
        asked = [rate for name in names for rate in rates if _is_named(rate.comparison.name, name)]
        bars = [Bar(words.label(rate.comparison, heading), rate.interval) for rate in asked]
        drawn += [(heading, bars)] if bars else []
    prompts, coverage = number(len(findings.prompts), 0), f"{findings.settings.coverage:.0%}"
    axis = f"share of {prompts} held-out prompts won, ties half; {coverage} interval"
    return plots.forest(drawn, "How often does the first policy beat the second?", axis, "win_rates")


def _is_named(comparison: str, name: str) -> bool:
    return comparison.startswith(name) if name.endswith("_") else comparison == name


def reward_plot(findings: Findings, history: History) -> str:
    """Return proxy reward against the square root of KL (Gao et al. 2022) for best-of-n and PPO's iterations."""
    curve, best = history.curves["ppo"], findings.best_of_n
    distance = [max(point["kl"], 0.0) ** 0.5 for point in curve]
    low, high = _score_band(history)
    ppo = Line("PPO, every iteration", distance, column(curve, "score")[1], low, high, f"iteration {len(curve)}")
    picked = Line(
        "best of n",
        [row["kl"] ** 0.5 for row in best],
        [row["reward_model"] for row in best],
        end=f"n = {best[-1]['n']}",
    )
    frame = Frame("The reward that was optimised", "√KL to SFT (nats an answer)", "reward model's score")
    return plots.lines([ppo, picked], frame, "reward_vs_kl")


def best_of_n_plot(findings: Findings) -> str:
    """Return the verdict's mean over best-of-n, picked by the reward model and by the verdict itself."""
    curve = findings.best_of_n
    n = [row["n"] for row in curve]
    score, low, high = ([row[name] for row in curve] for name in ("score", "low", "high"))
    gold = Line("picked by the reward model", n, score, low, high)
    oracle = Line("picked by the verdict (oracle)", n, [row["oracle"] for row in curve])
    frame = Frame("Best of n answers of SFT", "n", f"mean {findings.decided_by}", log_x=True)
    return plots.lines([gold, oracle], frame, "best_of_n")


def training_plots(history: History) -> list[str]:
    """Return PPO's reward, gold where it is known, KL and length an iteration, then the losses of the other stages."""
    ppo, of = history.curves["ppo"], history.curves
    steps, scores = column(ppo, "score")
    drawn = [_small([Line("", steps, scores, *_score_band(history))], "PPO: reward model's score", "iteration")]
    terms = [(name, f"PPO: {name.removeprefix('score_').replace('_', ' ')}") for name in _terms(ppo)]
    for name, title in (
        *terms,
        ("gold", "PPO: gold of its rollouts"),
        ("kl", "PPO: KL to SFT, nats an answer"),
        ("completion_tokens", "PPO: tokens an answer"),
    ):
        steps, values = column(ppo, name)
        drawn += [_small([Line("", steps, values)], title, "iteration")] if steps else []
    held_out = Line("held out", *column(of["sft"], "validation_loss"))
    if column(of["reward_model"], "loss")[0]:  # else none is trained
        drawn += [
            _small([*_smoothed(of["reward_model"], "loss")], "Reward model: loss of its batches", "update"),
            _small([*_smoothed(of["reward_model"], "accuracy")], "Reward model: accuracy on its batches", "update"),
        ]
    drawn.append(_small([*_smoothed(of["sft"], "loss"), held_out], "SFT: loss, nats a token", "update"))
    if len(of["pretrain"]) > 1:
        drawn.append(_small([*_smoothed(of["pretrain"], "loss")], "Base model: loss, nats a token", "update"))
    return drawn


def _terms(curve: Curve) -> list[str]:
    """Return the columns of the terms of a reward that is a sum of several."""
    columns = dict.fromkeys(name for point in curve for name in point)
    return [name for name in columns if name.startswith("score_") and name != "score_std"]


def _small(series: Sequence[Line], title: str, x_label: str) -> str:
    return plots.lines(series, Frame(title, x_label, "", size=SMALL), title)


def _smoothed(curve: Curve, name: str) -> Iterator[Line]:
    """Yield a column as it is, faint, and its running mean, each over the points around it."""
    steps, values = column(curve, name)
    width = max(1, len(values) // MEANS)
    means = np.convolve(values, np.full(width, 1 / width), mode="valid").tolist()
    yield Line("", steps, values, faint=True)
    yield Line("training", steps[width // 2 :][: len(means)], means)


def _score_band(history: History) -> tuple[list[float], list[float]]:
    """Return the bounds of the mean score an iteration: two standard errors over its episodes."""
    curve, episodes = history.curves["ppo"], history.metrics["ppo"]["episodes"] / len(history.curves["ppo"])
    errors = [2 * point["score_std"] / episodes**0.5 for point in curve]
    low, high = (
        [point["score"] + sign * error for point, error in zip(curve, errors, strict=True)] for sign in (-1, 1)
    )
    return low, high


def samples_markdown(findings: Findings, chosen: Sequence[int]) -> str:
    """Return the prompts at the indices `chosen` with the answers of words.SHOWN, to be read by a person."""
    keys = [key for key in words.SHOWN if key in findings.judged]
    parts = [f"# {len(chosen)} test prompts drawn at random\n"]
    for index in chosen:
        prompt = findings.prompts[index]
        parts.append(f"\n## {plain(prompt['id'])} ({plain(prompt['category'])}, {plain(prompt['language'])})\n")
        parts += [f"- {turn['role']}: {plain(turn['content'])}" for turn in prompt["messages"]]
        parts += ["", f"| policy | {findings.decided_by} | answer |", "|---|---|---|"]
        for key in keys:
            answer = findings.judged[key][index]
            cut = "" if answer.ended else " … (cut off)"
            parts.append(f"| {words.called(*key)} | {answer.verdict:.2f} | {plain(answer.text) or '(empty)'}{cut} |")
    return "\n".join(parts) + "\n"


def _samples(findings: Findings) -> dict[str, Any]:
    """Return what the page's script shows; scores are the verdict, the strict gold behind it where there is one."""
    keys = list(findings.judged)
    greedy = verdicts.outcomes(
        findings.judged["ppo", "greedy"], findings.judged["sft", "greedy"], "verdict", findings.settings.tie_threshold
    )
    rows = []
    for index, prompt in enumerate(findings.prompts):
        parts = [f"category: {prompt['category']}", f"language: {prompt['language']}", f"kind: {verdicts.kind(prompt)}"]
        answers = [_sample(findings.judged[key][index]) for key in keys]
        turns = [[turn["role"], turn["content"]] for turn in prompt["messages"]]
        rows.append(
            {"id": prompt["id"], "parts": parts, "turns": turns, "answers": answers, "result": float(greedy[index])}
        )
    return {
        "policies": [words.called(*key) for key in keys],
        "shown": [keys.index(key) for key in words.SHOWN if key in keys],
        "parts": sorted({part for row in rows for part in row["parts"]}),
        "order": f"All {len(rows):,} test prompts in random order. The number is the {findings.decided_by} score"
        + (", then the strict one; " if findings.decided_by != "judge" else "; ")
        + "the best answers shown are marked.",
        "rows": rows,
    }


def _sample(answer: Judged) -> dict[str, Any]:
    scores = f"{answer.verdict:.2f}" if answer.strict is None else f"{answer.verdict:.2f} | {answer.strict:.2f}"
    return {"text": answer.text, "score": round(answer.verdict, 4), "scores": scores, "ended": answer.ended}

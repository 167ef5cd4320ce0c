"""The evaluation in words, tables and plots: report.html, samples.md and the plots of the README."""

from collections.abc import Sequence
from typing import Any

from rlhf.evaluation import plots, verdicts
from rlhf.evaluation import report_tables as tables
from rlhf.evaluation import report_words as words
from rlhf.evaluation.findings import Findings
from rlhf.evaluation.plots import Bar, Line
from rlhf.evaluation.report_page import Plots, Section, page
from rlhf.evaluation.verdicts import Judged


def html(findings: Findings, ppo_curve: Sequence[dict[str, float]]) -> str:
    """Return report.html. `ppo_curve` holds the last round's training curve (kl, score), or nothing."""
    results = [Plots([win_rate_plot(findings)]), tables.win_rates(findings)]
    distances = [tables.shape(findings), tables.tax(findings)]
    optimised = [Plots([reward_plot(findings, ppo_curve), best_of_n_plot(findings)]), tables.best_of_n(findings)]
    criteria = tables.criteria(findings)
    sections = [
        Section("Win rates", words.win_rate_text(findings), results),
        Section("Scores", words.score_text(findings), [tables.scores(findings)]),
        *([Section("Criteria", words.CRITERIA_TEXT, [criteria])] if criteria.rows else []),
        Section("KL, length, alignment tax", words.KL_TEXT, distances),
        Section("Where it helps", words.SLICE_TEXT, tables.slices(findings)),
        Section("Reward against KL", words.CURVE_TEXT, optimised),
        Section("Temperatures", words.SWEEP_TEXT, [tables.temperatures(findings)]),
        Section("Artifacts", words.ARTIFACTS_TEXT, [tables.artifacts(findings)]),
    ]
    return page("Evaluation of RLHF", words.headline(findings), words.lead(findings), sections, _samples(findings))


def win_rate_plot(findings: Findings) -> str:
    """Return the forest plot of the main comparisons, for the report and the README."""
    best_of = [rate.comparison.name for rate in findings.win_rates if rate.comparison.name.startswith("ppo_vs_best_of")]
    groups = [
        (
            "PPO against SFT",
            ["ppo_vs_sft", "ppo_vs_sft_greedy", "ppo_vs_sft_best_temperature", "ppo_vs_sft_length_controlled"],
        ),
        ("PPO against cheaper rivals", ["ppo_vs_feedme", "ppo_vs_feedme_greedy", *best_of]),
        ("By the strict gold", ["strict_ppo_vs_sft", "strict_ppo_vs_sft_greedy", "strict_ppo_vs_feedme_greedy"]),
        ("For scale", ["feedme_vs_sft", "sft_vs_base"]),
    ]
    drawn = []
    for heading, names in groups:
        rates = [rate for rate in map(findings.win_rate, names) if rate]
        if rates:
            drawn.append((heading, [Bar(words.label(rate, heading), *rate.interval) for rate in rates]))
    axis = (
        f"share of {len(findings.prompts):,} held-out prompts won, ties half; {findings.settings.coverage:.0%} interval"
    )
    return plots.forest(drawn, "How often does the first policy beat the second?", axis, "win_rates")


def reward_plot(findings: Findings, ppo_curve: Sequence[dict[str, float]]) -> str:
    """Return proxy reward against the square root of KL (Gao et al. 2022) for best-of-n and PPO's training."""
    drawn = [
        Line(
            "best of n",
            [row["kl"] ** 0.5 for row in findings.best_of_n],
            [row["reward_model"] for row in findings.best_of_n],
        )
    ]
    if ppo_curve:
        ordered = sorted((max(row["kl"], 0.0) ** 0.5, row["score"]) for row in ppo_curve)
        drawn.insert(0, Line("PPO while training", [kl for kl, _ in ordered], [reward for _, reward in ordered]))
    title = "The reward that was optimised"
    return plots.lines(drawn, title, "√KL to SFT (nats an answer)", "reward model's score", "reward_vs_kl")


def best_of_n_plot(findings: Findings) -> str:
    """Return the verdict's mean over best-of-n, picked by the reward model and by the verdict itself."""
    curve = findings.best_of_n
    n = [row["n"] for row in curve]
    gold = Line("picked by the reward model", n, *([row[name] for row in curve] for name in ("score", "low", "high")))
    oracle = Line("picked by the verdict (oracle)", n, [row["oracle"] for row in curve])
    return plots.lines(
        [gold, oracle], "Best of n answers of SFT", "n", f"mean {findings.decided_by}", "best_of_n", log_x=True
    )


def samples_markdown(findings: Findings, chosen: Sequence[int]) -> str:
    """Return the prompts at the indices `chosen` with the answers of words.SHOWN, to be read by a person."""
    keys = [key for key in words.SHOWN if key in findings.judged]
    parts = [f"# {len(chosen)} test prompts drawn at random\n"]
    for index in chosen:
        prompt = findings.prompts[index]
        parts.append(f"\n## {prompt['id']} ({prompt['category']}, {prompt['language']})\n")
        parts += [f"- {turn['role']}: {_one_line(turn['content'])}" for turn in prompt["messages"]]
        parts += ["", f"| policy | {findings.decided_by} | answer |", "|---|---|---|"]
        for key in keys:
            answer = findings.judged[key][index]
            cut = "" if answer.finished else " … (cut off)"
            parts.append(f"| {words.called(*key)} | {answer.verdict:.2f} | {_cell(answer.text) or '(empty)'}{cut} |")
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
    return {"text": answer.text, "score": round(answer.verdict, 4), "scores": scores, "finished": answer.finished}


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _cell(text: str) -> str:
    return _one_line(text).replace("|", "\\|").replace("<", "&lt;")

"""The tables of the report: win rates, scores, criteria, KL and length, slices, temperatures."""

from math import exp

from rlhf.evaluation import report_words as words
from rlhf.evaluation.findings import Findings
from rlhf.evaluation.report_page import Table
from rlhf.evaluation.statistics import Interval

MEASURES = {"strict": "strict gold", "judge": "judge", "reward_model": "reward model (the proxy)"}


def win_rates(findings: Findings) -> Table:
    rows = []
    for rate in findings.win_rates:
        asked = rate.comparison
        measure = findings.decided_by if asked.measure == "verdict" else MEASURES[asked.measure]
        decided = f"{measure}, at equal length" if asked.length_controlled else measure
        row = [
            f"{words.called(asked.first[0])} against {words.called(asked.second[0])}",
            words.decoding(asked),
            decided,
        ]
        rows.append(
            [*row, f"{rate.interval.mean:.1%}", words.percent_range(*rate.interval[1:], 1), f"{rate.prompts:,}"]
        )
    columns = ["comparison", "decoding", "decided by", "win rate", "interval", "prompts"]
    return Table(columns, rows, "All comparisons", text_columns=3)


def scores(findings: Findings) -> Table:
    known = [name for name in ("gold", "strict", "judge", "reward_model") if _any_has(findings, name)]
    rows = [
        [words.called(*key), *(words.with_bounds(found.scores.get(name)) for name in known)]
        for key, found in findings.summaries.items()
    ]
    return Table(["policy", *(name.replace("_", " ") for name in known)], rows, "Mean scores", _ppo_rows(findings))


def criteria(findings: Findings) -> Table:
    keys = [key for key in (*words.SHOWN, ("feedme", "sampled")) if key in findings.summaries]
    names = sorted({name for key in keys for name in findings.summaries[key].criteria})
    rows = [
        [name.replace("_", " "), *(words.with_bounds(findings.summaries[key].criteria.get(name)) for key in keys)]
        for name in names
    ]
    return Table(["criterion", *(words.called(*key) for key in keys)], rows)


def shape(findings: Findings) -> Table:
    columns = ["policy", "KL, nats an answer", "KL, nats a token"]
    columns += ["tokens", "repetition", "distinct", "missing EOS", "empty"]
    rows = []
    for key, found in findings.summaries.items():
        kl = findings.kl.get(key[0]) if key[1] == "sampled" else None
        nats = [words.with_bounds(kl[0]), f"{kl[1]:.3f}"] if kl else ["–", "–"]
        shares = [f"{share:.1%}" for share in (found.repetition, found.distinct, found.missing_eos, found.empty)]
        rows.append([words.called(*key), *nats, f"{found.num_tokens.mean:.1f}", *shares])
    return Table(columns, rows, "How far from SFT, how long, how varied", _ppo_rows(findings))


def tax(findings: Findings) -> Table:
    rows = [
        [words.called(policy), f"{loss:.3f}", f"{exp(loss):.2f}"] for policy, loss in findings.document_loss.items()
    ]
    return Table(["policy", "nats a token", "perplexity"], rows, "Alignment tax: held-out pretraining text")


def slices(findings: Findings) -> list[Table]:
    asked = list(findings.slices[0].win_rates)
    keys = [
        key
        for key in (("sft", "sampled"), ("ppo", "sampled"), ("sft", "greedy"), ("ppo", "greedy"))
        if key in findings.summaries
    ]
    tables = []
    for division in dict.fromkeys(part.division for part in findings.slices):
        parts = [part for part in findings.slices if part.division == division]
        if len(parts) < 2:
            continue
        rows = []
        for part in parts:
            rates = [f"{rate.mean:.0%} ({words.percent_range(*rate[1:])})" for rate in part.win_rates.values()]
            means = [f"{part.scores[key]:.2f}" for key in keys]
            rows.append([part.part.replace("_", " "), f"{part.prompts:,}", *rates, *means])
        columns = [
            division,
            "prompts",
            *(words.question(name) for name in asked),
            *(words.called(*key) for key in keys),
        ]
        tables.append(Table(columns, rows, f"By {division}"))
    return tables


def best_of_n(findings: Findings) -> Table:
    rows = [
        [f"best of {row['n']}", f"{row['kl']:.2f}", f"{row['reward_model']:.2f}"]
        + [words.with_bounds(Interval(row["score"], row["low"], row["high"])), f"{row['oracle']:.2f}"]
        for row in findings.best_of_n
    ]
    return Table(["policy", "KL, nats an answer", "reward model", findings.decided_by, "oracle"], rows, "Best of n")


def temperatures(findings: Findings) -> Table:
    rows, strong = [], []
    for index, row in enumerate(findings.sweep):
        if row["temperature"] == findings.best_temperature[row["policy"]]:
            strong.append(index)
        rate = f"{row['win_rate']:.0%} ({words.percent_range(row['low'], row['high'])})"
        rows.append([words.called(row["policy"]), f"{row['temperature']:g}", rate, f"{row['score']:.3f}"])
    return Table(["policy", "temperature", "win rate against T = 1", f"mean {findings.decided_by}"], rows, "", strong)


def artifacts(findings: Findings) -> Table:
    rows = [[path, md5] for path, md5 in findings.artifacts.items()]
    return Table(["artifact", "md5 in dvc.lock"], rows, "What was compared", text_columns=2)


def _any_has(findings: Findings, score: str) -> bool:
    return any(score in found.scores for found in findings.summaries.values())


def _ppo_rows(findings: Findings) -> list[int]:
    return [index for index, (policy, _) in enumerate(findings.summaries) if policy == "ppo"]

"""The tables of the report: win rates, what was trained, scores, criteria, KL and length, slices, temperatures."""

from collections.abc import Mapping
from math import exp
from typing import Any

from rlhf.evaluation import report_words as words
from rlhf.evaluation.findings import HARM, Findings
from rlhf.evaluation.history import SOURCE_COLUMNS, History
from rlhf.evaluation.report_page import Table
from rlhf.evaluation.statistics import Interval
from rlhf.evaluation.typography import MISSING, interval, number, percent, percent_interval
from rlhf.evaluation.verdicts import Key

SCORES = {"gold": "gold", "strict": "strict gold", "judge": "judge", "reward_model": "reward model"}
CRITERIA_OF = ("sft", "feedme", "ppo")  # policies, sampled and greedy
SHARES = {  # of a reward model's metrics: what the report calls them
    "accuracy": "agrees with labelers",
    "tfidf_accuracy": "a TF-IDF baseline agrees with them",
    "labelers_agreement": "labelers agree with one another",
    "gold_accuracy": "agrees with gold",
    "longer_preferred_by_model": "prefers the longer answer",
    "longer_chosen_by_labelers": "labelers prefer it",
    "calibration_error": "calibration error",
}
COUNTS = {"pairs": "held-out pairs", "training_prompts": "prompts it was trained on"}


def win_rates(findings: Findings) -> Table:
    """Return one row a question, those of the same two policies together, and one column a decoding."""
    pairs: dict[str, dict[str, dict[str, str]]] = {}  # by the two policies, question and decoding
    for rate in findings.win_rates:
        asked = rate.comparison
        if asked.measure == findings.decided_by:
            continue  # the verdict's own row says the same
        own = "" if rate.prompts == len(findings.prompts) else f", {number(rate.prompts, 0)} prompts"
        row = f"{words.pair(asked)}{words.condition(asked)}{own}"
        cells = pairs.setdefault(words.pair(asked), {}).setdefault(row, {})
        cells[asked.first[1]] = percent_interval(rate.interval, 1)
    rows = [
        [name, *(cells.get(decoding, MISSING) for decoding in words.DECODINGS)]
        for questions in pairs.values()
        for name, cells in questions.items()
    ]
    strong = [index for index, row in enumerate(rows) if row[0] in pairs]
    caption = f"How often the first beats the second, by {findings.decided_by} where a row does not say"
    return Table(["comparison", *words.DECODINGS.values()], rows, caption, strong)


def trained(history: History) -> Table:
    """Return one row a step of the training: from what, how large, and what it came to."""
    of = history.metrics
    base, sft, compared = of["pretrain"], of["sft"], of["collect_comparisons"]
    reward_model, ppo, beta = of["reward_model"], of["ppo"], [point["kl_coef"] for point in history.curves["ppo"]]
    tokens = f"trained from scratch on {number(base['tokens'], 0)} tokens" if "tokens" in base else "adopted"
    agreement = (
        f"labelers agree on {percent(compared['agreement'], 1)} of pairs" if "agreement" in compared else MISSING
    )
    coefficient = " to ".join(f"{value:g}" for value in dict.fromkeys((beta[0], beta[-1])))
    rows = [
        ["base model", f"{number(base['parameters'], 0)} parameters, {tokens}", _loss(base)],
        ["SFT", f"{number(sft['demonstrations'], 0)} demonstrations, epoch {sft['kept_epoch']} kept", _loss(sft)],
        [
            "comparisons",
            f"{number(compared['answers'], 0)} answers, {number(compared['mean_answers_a_prompt'], 1)} a prompt, "
            f"ranked by {compared['labelers']} labeler{'' if compared['labelers'] == 1 else 's'}",
            agreement,
        ],
        _reward_model(reward_model),
        [
            f"PPO, round {history.round}",
            f"{number(ppo['episodes'], 0)} episodes over {number(ppo['prompts'], 0)} prompts, β = {coefficient}",
            f"reward {number(ppo['score'])} at {number(ppo['kl'])} nats, means of the last iterations",
        ],
    ]  # fmt: skip
    return Table(["step", "from", "came to"], rows, f"Steps, all with seed {history.seed}", words=(0, 1, 2))


def _reward_model(metrics: Mapping[str, Any]) -> list[str]:
    if "accuracy" not in metrics:
        return ["reward model", "not trained: rewards.trained is 0", MISSING]
    agreement = f"agrees with labelers on {percent(metrics['accuracy'], 1)} of held-out pairs"
    return ["reward model", f"{number(metrics['training_prompts'], 0)} prompts with ranked answers", agreement]


def _loss(metrics: Mapping[str, Any]) -> str:
    return f"{number(metrics['validation_loss'])} nats a token, held out" if "validation_loss" in metrics else MISSING


def sources(history: History) -> Table:
    """Return the sources as the data card has them, with their licences; rows are read, and kept after cleaning."""
    *worded, read, kept = SOURCE_COLUMNS
    rows = [
        [source[name] or MISSING for name in worded] + [number(int(source[name]), 0) for name in (read, kept)]
        for source in history.sources
    ]
    return Table([*worded, "rows read", "rows kept"], rows, "Data sources", words=range(len(worded)))


def reward_models(findings: Findings, history: History) -> Table:
    """Return the proxy that PPO optimised beside the judge, each on comparisons that it was not trained on."""
    both = (history.metrics["reward_model"], findings.judge)
    rows = [
        [name, *(percent(own[key], 1) if key in own else MISSING for own in both)]
        for key, name in SHARES.items()
        if any(key in own for own in both)
    ]
    rows += [[name, *(number(own[key], 0) if key in own else MISSING for own in both)] for key, name in COUNTS.items()]
    return Table(["on held-out pairs", "reward model", "judge"], rows, "Beside labelers and a bag of words", strong=[0])


def by_category(history: History) -> Table:
    found = history.metrics["reward_model"]["by_category"]
    rows = [
        [
            name.replace("_", " "),
            percent(own["accuracy"], 1),
            percent(own["tfidf_accuracy"], 1),
            number(own["pairs"], 0),
        ]
        for name, own in sorted(found.items(), key=lambda item: -item[1]["pairs"])
    ]
    return Table(["category", "reward model", "TF-IDF", "pairs"], rows, "The reward model's agreement with labelers")


def scores(findings: Findings) -> Table:
    known = [name for name in SCORES if any(name in found.scores for found in findings.summaries.values())]
    rows = [
        [words.called(*key), *(interval(found.scores.get(name)) for name in known)]
        for key, found in findings.summaries.items()
    ]
    return Table(["policy", *(SCORES[name] for name in known)], rows, "Mean scores", _ppo_rows(findings))


def reward_parts(findings: Findings) -> Table:
    """Return the terms of the reward, one a column; no rows where the reward model alone is the reward."""
    names = dict.fromkeys(name for found in findings.summaries.values() for name in found.reward_parts)
    rows = [
        [words.called(*key), *(interval(found.reward_parts.get(name)) for name in names)]
        for key, found in findings.summaries.items()
        if names
    ]
    columns = ["policy", *(name.replace("_", " ") for name in names)]
    return Table(columns, rows, "Terms of the reward, before their weights", _ppo_rows(findings) if rows else ())


def criteria(findings: Findings) -> Table:
    keys = [key for key in findings.summaries if key[0] in CRITERIA_OF and key[1] in ("sampled", "greedy")]
    names = sorted({name for key in keys for name in findings.summaries[key].criteria})
    rows = [
        [name.replace("_", " "), *(interval(findings.summaries[key].criteria.get(name)) for key in keys)]
        for name in names
    ]
    return Table(["criterion", *(words.called(*key) for key in keys)], rows)


def shape(findings: Findings) -> Table:
    columns = ["policy", "KL, nats an answer", "KL, nats a token"]
    columns += ["tokens", "repetition", "distinct", "missing EOS", "empty"]
    rows = []
    for key, found in findings.summaries.items():
        kl = findings.kl.get(key[0]) if key[1] == "sampled" else None
        nats = [interval(kl[0]), number(kl[1], 3)] if kl else [MISSING, MISSING]
        shares = [percent(share, 1) for share in (found.repetition, found.distinct, found.missing_eos, found.empty)]
        rows.append([words.called(*key), *nats, number(found.num_tokens.mean, 1), *shares])
    return Table(columns, rows, "How far from SFT, how long, how varied", _ppo_rows(findings))


def tax(findings: Findings) -> Table:
    rows = [
        [words.called(policy), number(loss, 3), number(exp(loss))] for policy, loss in findings.document_loss.items()
    ]
    return Table(["policy", "nats a token", "perplexity"], rows, "Alignment tax: held-out pretraining text")


def blocked(findings: Findings) -> Table:
    """Return what the moderator blocks of the prompts, and of each policy's answers to all and to harmful ones."""
    kinds = [kind for kind in HARM if any(kind in found.by_kind for found in findings.blocked.values())]
    names = {f"{policy}_{decoding}": words.called(policy, decoding) for policy, decoding in findings.summaries}
    rows = [
        [names.get(name, "the prompts themselves"), percent_interval(found.share, 1)]
        + [percent_interval(found.by_kind.get(kind), 1) for kind in kinds]
        for name, found in findings.blocked.items()
    ]
    columns = ["texts", "blocked", *(f"where the prompt is {HARM[kind]}" for kind in kinds)]
    strong = [index for index, name in enumerate(findings.blocked) if name == "prompts"]
    return Table(columns, rows, "Share that the moderator blocks", strong)


def slices(findings: Findings) -> list[Table]:
    """Return one table for each division that has several parts."""
    asked = {rate.comparison.name: words.question(rate.comparison) for rate in findings.win_rates}
    known: list[Key] = [("sft", "sampled"), ("sft", "greedy"), ("ppo", "sampled"), ("ppo", "greedy")]
    keys = [key for key in known if key in findings.summaries]
    tables = []
    for division in dict.fromkeys(part.division for part in findings.slices):
        parts = [part for part in findings.slices if part.division == division]
        if len(parts) < 2:
            continue
        rows = [
            [part.part.replace("_", " "), *map(percent_interval, part.win_rates.values())]
            + [number(part.scores[key]) for key in keys]
            + [number(part.prompts, 0)]
            for part in parts
        ]
        columns = [division, *(asked[name] for name in parts[0].win_rates)]
        columns += [f"{findings.decided_by}, {words.called(*key)}" for key in keys]
        tables.append(Table([*columns, "prompts"], rows, f"By {division}"))
    return tables


def best_of_n(findings: Findings) -> Table:
    rows = [
        [f"best of {row['n']}", number(row["kl"]), number(row["reward_model"])]
        + [interval(Interval(row["score"], row["low"], row["high"])), number(row["oracle"])]
        for row in findings.best_of_n
    ]
    return Table(["policy", "KL, nats an answer", "reward model", findings.decided_by, "oracle"], rows, "Best of n")


def temperatures(findings: Findings) -> Table:
    rows, strong = [], []
    for index, row in enumerate(findings.sweep):
        if row["temperature"] == findings.best_temperature[row["policy"]]:
            strong.append(index)
        rate = percent_interval(Interval(row["win_rate"], row["low"], row["high"]))
        rows.append([f"{words.called(row['policy'])} at {row['temperature']:g}", rate, number(row["score"], 3)])
    return Table(["temperature", "win rate against T = 1", f"controlled mean {findings.decided_by}"], rows, "", strong)


def artifacts(findings: Findings) -> Table:
    rows = [[path, md5] for path, md5 in findings.artifacts.items()]
    return Table(["artifact", "md5 in dvc.lock"], rows, "What was compared", words=(0, 1))


def _ppo_rows(findings: Findings) -> list[int]:
    return [index for index, (policy, _) in enumerate(findings.summaries) if policy == "ppo"]

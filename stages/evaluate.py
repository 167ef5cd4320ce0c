"""every policy's answers to held-out prompts → win rates, KL, length, alignment tax and a report; trains nothing.

Base, SFT, PPO of every round, FeedME, rejection sampling, DPO and best-of-n, greedy and sampled, each at its best
temperature where that is fair (Ouyang et al. 2022, section 4; best-of-n after Nakano et al. 2021 and Gao et al. 2022).
"""

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import safetensors

from rlhf.evaluation import deciding, findings, held_out_text, history, model_card, report, report_words, verdicts
from rlhf.evaluation.advising import evaluated, first_look
from rlhf.evaluation.advising.evaluated import Evaluated
from rlhf.evaluation.controls import apart, compare, sides, trivial
from rlhf.evaluation.findings import Findings
from rlhf.evaluation.headline import result
from rlhf.evaluation.held_out_text import Tokens
from rlhf.evaluation.policy_measures import (
    Policy,
    Scorers,
    analytic,
    ask,
    best_of_n,
    divergence,
    drawn,
    fit,
    loss_on_documents,
    mean_verdict,
    sampled_again,
    scored,
    temperature_sweep,
)
from rlhf.evaluation.statistics import Bootstrap
from rlhf.evaluation.verdicts import Judged, Key
from rlhf.models import loading, placement
from rlhf.moderation import moderator
from rlhf.params.base import load
from rlhf.params.evaluate import Evaluate, EvaluateInputs
from rlhf.params.rounds import Rounds
from rlhf.params.runtime import Runtime
from rlhf.preferences.rewards import RewardScorer
from rlhf.records import records
from rlhf.records.types import Document, Prompt, Sample
from rlhf.rewards import weighted
from rlhf.runs import launch, lineage, tracking
from rlhf.runtime import outputs, seeds
from rlhf.runtime.files import new_folder, write_text
from rlhf.tokens import chat
from rlhf.training import left_out
from rlhf.training.context import open_stage

STAGE = "evaluate"
Draw = dict[Key, list[Judged]]  # scored answers by policy and decoding
SAMPLES_ON_PAGE = 3  # test prompts with their answers on the run's page in MLflow


class Asked(NamedTuple):
    """The prompts that policies answer."""

    test: list[Prompt]
    validation: list[Prompt]  # on which temperatures are chosen
    aside: list[Prompt]  # of slices apart


def main(root: Path = Path(".")) -> None:
    params = load(root, EvaluateInputs)
    folders = policy_folders(root, params.rounds)
    last, source, settings = list(params.rounds)[-1], root / "data/collect_prompts", params.evaluate
    bootstrap = Bootstrap(settings.bootstrap_samples, settings.coverage, seeds.derive(params.seed, STAGE, "bootstrap"))
    files = [source / f"{name}.jsonl" for name in ("prompts.validation", "prompts.test", "documents.validation")]
    reward_model, judge = root / "data/reward_model" / last, root / "data/judge"
    moderation = root / "data/moderation"
    trained_by = [source / "data_card.md", *(root / "metrics" / file for file in history.files(last))]
    inputs = {
        "evaluation": [*files, *folders.values(), reward_model, judge, moderation],
        "report": [root / "metrics/judge.json", *trained_by],
    }
    with open_stage(root, STAGE, params, inputs, begins_from=None) as context:
        tokenizers = [loading.load_tokenizer(folders[name]) for name in ("base", "sft")]
        asked = [records.read(file, Prompt) for file in files[:2]]
        fitting = [fit(asked[i], tokenizers, settings.max_prompt_tokens, files[i]) for i in (0, 1)]
        prompts = drawn(fitting[1], settings.test_prompts)
        to_ask = Asked(prompts, drawn(fitting[0], settings.validation_prompts), apart.chosen(fitting[1]))
        context.typed_markers(tokenizers[1], (chat.texts_of(prompt["messages"]) for prompt in prompts))
        text = held_out(files[2], tokenizers[0], settings, context.run)
        trained = RewardScorer(reward_model, params.runtime) if params.rewards.trained else None
        rewards = weighted.opened(params.rewards, root, trained, params.runtime)
        blocking = moderator.opened(moderation, params.runtime, root)
        scorers = Scorers(rewards, RewardScorer(judge, params.runtime), params, bootstrap)
        known = {
            "judge": json.loads((root / "metrics/judge.json").read_text(encoding="utf-8"))["judge"],
            "too_long": len(asked[1]) - len(fitting[1]),
            "artifacts": artifacts(root, [*folders.values(), reward_model]),
        }
        draws, draws_aside, measured = answer_and_measure(folders, to_ask, text, scorers, context.run)
        measured["blocked"] = findings.blocked(prompts, draws[0], blocking, settings.coverage)
        measured["held_out_text"] = held_out_text.describe(text) if text else None
        found = conclude(prompts, draws, scorers, {**measured, **known})
        found = apart.added(found, to_ask.aside, draws_aside, scorers)
        counts = {name: len(own) for name, own in apart.slices(to_ask.aside).items()}
        more = {"apart": counts} if counts else {}
        before = history.read(root, last, params.seed)
        told = evaluated.of(found, before, rewards.num_cut() | more)
        write(root, told, samples(to_ask.aside, draws_aside[0]))
        write_card(root, told, folders["ppo"])
        tell(root, told, folders["ppo"], context.run)


def policy_folders(root: Path, rounds: Rounds) -> dict[str, Path]:
    """Return each policy's folder, without rivals that params left out.

    Raises ValueError for a PPO folder of a round that params.yaml does not list.
    """
    present = sorted(
        path.name for path in (root / "data/ppo").iterdir() if path.is_dir() and not path.name.startswith(".")
    )
    unlisted = [name for name in present if name not in rounds]
    if unlisted:
        raise ValueError(
            f"data/ppo/{unlisted[0]}: params.yaml lists no round '{unlisted[0]}' (rounds: {', '.join(rounds)}); "
            f"remove it with: rm -r {shlex.quote(f'data/ppo/{unlisted[0]}')}, or add the round to params.yaml"
        )
    names, data = list(rounds), root / "data"
    earlier = {f"ppo_{name}": root / "data/ppo" / name for name in names[:-1]}
    optional = {name: data / name for name in verdicts.OPTIONAL if not left_out.is_left_out(data / name)}
    return {
        "base": data / "pretrain",
        "sft": data / "sft",
        "feedme": data / "feedme",
        **optional,
        **earlier,
        "ppo": data / "ppo" / names[-1],
    }


def held_out(file: Path, tokenizer: Any, settings: Evaluate, run: tracking.StageRun) -> Tokens | None:
    """Return the held-out text as tokens; where it fills no sequence, say so."""
    texts = [document["text"] for document in records.read(file, Document)]
    tokens = held_out_text.read(tokenizer, texts, settings)
    if texts and tokens is None:
        run.say(f"{file.name}: shorter than evaluate.sequence_tokens, so no loss on text is measured")
    return tokens


def answer_and_measure(
    folders: dict[str, Path],
    to_ask: Asked,
    text: Tokens | None,
    scorers: Scorers,
    run: tracking.StageRun,
) -> tuple[list[Draw], list[Draw], dict[str, Any]]:
    """Ask every policy every prompt, once a decoding; return the scored answers, those of slices apart, and what else
    was measured.

    The first draw has every policy and decoding; those after it have what was sampled at temperature 1 again.
    """
    prompts, draws_aside = to_ask.test, [Draw() for _ in range(scorers.params.evaluate.sampled_draws)]
    further: list[Draw] = [{} for _ in range(1, scorers.params.evaluate.sampled_draws)]
    judged, sweep, best, kl, document_loss, curve = {}, [], {}, {}, {}, []
    sft = _policy("sft", folders["sft"], scorers.params.runtime)
    for step, (name, folder) in enumerate(folders.items(), start=1):
        policy = sft if name == "sft" else _policy(name, folder, scorers.params.runtime)
        sampled, greedy = ask(policy, prompts, 1.0, scorers), ask(policy, prompts, 0.0, scorers)
        judged[name, "sampled"], judged[name, "greedy"] = (
            scored(prompts, sampled, scorers),
            scored(prompts, greedy, scorers),
        )
        for draw, answers in zip(further, sampled_again(policy, prompts, scorers), strict=True):
            draw[name, "sampled"] = answers
        if name != "sft":
            kl[name] = divergence(policy, sft, prompts, sampled, scorers)
        if text:
            document_loss[name] = loss_on_documents(policy, text.rows, scorers)
        if name in ("sft", "ppo"):
            rows = temperature_sweep(policy, to_ask.validation, scorers)
            best[name] = max(rows, key=lambda row: (row["win_rate"], -row["temperature"]))["temperature"]
            sweep += rows
            known = {0.0: judged[name, "greedy"], 1.0: judged[name, "sampled"]}
            again = known.get(best[name]) or scored(prompts, ask(policy, prompts, best[name], scorers), scorers)
            judged[name, "best_temperature"] = again
        if name == "sft":
            picks, curve = best_of_n(sft, prompts, scorers)
            for draw, own in zip([judged, *further], picks, strict=True):
                draw |= {(f"best_of_{n}", "sampled"): picked for n, picked in own.items()}
            kl |= {f"best_of_{n}": analytic(n, picked) for n, picked in picks[0].items()}
        if to_ask.aside and name in apart.POLICIES:
            for draw, own in zip(draws_aside, apart.answered(policy, to_ask.aside, scorers), strict=True):
                draw |= own
        run.progress(step, len(folders), {f"{name}.score": mean_verdict(judged[name, "sampled"])})
    measured = {"kl": kl, "document_loss": document_loss, "best_temperature": best, "sweep": sweep, "best_of_n": curve}
    return [judged, *further], draws_aside, measured


def conclude(prompts: list[Prompt], draws: Sequence[Draw], scorers: Scorers, measured: dict[str, Any]) -> Findings:
    """Return every comparison, mean and slice that the scored answers allow, beside what was measured otherwise."""
    settings, rounds, (judged, *again) = scorers.params.evaluate, list(scorers.params.rounds), draws
    rivals = [name for name in verdicts.OPTIONAL if (name, "sampled") in judged]
    asked = verdicts.questions(rounds[:-1], settings.best_of_n.compare, rivals)
    ties, bootstrap = settings.tie_threshold, scorers.bootstrap
    rates = [verdicts.compare(question, judged, ties, bootstrap, again) for question in asked]
    policies = sides.of_policies(prompts, draws, scorers.judge, settings.scoring_batch_size)
    tricks = trivial.sides(prompts, judged)
    controls = compare.conclude(policies, tricks, judged, asked, ties, bootstrap)
    return Findings(
        prompts=prompts,
        judged=judged,
        win_rates=[rate for rate in rates if rate],
        summaries={
            key: findings.summary(answers, bootstrap, [draw[key] for draw in again if key in draw])
            for key, answers in judged.items()
        },
        slices=findings.slices(prompts, judged, asked, settings, bootstrap),
        rounds=rounds,
        settings=settings,
        **controls._asdict(),
        **measured,
    )


def _policy(name: str, folder: Path, runtime: Runtime) -> Policy:
    model, tokenizer = loading.load_policy(folder, runtime)
    return Policy(name, placement.lowered(model, runtime), tokenizer)


def write(root: Path, told: Evaluated, aside: list[Sample]) -> None:
    """Write the report, the samples, those of slices apart among them, metrics and plots."""
    found = told.findings
    chosen = range(min(found.settings.sample_prompts, len(found.prompts)))  # the prompts are in random order already
    with new_folder(root / "data" / STAGE) as folder:
        write_text(folder / "report.html", report.html(told))
        write_text(folder / "samples.md", report.samples_markdown(found, chosen))
        records.write(folder / "samples.jsonl", samples(found.prompts, found.judged))
        if aside:
            records.write(folder / "samples.apart.jsonl", aside)
    rates = [
        {"comparison": rate.comparison.name, **rate.interval._asdict(), "prompts": rate.prompts}
        for rate in found.win_rates
    ]
    outputs.write_curve(root, f"{STAGE}/win_rates", rates)
    outputs.write_curve(root, f"{STAGE}/slices", slice_rows(found))
    outputs.write_curve(root, f"{STAGE}/best_of_n", found.best_of_n)
    outputs.write_curve(root, f"{STAGE}/temperatures", found.sweep)
    plots = root / "metrics/plots"
    write_text(plots / "win_rates.svg", report.win_rate_plot(found))
    write_text(plots / "reward_vs_kl.svg", report.reward_plot(found, told.history))
    outputs.write_metrics(root, STAGE, told.metrics)


def artifacts(root: Path, paths: Sequence[Path]) -> dict[str, str]:
    """Return the md5 of each folder, as dvc.lock shows it of the same bytes."""
    return {path.relative_to(root).as_posix(): lineage.dvc_md5(path) for path in sorted(paths)}


def write_card(root: Path, told: Evaluated, folder: Path) -> None:
    """Write the last policy's model card."""
    policy = {"folder": folder.relative_to(root).as_posix(), "parameters": count_parameters(folder)}
    with new_folder(root / "data/model_card") as written:
        write_text(written / "README.md", model_card.markdown(told, policy))


def tell(root: Path, told: Evaluated, policy: Path, run: tracking.StageRun) -> None:
    """Show what was written to the tracker: the card on the policy's page, the verdict, and what to look at first."""
    run.log_card(policy, root / "data/model_card/README.md")
    run.log_metrics(told.metrics)
    figures = deciding.figures(told.metrics)
    run.log_deciding(figures, deciding.columns(figures))
    written, plots = root / "data" / STAGE, root / "metrics/plots"
    for path in (written / "report.html", written / "samples.md", plots / "win_rates.svg", plots / "reward_vs_kl.svg"):
        run.log_artifact(path)
    samples = report.samples_markdown(told.findings, range(min(SAMPLES_ON_PAGE, len(told.findings.prompts))))
    headline, lead = result(told.metrics), report_words.lead(told.findings, told.metrics)
    warnings = first_look.markdown(told.warnings)
    first = "\n\n".join([f"**{headline}**", *([warnings] if warnings else [])])  # the pictures stand behind it
    run.describe([first, *lead, samples], [plots / "win_rates.svg"])
    run.say(f"{headline}. {lead[0]}")


def count_parameters(folder: Path) -> int:
    """Return the number of weights in a model folder's files, tied ones once."""
    total = 0
    for file in folder.glob("*.safetensors"):
        with safetensors.safe_open(file, framework="pt") as weights:
            total += sum(math.prod(weights.get_slice(name).get_shape()) for name in weights.keys())  # noqa: SIM118
    return total


def samples(prompts: Sequence[Prompt], judged: Mapping[Key, Sequence[Judged]]) -> list[Sample]:
    """Return one record a test prompt with every policy's answer and scores."""
    rows = []
    for index, prompt in enumerate(prompts):
        answers = {f"{policy}_{decoding}": _answer(own[index]) for (policy, decoding), own in judged.items()}
        rows.append({**prompt, "kind": "sample", "answers": answers})
    return rows


def _answer(judged: Judged) -> dict[str, Any]:
    """Return an answer's fields, its reward's terms only where there are several."""
    fields = judged._asdict()
    return fields if judged.reward_parts else {name: fields[name] for name in fields if name != "reward_parts"}


def slice_rows(found: Findings) -> list[dict[str, Any]]:
    rows = []
    for part in found.slices:
        for name, rate in part.win_rates.items():
            row = {"division": part.division, "part": part.part, "prompts": part.prompts, "comparison": name}
            rows.append({**row, **rate._asdict()})
    return rows


if __name__ == "__main__":
    launch.run(STAGE, main)

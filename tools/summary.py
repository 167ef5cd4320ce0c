"""Prints what the pipeline found: did RLHF help, at what price, how far its measures can be trusted, where to look.

    python -m tools.summary [root]

Reads metrics/*.json, asks DVC whether they are of this state, and the MLflow store for the run that made the evaluation
on disk: where that run has other figures, it says so. Writes nothing.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlhf.evaluation.advising import first_look
from rlhf.evaluation.headline import DECODINGS, NAMES, Metrics, evidence, rates, result
from rlhf.evaluation.typography import percent_interval
from rlhf.params.base import Params, ParamsError, load, read_yaml
from rlhf.params.collect_comparisons import CollectComparisons
from rlhf.params.rounds import Rounds
from rlhf.params.tracking import TrackingInputs
from rlhf.people import standing
from rlhf.records.json_values import is_object, parsed
from rlhf.runs import changes, lineage, mlflow_store
from rlhf.runs.recording import pipeline_runs, reaping
from rlhf.runtime.flat import flat_numbers, flatten
from rlhf.runtime.outputs import DECIMALS
from rlhf.secrets import guard
from tools.looking import piped
from tools.looking.makers import PARENT, Makers

if TYPE_CHECKING:
    from mlflow.entities import Run

MADE = "data/evaluate"
ANEW = "`dvc repro` writes them anew"


class SummaryInputs(Params):
    rounds: Rounds
    collect_comparisons: CollectComparisons


def main(root: Path = Path(".")) -> int:
    """Print the summary of `root`; returns the exit code: 1 if evaluate has not run, 2 for a broken params.yaml."""
    guard.install()
    try:
        params = load(root, SummaryInputs)
    except ParamsError as error:
        guard.say(str(error))
        return 2
    rounds, waits = params.rounds, [*_what_waits(root, params)]
    if not rounds:
        guard.say("params.yaml: rounds: expected at least one round, got none; presets/laptop.yaml shows one")
        return 2
    last = list(rounds)[-1]
    evaluate, reward = _read(root, "evaluate"), _read(root, "reward_model", last)
    if evaluate is None:
        for line in waits:
            guard.say(line, sys.stdout)
        print(
            "metrics/evaluate.json: not there, for evaluate has not ended; run `make run` or `dvc repro` first",
            file=sys.stderr,
        )
        return 1
    figures = [f"metrics/{name}.json" for name in ("evaluate", f"reward_model/{last}")]
    try:
        trusted = trust(evaluate, reward) if reward else [f"reward_model@{last} has not ended: it has no metrics"]
        lines = [*headline(evaluate), "", *look_first(evaluate, reward or {}), *win_rates(evaluate), ""]
        lines += [*policies(evaluate), "", *trusted, ""]
    except (LookupError, TypeError, ValueError, AttributeError) as error:  # of another version, or edited
        raise ValueError(f"{' or '.join(figures)}: not the figures that the stage writes ({error}); {ANEW}") from None
    earlier = [one for one in (changes.in_a_line(root, figures),) if one]
    first = [*earlier, *waits]
    guard.say("\n".join([*first, *([""] if first else []), *lines, *places(root, figures)]), sys.stdout)
    return 0


def _what_waits(root: Path, params: SummaryInputs) -> Iterator[str]:
    """Yield a line on each round whose answers wait for people's labels."""
    for name, progress in standing.of_rounds(root, params.rounds, params.collect_comparisons):
        if progress.waiting:
            yield progress.in_words(name)


def headline(evaluate: Metrics) -> Iterator[str]:
    """Yield the verdict, the worst of sampled, greedy and best temperature first, and what it rests on."""
    yield f"Did RLHF help? {result(evaluate)}."
    yield evidence(evaluate)


def look_first(evaluate: Metrics, reward: Metrics) -> Iterator[str]:
    """Yield what must be known before the figures are read, two lines a warning and a blank one behind."""
    warnings = first_look.warnings(evaluate, reward)
    if warnings:
        yield f"{first_look.TITLE}:"
        for note in warnings:
            yield f"  ! {note.seen}"
            yield f"    {note.follows}"
        yield ""


def win_rates(evaluate: Metrics) -> Iterator[str]:
    """Yield two lines a comparison, controlled and plain: PPO against SFT, then against the cheaper rivals."""
    head = f"win rate ({evaluate['decided_by']} decides)"
    yield (head.ljust(38) + "".join(f"{name:<21}" for name in DECODINGS.values())).rstrip()
    groups = {"controlled": rates(evaluate, "controlled"), "plain": rates(evaluate, "win_rate")}
    rivals = [name for name in groups["plain"] if name.startswith("ppo_vs_") and f"{name}_greedy" in groups["plain"]]
    rivals += [name for name in groups["plain"] if name.startswith("ppo_vs_best_of_")]
    for name in sorted(rivals, key=lambda name: name != "ppo_vs_sft"):
        for kind, found in groups.items():
            cells = (found.get(one) for one in (name, f"{name}_greedy", f"{name}_best_temperature"))
            row = "".join(f"{percent_interval(cell) if cell else '':<21}" for cell in cells)
            yield f"  {name.replace('_', ' ') + ', ' + kind:<36}{row}".rstrip()


def policies(evaluate: Metrics) -> Iterator[str]:
    """Yield a table of the policies' scores and answers, sampled and greedy."""
    names = ("gold", "judge", "reward_model", "num_tokens", "missing_eos", "empty")
    controlled = {key: found.mean for key, found in rates(evaluate, "controlled_mean").items()}
    columns = {"controlled": controlled} | {name: evaluate[name] for name in names if name in evaluate}
    yield "mean of the answers".ljust(24) + "".join(f"{name:>14}" for name in columns) + f"{'KL to SFT':>14}"
    for policy in NAMES:
        for decoding in ("sampled", "greedy"):
            key = f"{policy}_{decoding}"
            if key not in evaluate["num_tokens"]:
                continue
            cells = "".join(_cell(found.get(key)) for found in columns.values())
            kl = evaluate["kl_per_answer"].get(policy) if decoding == "sampled" else None
            yield f"  {policy} {decoding}".ljust(24) + cells + _cell(kl)


def trust(evaluate: Metrics, reward: Metrics) -> Iterator[str]:
    """Yield how well the reward model predicts labelers, beside what bounds it from both sides."""
    if reward.get("training_prompts") == 0:
        yield "reward model, held-out pairs of labelers   not trained: rewards.trained is 0"
    else:
        yield f"reward model, held-out pairs of labelers   {reward['accuracy']:.1%}"
        yield f"  a TF-IDF baseline                        {reward['tfidf_accuracy']:.1%}"
    if "labelers_agreement" in reward:
        yield f"  labelers with one another                {reward['labelers_agreement']:.1%}"
    if "gold_accuracy" in reward:
        yield f"  its agreement with gold                  {reward['gold_accuracy']:.1%}"
    if "accuracy" in evaluate.get("judged_by", {}):
        yield f"judge, held-out pairs of labelers          {evaluate['judged_by']['accuracy']:.1%}"


def places(root: Path, figures: Sequence[str]) -> Iterator[str]:
    """Yield where the report, the samples and the run in the MLflow UI are, or how to get them.

    `figures` are the files whose numbers are shown: they are held against the run.
    """
    folder, listed = root / MADE, lineage.locked_outs(root).get("evaluate", {}).get(MADE)
    md5 = lineage.dvc_md5(folder) if (folder / "report.html").exists() else None
    if md5:
        yield f"report   {folder / 'report.html'}"
        yield f"samples  {folder / 'samples.md'}"
    else:
        get = "`make run` or `dvc repro` makes it; where a DVC remote is set, `dvc pull evaluate` fetches it"
        yield f"report   not here yet: {get}"
    if md5 and listed not in (md5, None):
        why = "evaluate ran by hand since, its files were changed, or `git checkout` came without `dvc checkout`"
        yield f"         {MADE} is not what dvc.lock lists: {why}"
    settings = load(root, TrackingInputs).tracking
    if not settings.enabled:
        return
    try:
        yield from run_of(root, Makers(settings, mlflow_store.anchor(root)), md5 or listed, figures)
    except ConnectionError as error:
        yield f"MLflow   {error}"


def run_of(root: Path, makers: Makers, md5: str | None, figures: Sequence[str]) -> Iterator[str]:
    """Yield the address of the pipeline's run that made data/evaluate of this md5, and which `figures` and params are
    not its own; that of the table of runs if MLflow knows none.
    """
    if makers.closed:
        yield f"MLflow   {makers.closed}"
        return
    served = "" if makers.uri.startswith("http") else "; make ui serves it"
    found = makers.made(MADE, md5 or "")
    if not found.runs:
        yield f"MLflow   {makers.table()}   ({makers.unknown(found)}{served})"
        return
    shown = {
        file: mlflow_store.named(flat_numbers(_content(root / file))) for file in figures if (root / file).exists()
    }
    run = _with_figures(found.runs, shown, str(mlflow_store.anchor(root)))
    pipeline = makers.pipeline(run)
    only = (
        "the stage's own: its pipeline's run was deleted in MLflow" if PARENT in run.data.tags and not pipeline else ""
    )
    words = f"{only}{served}".removeprefix("; ")
    yield f"MLflow   {makers.link(pipeline or run)}" + (f"   ({words})" if words else "")
    logged = (pipeline.data.metrics if pipeline else {}) | run.data.metrics
    for file, numbers in shown.items():
        if not numbers.keys() & logged.keys():
            yield f"         {file}: the run linked has none of these figures, so whether they are its own is not known"
        elif _differ(numbers, logged):
            yield f"         {file}: these figures are not those of the run linked"
    if pipeline and (stale := pipeline.data.tags.get(pipeline_runs.STALE)):
        yield f"         the run linked built on stages that ran before this changed: {stale}"
    if pipeline and (unknown := pipeline.data.tags.get(pipeline_runs.UNKNOWN)):
        yield f"         whether the run linked built on stages that ran before this changed is not known: {unknown}"
    others = _other_params(root, pipeline) if pipeline else []
    if others:
        more = f" and {len(others) - changes.SHOWN} more" if len(others) > changes.SHOWN else ""
        yield f"         the run linked had {', '.join(others[: changes.SHOWN])}{more}"


def _other_params(root: Path, pipeline: "Run") -> list[str]:
    """Return which params a pipeline had other values of than params.yaml, in words: DVC knows of none where `dvc
    commit` took the params in, or where stages came out the same with both.

    Those that change no artifact are left out.
    """
    content = read_yaml(root / "params.yaml")
    sections = {name: content[name] for name in content if name not in ("tracking", "checkpoints")}
    own = pipeline.data.params
    here = mlflow_store.as_params(flatten(sections))
    return [f"{key} {own[key]} (params.yaml: {value})" for key, value in here.items() if own.get(key, value) != value]


def _with_figures(runs: "Sequence[Run]", shown: Mapping[str, Mapping[str, float]], home: str) -> "Run":
    """Return the newest of runs with the same bytes: of those with these figures if there are any, and of these, of
    those that ran in this repository, since others may record in the same store.
    """
    runs = [run for run in runs if run.info.experiment_id == runs[0].info.experiment_id]
    same = [run for run in runs if not any(_differ(numbers, run.data.metrics) for numbers in shown.values())] or runs
    own = [run for run in same if run.data.tags.get(reaping.HOME) == home]
    return (own or same)[-1]


def _differ(numbers: Mapping[str, float], logged: Mapping[str, float]) -> bool:
    """Say whether figures, which files keep rounded, are others than those that a run has logged."""
    return any(name in logged and round(logged[name], DECIMALS) != value for name, value in numbers.items())


def _content(path: Path) -> dict[str, Any]:
    content = parsed(path.read_text(encoding="utf-8"), f"{path}")
    if not is_object(content):
        raise ValueError(f"{path}: expected figures by name, got {type(content).__name__}; {ANEW}")
    return content


def _read(root: Path, stage: str, round_name: str | None = None) -> Metrics | None:
    path = root / "metrics" / (f"{stage}.json" if round_name is None else f"{stage}/{round_name}.json")
    if not path.exists():
        return None
    content: Any = _content(path)
    for name in filter(None, (stage, round_name)):
        content = content.get(name) if is_object(content) else None
    if not is_object(content):
        raise ValueError(f"{path}: expected the figures of {stage}, got others; {ANEW}")
    return content


def _cell(value: float | None) -> str:
    return f"{'' if value is None else format(value, '.3f'):>14}"


if __name__ == "__main__":
    piped.exit_with(lambda: main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(".")))

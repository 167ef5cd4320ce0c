"""Validates the whole params.yaml, and that the files it names exist, before anything expensive begins.

    python -m tools.check                  by hand: everything, and dvc.yaml is made to list what params.yaml names;
                                           outputs of rounds that params.yaml no longer lists go, if they come back
    python -m tools.check STAGE [ROUND]    the whole params.yaml, but only those files and folders that STAGE reads

Prints every mistake with its path, its value and what is allowed, and exits with 2; else one line on what was read.
With the stage's name it is the first command of each stage in dvc.yaml, and silent there if all is well, so that a typo
in `ppo` stops the first stage; it changes no output of a stage that is there, so no stage depends on it. Before
`evaluate`, which reads the folders of all rounds, it removes those of rounds that are no longer listed.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from pydantic import create_model

from rlhf.models import shapes
from rlhf.models.gguf import header, places
from rlhf.params import collect_prompts, pretrain, reward_model
from rlhf.params.base import Params, ParamsError, listed, parse, place_of, read_yaml, shown
from rlhf.params.collect_answers import CollectAnswersInputs
from rlhf.params.collect_comparisons import CollectComparisonsInputs
from rlhf.params.evaluate import EvaluateInputs
from rlhf.params.feedme import FeedmeInputs
from rlhf.params.labelers.who_ranks import rank_any_prompt
from rlhf.params.moderation.section import ModerationInputs
from rlhf.params.ppo import PpoInputs
from rlhf.params.sft import SftInputs
from rlhf.params.tracking import CheckpointsInputs, TrackingInputs
from rlhf.params.training.dpo import DpoInputs
from rlhf.params.training.rejection import RejectionInputs
from rlhf.records import records
from rlhf.rewards import functions
from rlhf.rollouts import installed
from rlhf.runs import lineage
from rlhf.secrets import guard
from tools import inputs, unlisted
from tools.checking import labelers, people
from tools.looking import piped
from tools.planning import tables

READERS = (  # each names the sections that one reader of params.yaml takes; together they are the whole file
    collect_prompts.CollectPromptsInputs, pretrain.PretrainInputs, SftInputs, CollectAnswersInputs,
    CollectComparisonsInputs, reward_model.RewardModelInputs, PpoInputs, FeedmeInputs, RejectionInputs, DpoInputs,
    reward_model.JudgeInputs, ModerationInputs, EvaluateInputs, TrackingInputs, CheckpointsInputs,
)  # fmt: skip


MADE = ("world", "instructions")  # kinds of sources whose prompts have a task, which simulated labelers know
POSITIONS = ("max_position_embeddings", "n_positions", "max_seq_len")  # in a config.json: the model's context


@cache
def schema() -> type[Params]:
    """Return one class with all sections of params.yaml."""
    fields: dict[str, Any] = {}
    for reader in READERS:
        fields |= {name: (field.annotation, field) for name, field in reader.model_fields.items()}
    return create_model("WholeParams", __base__=Params, **fields)


def check(root: Path, stage: str | None = None) -> list[str]:
    """Return the mistakes of `root`/params.yaml, one line each; an empty list means that all is well.

    With a stage, inputs that only other stages read are not looked for.
    """
    try:
        content = read_yaml(root / "params.yaml")
    except ParamsError as error:
        return str(error).splitlines()
    return mistakes_in(content, root, stage)


def whole(content: Mapping[str, Any]) -> Any:
    """Return the params of a whole params.yaml. Raises ParamsError for what their types do not take."""
    return parse(schema(), content, "")


def mistakes_in(content: Mapping[str, Any], root: Path, stage: str | None = None) -> list[str]:
    """Return the mistakes of params that were read already, and of files that they name below `root`."""
    try:
        return mistakes_of(whole(content), root, stage)
    except ParamsError as error:
        return str(error).splitlines()


def mistakes_of(params: Any, root: Path, stage: str | None = None) -> list[str]:
    """Return what is wrong with params whose types are right, and with the files that they name below `root`."""
    mistakes = [mistake for rule in RULES for mistake in rule(params)]
    mistakes += _variables(params.model_dump(), "")
    for name, named in inputs.of_stages(params, root).items():
        mistakes += inputs.mistakes(named, root) if stage in (None, name) else []
    mistakes += _the_adopted_model_fits(params, root)
    if stage in (None, "collect_comparisons"):
        mistakes += labelers.mistakes(params, root)
    if stage in (None, "ppo"):
        mistakes += [missing] if (missing := installed.lacking(params.ppo.rollouts)) else []
    if stage in (None, "ppo", "rejection", "evaluate"):
        mistakes += _reward_functions_can_be_called(params, root)
    return [f"params.yaml: {mistake}" for mistake in dict.fromkeys(mistakes)]  # two stages may read one input


def main(arguments: list[str], root: Path = Path(".")) -> int:
    """Check this folder, for one stage or for all; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", nargs="?", choices=inputs.STAGES, metavar="STAGE")
    parser.add_argument("round", nargs="?", metavar="ROUND")
    chosen = parser.parse_args(arguments)
    guard.install()
    left: unlisted.LeftBehind = {}
    try:
        params = whole(read_yaml(root / "params.yaml"))
        mistakes = mistakes_of(params, root, chosen.stage) or _not_watched(params, root, chosen.stage)
        if not mistakes and chosen.stage in (None, "evaluate"):  # it reads the folders of all rounds
            left = unlisted.left_behind(params, root)
            mistakes = list(unlisted.mistakes(left, root))
    except ParamsError as error:
        params, mistakes = None, str(error).splitlines()
    running = os.environ.get("DVC_STAGE")
    if mistakes:
        _show([*mistakes, *(_hints(params, root, running) if running else ())], sys.stderr)
        return 2
    _show(unlisted.remove(left, root), sys.stdout)
    made = people.make_folders(params, root) if chosen.stage in (None, "collect_answers") and params is not None else []
    if running:
        return 0
    if chosen.stage is None and params is not None and params.pretrain.source in ("local", "gguf", "package"):
        try:
            _try_the_model(params, root)
        except ValueError as error:
            _show([f"params.yaml: pretrain: {error}"], sys.stderr)
            return 2
    if chosen.stage is None and params is not None:
        _show(made, sys.stdout)
        _show(inputs.bring_up_to_date(params, root), sys.stdout)
        _show(inputs.untracked(params, root), sys.stderr)
        _show(labelers.warnings(params), sys.stderr)
        _show(labelers.costs(params), sys.stdout)
        _show(tables.memory_lines(params, root), sys.stdout)
    _show([in_a_line(params, root)], sys.stdout)
    return 0


def _try_the_model(params: Any, root: Path) -> None:
    """Adopt the folder or file that params name, as `pretrain` will, and say how long that took; ValueErrors are its.

    torch and transformers are read for it, which takes some seconds.
    """
    began = time.monotonic()
    from rlhf.models import adoption

    adoption.adopt(params.pretrain, root, params.runtime, guard.say)
    _show([f"{params.pretrain.model}: the model was read and tried in {time.monotonic() - began:.0f} s"], sys.stdout)


def _show(lines: Iterable[str], where: TextIO) -> None:
    for line in lines:
        guard.say(line, where)


def _not_watched(params: Any, root: Path, stage: str | None) -> list[str]:
    """Return one line where DVC would not see that an input of the stage changes: it has read dvc.yaml already."""
    unlisted = inputs.unlisted(params, root, stage) if stage else []
    if not unlisted:
        return []
    again = "the same dvc command again"
    if "DVC_EXP_NAME" in os.environ:
        again = "dvc exp run without -S for it: DVC reads dvc.yaml before -S changes params.yaml"
    return [
        f"dvc.yaml: deps of {stage}: params.yaml names {', '.join(unlisted)}, which DVC does not watch yet; "
        f"with params.yaml as it shall be, type: {inputs.MEND}, and then {again}"
    ]


def _hints(params: Any, root: Path, running: str) -> Iterator[str]:
    """Yield what may help within a stage of DVC: what the copy lacks, and how old outputs come back."""
    origin = Path(os.environ.get("DVC_ROOT", root)).resolve()
    lacking = inputs.untracked(params, origin) if params and origin != root.resolve() else []
    if lacking:
        yield (
            f"This is an experiment's copy of {origin}, with the files that git or DVC keeps. Do there what "
            "follows, and then type the same command again:"
        )
        yield from lacking
    way_back = lineage.way_back(root, running)
    if way_back:
        yield way_back


def in_a_line(params: Any, root: Path) -> str:
    """Return what a params.yaml without mistakes asks for: the preset that it equals, if any, and its main choices."""
    text = (root / "params.yaml").read_bytes()
    same = [path.stem for path in sorted((root / "presets").glob("*.yaml")) if path.read_bytes() == text]
    base = params.pretrain
    model = f"'{base.shape}' from scratch" if base.source == "scratch" else f"{base.model}, adopted"
    return (
        f"params.yaml: fine; {f'preset {same[0]}' if same else 'values of your own'}; "
        f"{len(params.collect_prompts.sources)} sources; rounds {', '.join(params.rounds)}; model {model}; "
        f"on {params.runtime.device}"
    )


def _rounds_go_forward(params: Any) -> Iterator[str]:
    """Each round builds on what the rounds above it have made."""
    policies, comparisons = ["sft"], ["collect_prompts"]
    if not params.rounds:
        yield "rounds: expected at least one round, got none; presets/laptop.yaml shows one"
    for name, one in params.rounds.items():
        if one.policy not in policies:
            yield f"rounds.{name}.policy: expected one of {listed(policies)} (got {shown(one.policy)})"
        if one.earlier not in comparisons:
            yield f"rounds.{name}.earlier: expected one of {listed(comparisons)} (got {shown(one.earlier)})"
        policies.append(f"ppo/{name}")
        comparisons.append(f"collect_comparisons/{name}")


def _variables(value: Any, place: str) -> Iterator[str]:
    """Yield a line for each text that DVC would fill in.

    `dvc exp run -S` writes all of params.yaml anew, with what stands for its variables: `${oc.env:NAME}` becomes the
    value in the environment, which may be a secret, in params.yaml, dvc.lock, git and MLflow.
    """
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _variables(inner, f"{place}.{key}".lstrip("."))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _variables(inner, f"{place}.{number}")
    elif isinstance(value, str) and "${" in value:
        would = "DVC takes ${ for a variable, and would write its value here; write it otherwise"
        yield f"{place}: {would} (got {shown(value)})"


def _named_rounds_exist(params: Any) -> Iterator[str]:
    for name in ("feedme", "rejection", "dpo", "judge"):
        chosen = getattr(params, name).round
        if chosen not in params.rounds:
            yield f"{name}.round: expected one of rounds: {listed(params.rounds)} (got {shown(chosen)})"


def _tracking_uri_is_a_store(params: Any) -> Iterator[str]:
    schemes = ("sqlite:///", "http://", "https://", "postgresql", "mysql", "mssql")
    uri = params.tracking.uri
    if params.tracking.enabled and uri is not None and not uri.startswith(schemes):
        yield f"tracking.uri: expected null or a URI that begins with one of {', '.join(schemes)} (got {shown(uri)})"


def _new_answers_have_prompts(params: Any) -> Iterator[str]:
    """Prompts to answer and rank come from the splits `reward_model` and `judge`."""
    shares, section = params.collect_prompts.shares, params.collect_answers
    for count, split in (("max_prompts", "reward_model"), ("max_judge_prompts", "judge")):
        wanted = getattr(section, count)
        if wanted and getattr(shares, split) == 0:
            yield (
                f"collect_answers.{count}: collect_prompts.shares.{split} is 0, so there is no prompt to rank; "
                f"raise that share or set this to 0 (got {wanted})"
            )


def _comparisons_come_from_somewhere(params: Any) -> Iterator[str]:
    """Reward model and judge learn from given comparisons, or from answers to prompts that their labelers can rank."""
    section, sources = params.collect_answers, params.collect_prompts.sources
    ranks_any = rank_any_prompt(params.model_dump())
    who = rank_any_prompt({"collect_comparisons": params.collect_comparisons.model_dump()})  # whatever gets answers
    asked = ("reward_model", "prompts") if section.prompts == "reward_model" else ("sft", "demonstrations")
    for count, into, (split, use), any_prompt, could in (
        ("max_prompts", "reward_model", asked, ranks_any[0], who[0]),
        ("max_judge_prompts", "judge", ("judge", "prompts"), ranks_any[1], who[1]),
    ):
        wanted = getattr(section, count)
        known = [source for source in sources if (source.prompts if source.kind in MADE else any_prompt)]
        ranked = wanted and any(use in source.use and split in source.splits for source in known)
        given = any("comparisons" in source.use and into in source.splits for source in sources)
        if into == "reward_model" and params.rewards.trained == 0:
            continue
        if ranked or (given and getattr(params.collect_prompts.shares, into)):
            continue
        lacking = f"has {use} in its use and {split} in its splits"
        nobody = "no answers are ranked"
        if wanted and any_prompt:
            nobody = f"no source {lacking} (splits that are left out lack it where use has no comparisons)"
        elif wanted:
            why = "collect_answers.prompts_with is task, which" if could else "simulated labelers rank answers to"
            alone = "prompts of kinds world and instructions alone"
            nobody = f"{why} {alone}{' have' if could else ''}, and no such source {lacking}"
        yield (
            f"collect_answers.{count}: {nobody}, nor does a source with comparisons in its use list {into}; "
            f"{'the reward model' if into == 'reward_model' else 'the judge'} would learn from nothing. Give "
            f"answers that people ranked (docs/data.md), prompts to labelers of another kind (docs/labelers.md), or a "
            f"source of kind world (got {wanted})"
        )


def _the_judge_learns_from_enough(params: Any) -> Iterator[str]:
    """However prompts and rows fall, no more comparisons are set aside than this; a file without limit may hold any."""
    section, collected = params.collect_answers, params.collect_prompts
    feeding = [source for source in collected.sources if "judge" in source.splits]
    if not collected.shares.judge or params.judge.round not in params.rounds:
        return
    asking = [source for source in feeding if "prompts" in source.use]
    known = [source.prompts for source in asking if source.kind in MADE]
    if rank_any_prompt(params.model_dump())[1]:
        known += [_most_rows(source) for source in asking if source.kind not in MADE]
    given = [_most_rows(source) for source in feeding if source.kind not in MADE and "comparisons" in source.use]
    at_most = float("inf") if collected.max_prompts.judge is None else collected.max_prompts.judge
    ranked = min(section.max_judge_prompts, sum(known), at_most) * _num_rounds_up_to(params.judge.round, params.rounds)
    most = ranked + sum(given)
    if 0 < most < records.FOR_A_JUDGE:
        yield (
            f"judge: it needs at least {records.FOR_A_JUDGE} comparisons that are set aside for it, and no more than "
            f"{most} can be: raise collect_answers.max_judge_prompts (now {section.max_judge_prompts}), or prompts "
            "or limit of the sources that list judge in their splits"
        )


def _most_rows(source: Any) -> float:
    """Return how many rows a source gives at most; what people say in the chat has no limit."""
    limit = getattr(source, "limit", None)
    return float("inf") if limit is None else limit


def _num_rounds_up_to(name: str, rounds: Mapping[str, Any]) -> int:
    """Return how many rounds have added comparisons where a round has; wrong names are another rule's to say."""
    found: list[str] = []
    while name in rounds and name not in found:
        found.append(name)
        name = rounds[name].earlier.rpartition("/")[2]
    return len(found)


def _value_model_can_start_from_the_reward_model(params: Any) -> Iterator[str]:
    if params.ppo.value_init == "reward_model" and params.reward_model.backbone == "encoder":
        yield (
            "ppo.value_init: an encoder reward model cannot become the value model of a causal policy; "
            "expected 'policy' while reward_model.backbone is 'encoder' (got 'reward_model')"
        )


def _a_reward_model_is_trained_where_one_is_needed(params: Any) -> Iterator[str]:
    if params.rewards.trained == 0 and params.ppo.value_init == "reward_model":
        yield (
            "ppo.value_init: no reward model is trained where rewards.trained is 0, so no value model starts from it; "
            "expected 'policy' (got 'reward_model')"
        )


def _reward_functions_can_be_called(params: Any, root: Path) -> Iterator[str]:
    """Import the functions before anything long begins; that a file is missing is said of it as an input."""
    for number, one in enumerate(params.rewards.functions):
        try:
            functions.imported(one.function, root)
        except ValueError as error:
            yield f"rewards.functions.{number}.function: {error}"
        except FileNotFoundError:
            continue


def _shape_is_known_and_wide_enough(params: Any) -> Iterator[str]:
    """A model trained here has a named shape, of which a base width has whole heads, and no stage asks for more tokens
    than its context holds.
    """
    if params.pretrain.source != "scratch":
        return
    try:
        shape = shapes.named(params.pretrain.shape)
    except ValueError as error:
        yield f"pretrain.shape: {error} (got {shown(params.pretrain.shape)})"
        return
    base, size = params.pretrain.base_width, shapes.head_size(shape)
    if base is not None and base % size:
        yield f"pretrain.base_width: expected a multiple of {size}, the size of the shape's heads (got {base})"
    yield from _longer_than(shape.context, f"the shape '{params.pretrain.shape}'", params)


def _longer_than(context: int, model: str, params: Any) -> Iterator[str]:
    """Yield what asks for more tokens than a model's context holds."""
    wanted = {
        "pretrain.sequence_tokens": params.pretrain.sequence_tokens,
        "sft.max_tokens": params.sft.max_tokens,
        "feedme.max_tokens": params.feedme.max_tokens,
        "reward_model.max_tokens": params.reward_model.max_tokens,
        "judge.max_tokens": params.judge.max_tokens,
        "ppo.ptx_sequence_tokens": params.ppo.ptx_sequence_tokens,
        "evaluate.sequence_tokens": params.evaluate.sequence_tokens,
    }
    rivals = [name for name in ("rejection", "dpo") if getattr(params, name).train]
    wanted |= {f"{name}.max_tokens": getattr(params, name).max_tokens for name in rivals}
    for section in ("collect_answers", "ppo", "evaluate", *(["rejection"] if params.rejection.train else [])):
        limits = getattr(params, section)
        wanted[f"{section}.max_prompt_tokens + max_completion_tokens"] = (
            limits.max_prompt_tokens + limits.max_completion_tokens
        )
    for place, num_tokens in wanted.items():
        if num_tokens > context:
            yield f"{place}: {model} has a context of {context} tokens (got {num_tokens})"


def _workers_share_the_threads(params: Any) -> Iterator[str]:
    processes, threads, workers = params.runtime.processes, params.runtime.threads, params.runtime.workers
    if threads % workers:
        yield f"runtime.workers: expected a divisor of runtime.threads, {threads} (got {workers})"
    if params.runtime.device == "cuda" and workers > 1:
        yield f"runtime.workers: a GPU computes a whole batch at once; expected 1 (got {workers})"
    for name in ("sft", "feedme", "rejection", "reward_model", "judge"):
        section = getattr(params, name)
        places = {"dropout": getattr(section, "dropout", 0), "lora.dropout": section.lora and section.lora.dropout}
        for place in (f"{name}.{key}" for key, dropout in places.items() if dropout):
            if workers > 1:
                yield f"runtime.workers: {place} draws from one generator; expected 1 with dropout (got {workers})"
            if processes > 1:
                yield f"runtime.processes: {place} draws from one generator; expected 1 (got {processes})"


RULES = (  # impossible combinations, each rule a generator of mistakes
    _rounds_go_forward,
    _named_rounds_exist,
    _tracking_uri_is_a_store,
    _new_answers_have_prompts,
    _comparisons_come_from_somewhere,
    _the_judge_learns_from_enough,
    *labelers.RULES,
    _value_model_can_start_from_the_reward_model,
    _a_reward_model_is_trained_where_one_is_needed,
    _shape_is_known_and_wide_enough,
    _workers_share_the_threads,
)


def _the_adopted_model_fits(params: Any, root: Path) -> Iterator[str]:
    """A folder's or file's model has positions for every stage's rows; a classifier on it has no output layer of its
    own.

    Of a model on a hub the stages themselves say so.
    """
    if params.pretrain.source == "local":
        shape = _shape_of_folder(place_of(params.pretrain.path, root))
    elif params.pretrain.source in ("gguf", "package"):
        shape = _shape_of_gguf(params.pretrain, root)
    else:
        return
    place = "pretrain.package" if params.pretrain.source == "package" else "pretrain.path"
    if shape.context is not None:
        yield from _longer_than(shape.context, f"the model of {place} ({shape.key})", params)
    for name in ("reward_model", "judge"):
        section = getattr(params, name)
        if section.likelihood_coef and shape.tied is False:
            yield (
                f"{name}.likelihood_coef: the model of {place} does not tie its output layer to its word "
                "embeddings, so a reward model on it knows no likelihoods; "
                f"expected 0 (got {section.likelihood_coef})"
            )


class _Shape(NamedTuple):
    """What a model says of itself that params must fit; None where it does not say so."""

    context: int | None
    key: str  # that says it
    tied: bool | None


NOTHING_SAID = _Shape(None, "", None)  # `pretrain` says what is wrong with a model that cannot be read


def _shape_of_folder(folder: Path) -> _Shape:
    try:
        config: Any = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return NOTHING_SAID
    if not isinstance(config, dict):
        return NOTHING_SAID
    of_text: Any = config.get("text_config") if isinstance(config.get("text_config"), dict) else {}
    for name in POSITIONS:
        context = of_text.get(name, config.get(name))
        if isinstance(context, int) and not isinstance(context, bool) and context > 0:
            return _Shape(context, name, config.get("tie_word_embeddings"))
    return _Shape(None, "", config.get("tie_word_embeddings"))


def _shape_of_gguf(base: Any, root: Path) -> _Shape:
    try:
        found = header.read(places.file_of(base, root))
    except (OSError, ValueError):
        return NOTHING_SAID
    return _Shape(found.of_model("context_length"), f"{found.architecture}.context_length", found.tied)


if __name__ == "__main__":
    piped.exit_with(lambda: main(sys.argv[1:]))

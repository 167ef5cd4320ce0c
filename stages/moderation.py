"""harmful requests and harmless look-alikes → a moderator that blocks texts, and how often it does so wrongly.

Its test set resembles no training prompt, and its look-alikes are of XSTest's kinds (Röttger et al. 2023).
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from rlhf.evaluation import statistics
from rlhf.moderation import classifier, moderator, own_files, rates
from rlhf.moderation.examples import built_in, of_world
from rlhf.moderation.examples.example import Example
from rlhf.moderation.moderator import Moderator
from rlhf.moderation.own_files import Own
from rlhf.moderation.rates import Tried
from rlhf.params.base import load, place_of
from rlhf.params.moderation.section import Adopted, Moderation, ModerationInputs
from rlhf.records import records
from rlhf.runs import launch, tracking
from rlhf.runtime import outputs, seeds
from rlhf.runtime.files import new_folder

STAGE = "moderation"
TEST_PHRASINGS = 20  # of an act of validation and test: all frames


class Examples(NamedTuple):
    training: list[Example]
    validation: list[Example]
    test: list[Example]  # the built-in ones
    own: Own


def main(root: Path = Path(".")) -> None:
    params = load(root, ModerationInputs)
    settings = params.moderation
    with tracking.stage_run(root, STAGE) as run:
        run.log_inputs([*own_files.paths(settings, root), *adopted_folder(settings, root)], context="training")
        examples = gathered(settings, root, seeds.derive(params.seed, STAGE))
        for line in lines(examples):
            run.say(line)
        judge = judge_of(params, examples, root)
        thresholds = rates.thresholds(examples.validation, judge, settings.max_miss_rate)
        tested = Moderator(judge, thresholds)
        tried = tried_on(examples.test, tested)
        metrics = measured(tried, examples, tested, settings)
        with new_folder(root / "data" / STAGE) as folder:
            moderator.save(folder, judge, thresholds)
            records.write(folder / "test.jsonl", (row(one) for one in tried))
        outputs.write_metrics(root, STAGE, metrics, beside=("misses", "false_alarms"))
        run.log_metrics(metrics)
        run.log_artifact(root / "data" / STAGE / "test.jsonl")
        run.say(in_a_line(metrics))


def gathered(params: Moderation, root: Path, seed: int) -> Examples:
    """Return all examples by part. Raises ValueError naming a line of the user's files that cannot be used."""
    own = own_files.read(params, root, seed)
    training: list[Example] = []
    if params.classifier.kind == "trained":
        training = built_in.examples(
            "train", params.classifier.phrasings, params.categories, params.classifier.combined
        )
        training += of_world.examples(seed, params.classifier.world_prompts, params.categories)
    validation, test = (built_in.examples(part, TEST_PHRASINGS, params.categories) for part in ("validation", "test"))
    return Examples(training + own.parts["train"], validation + own.parts["validation"], test, own)


def lines(examples: Examples) -> list[str]:
    """Return what the screen says of the examples."""
    own = examples.own
    found = [
        f"{len(examples.training):,} texts to train on, {len(examples.validation):,} to choose the threshold on, "
        f"{len(examples.test):,} to test on"
    ]
    if own.num_texts or own.passed_over:
        counts = ", ".join(f"{part} {len(texts)}" for part, texts in own.parts.items())
        found.append(f"own examples: {own.num_texts} ({counts})")
    return found + [f"own examples: {count} passed over: {why}" for why, count in sorted(own.passed_over.items())]


def judge_of(params: ModerationInputs, examples: Examples, root: Path) -> Any:
    """Return the classifier of params, trained on the examples or adopted."""
    settings = params.moderation
    if isinstance(settings.classifier, Adopted):
        from rlhf.models import placement  # loads torch
        from rlhf.moderation.adopted import AdoptedClassifier

        placement.prepare(params.runtime, params.seed)
        return AdoptedClassifier(settings.classifier, settings.categories, root, params.runtime)
    return classifier.fit(examples.training, settings.categories, settings.classifier)


def tried_on(examples: Sequence[Example], tested: Moderator) -> list[Tried]:
    verdicts = tested.judge([example.text for example in examples])
    return [
        Tried(example, verdict.blocked, verdict.category) for example, verdict in zip(examples, verdicts, strict=True)
    ]


def measured(tried: list[Tried], examples: Examples, tested: Moderator, params: Moderation) -> dict[str, Any]:
    """Return both error rates on the test set, what rivals without learning reach there, and what else is told."""
    measure = partial(statistics.share_interval, coverage=params.coverage)
    rivals = {
        "keywords": rates.by_keywords(examples.test),
        "always": [Tried(example, True) for example in examples.test],
        "never": [Tried(example, False) for example in examples.test],
    }
    own = tried_on(examples.own.parts["test"], tested)
    metrics = {
        **rates.of(tried, measure),
        **rates.in_detail(tried, measure),
        "named_right": rates.named_right(tried),
        "rivals": {name: rates.of(blocked, measure) for name, blocked in rivals.items()},
        "validation": rates.of(tried_on(examples.validation, tested), measure),
        "own": rates.of(own, measure),
        "thresholds": tested.thresholds,
        "texts": {
            "training": len(examples.training),
            "validation": len(examples.validation),
            "test": len(examples.test),
            "own": examples.own.num_texts,
            "own_passed_over": sum(examples.own.passed_over.values()),
        },
    }
    return {name: value for name, value in metrics.items() if value not in (None, {})}


def row(one: Tried) -> dict[str, Any]:
    """Return a text of the test set with its verdict."""
    return {**one.example._asdict(), "blocked": one.blocked, "named": one.named}


def in_a_line(metrics: dict[str, Any]) -> str:
    return "; ".join(
        f"{name.replace('_', ' ')} {found['mean']:.0%} ({found['low']:.0%} to {found['high']:.0%})"
        for name, found in ((name, metrics[name]) for name in ("misses", "false_alarms"))
    )


def adopted_folder(params: Moderation, root: Path) -> list[Path]:
    """Return the folder of an adopted classifier; a hub's has none here."""
    if not isinstance(params.classifier, Adopted):
        return []
    folder = place_of(params.classifier.path, root)
    return [folder] if folder.is_dir() else []


if __name__ == "__main__":
    launch.run_alone(STAGE, main)

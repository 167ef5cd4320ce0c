"""What a stage with models opens before its work: devices, seeds, states to go on from, and its run in MLflow."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from rlhf.models import placement
from rlhf.models.mup import rates
from rlhf.params.runtime import Runtime
from rlhf.records.types import Message
from rlhf.runs import checkpoints, dependencies, tracking
from rlhf.runs.stage_name import StageName
from rlhf.runtime import failures, outputs, seeds
from rlhf.tokens import markers


class StageParams(checkpoints.KeyParams, Protocol):
    """The sections that every stage with models reads, whatever its own."""

    @property
    def seed(self) -> int: ...

    @property
    def runtime(self) -> Runtime: ...


class StageContext(NamedTuple):
    """One stage at work."""

    root: Path
    stage: str
    round_name: str | None
    runtime: Runtime
    seed: int  # the stage's own, and the round's
    states: checkpoints.States
    run: tracking.StageRun

    @property
    def name(self) -> str:
        """The stage, and its round below it: where its data, metrics and curves lie."""
        return StageName(self.stage, self.round_name).place

    @property
    def out(self) -> Path:
        """The folder that the stage makes."""
        return self.root / "data" / self.name

    def followed(self, points: Iterable[dict[str, Any]], total: int, shown: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Yield a loop's points, each recorded as a step of its curve, and shown by the columns that are named."""
        for point in points:
            self.run.log_metrics(point, step=point["step"])
            self.run.progress(point["step"], total, {name: point[name] for name in shown})
            yield point

    def typed_markers(self, tokenizer: Any, records: Iterable[Sequence[str]]) -> dict[str, int]:
        """Say which of a tokenizer's markers records spell, each of some texts; return their number as a metric.

        It is left out where none does. Whoever writes a marker has written text: see `rlhf.tokens.markers`.
        """
        num_records, by_marker = markers.typed(tokenizer, records)
        if not num_records:
            return {}
        shown = ", ".join(f"{marker} in {count}" for marker, count in by_marker.items())
        self.run.say(f"{num_records} records spell markers of the tokenizer, which are read as text: {shown}")
        return {"records_with_typed_markers": num_records}

    def changed_turns(self, tokenizer: Any, dialogues: Iterable[Sequence[Message]]) -> dict[str, int]:
        """Say how many dialogues have a system turn that the template refuses, and what became of it (pretrain's
        `system_turns`); return their number as a metric, none where there are none.
        """
        way = markers.way_of_system_turns(tokenizer)
        count = sum(message["role"] == "system" for messages in dialogues for message in messages[:1]) if way else 0
        if not count:
            return {}
        done = {"merge": "merged into the next user's turn", "leave_out": "left out"}[str(way)]
        self.run.say(f"{count} dialogues have a system turn, which the template refuses: {done}")
        return {"dialogues_with_refused_system_turns": count}

    def rates_of(self, model: Any) -> None:
        """Say what μP makes of the params' rates; nothing of a model in the standard parametrisation."""
        if (line := rates.line(model)) is not None:
            self.run.say(line)

    def conclude(self, metrics: Mapping[str, Any]) -> None:
        """Write the stage's metrics, and record them and the model that lies in its folder."""
        outputs.write_metrics(self.root, self.name, metrics)
        self.run.log_model(self.out)
        self.run.log_metrics(metrics)


@contextmanager
def open_stage(
    root: Path,
    stage: str,
    params: StageParams,
    inputs: Mapping[str, Sequence[Path]],
    begins_from: object,
    round_name: str | None = None,
) -> Iterator[StageContext]:
    """Prepare devices and seeds, find states, and record the block as the stage's run.

    `inputs`: what is read, by what for ("training", "validation"): a state of other inputs is not used. `begins_from`:
    what is still good if training breaks down, for the error message; None where nothing is trained and no states kept.
    """
    recorded = dependencies.of_dvc(root, StageName(stage, round_name))
    placement.prepare(params.runtime, params.seed)
    read = [path for paths in inputs.values() for path in paths]
    states = checkpoints.NONE if begins_from is None else checkpoints.opened(root, stage, params, read, round_name)
    seed = seeds.derive(params.seed, stage, *([] if round_name is None else [round_name]))
    with (
        failures.explained(stage, begins_from),
        tracking.stage_run(root, stage, round_name, states, recorded) as run,
    ):
        for context, paths in inputs.items():
            run.log_inputs([path for path in paths if path.exists()], context=context)
        yield StageContext(root, stage, round_name, params.runtime, seed, states, run)

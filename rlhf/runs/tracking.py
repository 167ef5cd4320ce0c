"""What a stage tells the world while it runs: progress on the screen, and params, curves, inputs and models in MLflow.

    with tracking.stage_run(root, "ppo", round_name="r1") as run:
        run.log_inputs([root / "data/sft"], context="training")
        run.log_metrics({"kl": 0.1}, step=10)
        run.progress(10, 60, {"kl": 0.1})

Nothing here changes a byte of a stage's outputs. A store that cannot be opened stops the stage before its work, or at
its first step; one that fails later costs a warning and never the trained model.
"""

import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from rlhf.params.base import load
from rlhf.params.tracking import TrackingInputs
from rlhf.runs import dependencies
from rlhf.runs.mlflow_worker import MlflowWorker
from rlhf.runs.progress import Progress, duration
from rlhf.runs.recording.attempts import Training
from rlhf.runs.stage_name import StageName
from rlhf.runtime import distributed
from rlhf.runtime.flat import flat_numbers
from rlhf.runtime.waiting import Waiting

if TYPE_CHECKING:  # stages without tensors import this module too
    from rlhf.runs.checkpoints import States

PATIENCE = 5.0  # seconds


class StageRun:
    """One run of one stage. Without a recorder (tracking.enabled: false) it only prints."""

    def __init__(self, name: StageName, progress: Progress, recorder: MlflowWorker | None, log_every: int):
        self._name, self._progress = name, progress
        self._recorder = recorder
        self._log_every = log_every  # steps
        self._last_steps: dict[str, int] = {}
        self._held_back: dict[str, tuple[float, int]] = {}

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Record parameters; nested mappings get dotted names. The stage's own sections are there already."""
        if self._recorder:
            self._recorder.params(params)

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Record numbers, as points of curves if `step` is given; a curve keeps one point in `log_every` and its last.

        Nested mappings get dotted names; leaves that are not numbers are left out. Without a step they are the stage's
        results, and called as in its file below metrics/ ("sft.loss", "ppo.r1.kl"), so that no curve gets a point more.
        """
        if not self._recorder:
            return
        if step is not None:
            self._recorder.metrics(self._thin(flat_numbers(metrics), step), step)
            return
        for part in reversed(self._name.place.split("/")):
            metrics = {part: metrics}
        self._recorder.results(flat_numbers(metrics))

    def log_deciding(self, figures: Mapping[str, float], columns: Sequence[str]) -> None:
        """Record the few numbers by which runs are compared, under names that stand first; the table of runs shows
        those in `columns`.
        """
        if self._recorder:
            self._recorder.decide(figures, columns)

    def log_inputs(self, paths: Sequence[Path], context: str) -> None:
        """Record the files and folders that were read as MLflow datasets, their digest being DVC's md5."""
        if self._recorder:
            self._recorder.inputs(paths, context)

    def log_model(self, path: Path) -> None:
        """Record a model folder as an MLflow model: with its files up to `max_model_mb`, else by path and md5.

        Params that were recorded before it and results that are recorded after it stand on its page as well.
        """
        if self._recorder:
            self._recorder.model(path)

    def log_card(self, path: Path, card: Path) -> None:
        """Show a card on the page of the model whose bytes lie at `path`; results recorded after it stand there too."""
        if self._recorder:
            self._recorder.card(path, card)

    def describe(self, parts: Sequence[str], pictures: Sequence[Path]) -> None:
        """Put what was found on the page of the run, and on that of the pipeline's run: texts in Markdown, the longest
        last, and behind the first one `pictures`, which were logged as artifacts."""
        if self._recorder:
            self._recorder.describe(parts, pictures)

    def log_artifact(self, path: Path) -> None:
        """Copy a file or folder to the run's artifacts."""
        if self._recorder:
            self._recorder.artifact(path)

    def progress(self, step: int, total: int, metrics: Mapping[str, float]) -> None:
        """Print how far the stage has come (steps done, of how many); see rlhf.runs.progress."""
        if self._recorder:
            self._recorder.ready()
        self._progress.show(step, total, metrics)

    def say(self, text: str) -> None:
        """Print one line that belongs to no step."""
        self._progress.say(f"{self._progress.name}  {text}")

    def _thin(self, numbers: dict[str, float], step: int) -> dict[str, float]:
        due = {}
        for name, value in numbers.items():
            last = self._last_steps.get(name)
            if last is None or step < last or step - last >= self._log_every:
                due[name] = value
                self._last_steps[name] = step
                self._held_back.pop(name, None)
            else:
                self._held_back[name] = (value, step)
        return due

    def _close(self, status: str) -> None:
        if not self._recorder:
            return
        for name, (value, step) in self._held_back.items():
            self._recorder.metrics({name: value}, step)
        self._recorder.close(status)


@contextmanager
def stage_run(
    root: Path,
    stage: str,
    round_name: str | None = None,
    states: "States | None" = None,
    read: dependencies.Dependencies | None = None,
) -> Iterator[StageRun]:
    """Record the block as one MLflow run named `stage` or `stage@round`, a child of its session's parent run.

    With `states` of a training that was broken off, its run goes on. They are discarded when the block ends well.
    `read`: what DVC will record of the stage, from before it was read; by default it is as of now.

    Raises ValueError behind the block where that has been changed meanwhile.

    Raises ParamsError for a broken tracking section and ConnectionError for a server that does not answer or a folder
    that is not there, both before the block begins. The run ends FINISHED, FAILED (an exception) or KILLED (SIGINT,
    SIGTERM; Waiting, and then its page says for what).
    """
    settings = load(root, TrackingInputs).tracking
    name = StageName(stage, round_name)
    read = (read or dependencies.of_dvc(root, name)) if distributed.is_first() else None
    records = settings.enabled and distributed.is_first()
    training = Training(states.key, len(states.points)) if states else Training()
    recorder = MlflowWorker(root, name, settings, training) if records else None
    progress = Progress(name.title, silent=not distributed.is_first())
    if states and states.points:
        progress.goes_on_from(len(states.points))
    run = StageRun(name, progress, recorder, settings.log_every)
    status, end = "FAILED", ""
    try:
        alone = states if distributed.count() == 1 else None
        with _interruptible(progress, alone), read.held() if read else nullcontext():
            yield run
        status = "FINISHED"
        if states:
            states.discard()
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    except Waiting as waiting:  # not a failure: it goes on once people have done their part
        status, end = "KILLED", "waits"
        run.describe([f"**It waits.** {waiting}"], [])
        raise
    finally:
        run._close(status)
        if distributed.is_first():
            _report_end(progress, recorder, status, states, end or status.lower())


def _report_end(
    progress: Progress, recorder: MlflowWorker | None, status: str, states: "States | None", word: str
) -> None:
    end = f"{word} after {duration(progress.elapsed())}"
    where = f"  {recorder.link}" if recorder else ""
    progress.say(f"{progress.name}  {end}{where}")
    if status != "FINISHED" and states and states.steps_kept:
        progress.say(f"{progress.name}  it goes on after step {states.steps_kept} with: dvc repro {progress.name}")


@contextmanager
def _interruptible(progress: Progress, states: "States | None") -> Iterator[None]:
    """Let SIGTERM end the block as Ctrl-C does, so that its run is recorded as KILLED.

    A training loop that keeps `states` and ends a step within PATIENCE keeps one first; a second signal ends it at
    once.
    """

    def interrupt(number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt(f"signal {number} at {time.strftime('%H:%M:%S')}")

    def wait_for_the_step(number: int, frame: FrameType | None) -> None:
        assert states
        if states.stopping:
            interrupt(number, frame)
        states.stopping = True
        signal.setitimer(signal.ITIMER_REAL, PATIENCE)
        progress.say(f"{progress.name}  stops after this step and keeps it; once more ends it at once")

    told = wait_for_the_step if states and states.key else interrupt
    numbers = {
        signal.SIGTERM: told,
        signal.SIGINT: told,
        signal.SIGALRM: interrupt,
    }
    previous = {}
    try:
        for number, handler in numbers.items():
            previous[number] = signal.signal(number, handler)
    except ValueError:  # not the main thread, where Python allows no handlers
        yield
        return
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in previous.items():
            signal.signal(number, handler)
        if states:
            states.stopping = False

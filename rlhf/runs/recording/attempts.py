"""A stage's run that was broken off and went on: how often, and how long it worked, which start and end do not say."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from rlhf.runs.progress import duration

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

BEFORE = "steps.before"  # tag of a run: those that its training had done when it began, in a run that was not found
ATTEMPTS, BEGAN, WORKED = "attempts", "attempt.began", "seconds.worked"  # tags of a run that went on


class Training(NamedTuple):
    """A training that keeps states, which a run of before may have begun; empty for what keeps none."""

    key: str = ""  # of its states, see checkpoints
    steps: int = 0  # done by an attempt before this one


class Attempt(NamedTuple):
    """One start of a training: the first, or one that goes on in the run of those before it."""

    number: int
    began: int  # milliseconds since the epoch
    worked_before: float  # seconds, in the attempts before it

    def tags(self) -> dict[str, str]:
        """Return what the run says of its attempts while this one works; nothing of a first one."""
        if self.number == 1:
            return {}
        return {ATTEMPTS: str(self.number), BEGAN: str(self.began), WORKED: f"{self.worked_before:.1f}"}

    def worked(self, moment: int) -> float:
        """Return the seconds of all attempts, if this one ends at a moment."""
        return self.worked_before + (moment - self.began) / 1000

    def words(self, moment: int | None = None) -> str:
        """Return a line for the run's page, with the time of all attempts at the end of this one; empty for a first."""
        if self.number == 1:
            return ""
        count = f"Went on after {self.number - 1} interruption{'s' if self.number > 2 else ''}"
        return f"{count}." if moment is None else f"{count}; worked {duration(self.worked(moment))} in all."


def taken_over(tags: Mapping[str, str]) -> str:
    """Return a line for the page of a run that began with steps that another one had done; empty for any other."""
    if BEFORE not in tags:
        return ""
    return (
        f"**Steps 1 to {tags[BEFORE]} were trained before this run began**, in one that its experiment does not have "
        "(any more): their points carry the time at which this run took them over, its duration is that of the rest."
    )


def next_of(run: "Run", moment: int) -> Attempt:
    """Return the attempt that goes on in a run now."""
    tags, ended = run.data.tags, run.info.status != "RUNNING"
    before = of(run)
    seconds = float(tags[WORKED]) if ended and WORKED in tags else None
    if seconds is None:
        seconds = before.worked((ended and run.info.end_time) or last_sign(run))
    return Attempt(before.number + 1, moment, seconds)


def of(run: "Run") -> Attempt:
    """Return the attempt that a running run is in."""
    tags = run.data.tags
    began = int(tags.get(BEGAN, run.info.start_time))
    return Attempt(int(tags.get(ATTEMPTS, "1")), began, float(tags.get(WORKED, "0")))


def last_sign(run: "Run") -> int:
    """Return the moment of a run's newest point, or of its attempt's beginning if there is none since."""
    return max([of(run).began, *(point.timestamp for point in run.data.to_proto().metrics)])


def end(client: "MlflowClient", run: "Run", status: str, moment: int) -> None:
    """End a run whose process cannot do so any more."""
    attempt = of(run)
    if attempt.number > 1:
        client.set_tag(run.info.run_id, WORKED, f"{attempt.worked(moment):.1f}")
    client.set_terminated(run.info.run_id, status, end_time=moment)

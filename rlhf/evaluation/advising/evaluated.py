"""A whole evaluation, as the report, the model card and the tracker are told it."""

from typing import NamedTuple

from rlhf.evaluation import findings
from rlhf.evaluation.advising import first_look
from rlhf.evaluation.advising.notes import Note
from rlhf.evaluation.findings import Findings
from rlhf.evaluation.headline import Metrics
from rlhf.evaluation.history import History


class Evaluated(NamedTuple):
    """What was found, what had been trained, and what follows from both."""

    findings: Findings
    history: History
    metrics: Metrics  # the content of metrics/evaluate.json
    warnings: list[Note]


def of(found: Findings, trained: History, more: Metrics) -> Evaluated:
    """Return an evaluation; more: figures of metrics/evaluate.json beside those of the findings."""
    metrics = {**findings.metrics(found), **more}
    return Evaluated(found, trained, metrics, first_look.warnings(metrics, trained.metrics["reward_model"]))

"""What a run keeps on the disk: models, DVC's copies of them, MLflow's, and the states of a training that goes on."""

from typing import Any, NamedTuple

from tools.planning import stages
from tools.planning.sizes import Dimensions
from tools.planning.terms import FLOAT32, Held

KEPT = 3  # states of one training: two that are kept (rlhf.runs.checkpoints.KEPT), and one while it is written


class Disk(NamedTuple):
    """Bytes of one stage."""

    model: float  # in data/
    cache: float  # DVC's copy; no more where the file system shares blocks
    mlflow: float
    states: float  # while it trains

    @property
    def total(self) -> float:
        """All of them at once."""
        return sum(self)


def of_params(params: Any, sizes: Dimensions, held: dict[str, Held]) -> dict[str, Disk]:
    """Return what each stage that writes a model keeps, of all rounds."""
    found: dict[str, Disk] = {}
    for stage in (name for name in held if name not in ("collect_answers", "evaluate")):
        section = getattr(params, stage)
        lora = getattr(section, "lora", None)
        weights = sizes.backbone() if stage in ("reward_model", "judge") else sizes.policy()
        if stage == "reward_model" and not params.rewards.trained:
            continue
        saved = float(FLOAT32 * (sizes.adapters(lora.rank) if lora is not None and lora.save == "adapter" else weights))
        recorded = params.tracking.enabled and saved <= params.tracking.max_model_mb * 1e6
        saved *= stages.times(params, stage)
        found[stage] = Disk(saved, saved, saved * recorded, _states(params, held[stage]))
    return found


def state(held: Held) -> float:
    """Return the bytes of one state: weights that learn, the optimiser's moments, copies."""
    return held.state or held.trained + held.optimiser + held.copies


def _states(params: Any, held: Held) -> float:
    return 0.0 if params.checkpoints.every_seconds is None else KEPT * state(held)

"""Where MLflow records runs. In no stage's DVC params: nothing here changes a byte of an output."""

from pydantic import Field

from rlhf.params.base import Params


class Tracking(Params):
    enabled: bool
    uri: str | None
    experiment: str = Field(min_length=1, max_length=256)
    max_model_mb: float = Field(ge=0)
    log_every: int = Field(ge=1)


class TrackingInputs(Params):
    tracking: Tracking

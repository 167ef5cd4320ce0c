"""Where MLflow records runs, and how often states to go on from are kept.

In no stage's DVC params: nothing here changes a byte of an output.
"""

from urllib.parse import urlsplit

from pydantic import Field, field_validator

from rlhf.params.base import Params
from rlhf.secrets import masking


def unreadable(uri: str) -> str | None:
    """Return what is wrong with a store's address that programs would take apart in another way than it is meant.

    They would then show parts of its password as host or port.
    """
    rest = uri.partition("://")[2]
    if uri.startswith(("http://", "https://")):
        wrong = "@" in rest and "@" not in urlsplit(uri).netloc
    else:
        wrong = not uri.startswith("sqlite:") and rest.count("@") > 1
    if not wrong:
        return None
    return "what stands before the @ of the host is no user and password: write / as %2F, # as %23, ? as %3F, @ as %40"


class Tracking(Params):
    enabled: bool
    uri: str | None
    experiment: str = Field(min_length=1, max_length=256)
    max_model_mb: float = Field(ge=0)
    log_every: int = Field(ge=1)

    @field_validator("uri")
    @classmethod
    def _has_readable_credentials(cls, uri: str | None) -> str | None:
        if uri is not None:
            masking.learn_address(uri)
            if problem := unreadable(uri):
                raise ValueError(problem)
        return uri


class TrackingInputs(Params):
    tracking: Tracking


class Checkpoints(Params):
    """How often a training stage keeps a state to go on from."""

    every_seconds: float | None = Field(ge=0)  # between two states; 0: every step; null: none are kept


class CheckpointsInputs(Params):
    checkpoints: Checkpoints

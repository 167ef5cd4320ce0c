"""Who draws PPO's rollouts, how new weights get there, and how far its log-probabilities may be from the trainer's."""

from typing import Literal, Self

from pydantic import Field, model_validator

from rlhf.params.base import Params

NEEDED = {  # by engine: the keys that it needs; it may have OPTIONAL ones, and no other
    "own": set[str](),
    "static": set[str](),
    "transformers": {"bucket_mb"},
    "vllm_server": {"bucket_mb", "url", "concurrent_requests"},
    "vllm_colocated": {"bucket_mb", "memory_share"},
}
OPTIONAL = {"transformers": {"cache_blocks", "batch_tokens"}}


class Rollouts(Params):
    """Left out, this project's own decoder draws on the policy itself, and nothing is measured."""

    engine: Literal["own", "static", "transformers", "vllm_server", "vllm_colocated"]
    max_weight: float | None = Field(ge=1)  # most that an importance weight may be; null: measured, not weighted
    max_gap: float | None = Field(gt=0)  # nats a token between rollout and trainer, on average: more ends the run
    bucket_mb: float | None = Field(gt=0)  # mebibytes of weights that are sent at once
    url: str | None = Field(pattern=r"^https?://[^\s/@]+(/[^\s@]*)?$")  # of vLLM's server
    concurrent_requests: int | None = Field(ge=1, le=4096)  # that wait for vLLM's server at once
    memory_share: float | None = Field(gt=0, lt=1)  # of the GPU's memory that vLLM takes in this process
    cache_blocks: int | None = Field(ge=1)  # of transformers' paged cache; null: 90% of the memory there is
    batch_tokens: int | None = Field(ge=1)  # of one of its steps; null: as the memory allows

    @model_validator(mode="after")
    def _keys_are_the_engines(self) -> Self:
        needed = NEEDED[self.engine]
        known = needed | OPTIONAL.get(self.engine, set())
        own = {"engine", "max_weight", "max_gap"}
        missing = sorted(name for name in needed if getattr(self, name) is None)
        more = sorted(
            name for name in type(self).model_fields if name not in own | known and getattr(self, name) is not None
        )
        if missing:
            raise ValueError(f"engine '{self.engine}' needs {', '.join(missing)}")
        if more:
            raise ValueError(f"engine '{self.engine}' has no {', '.join(more)}: leave it out")
        return self

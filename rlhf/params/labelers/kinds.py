"""Who ranks the policy's answers: simulated labelers, a reward model, a function, a model at an address, people."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from rlhf.params.base import Local, Named, OfRounds, Params, is_mapping
from rlhf.params.labelers.people import People
from rlhf.params.labelers.who_ranks import SIMULATED
from rlhf.params.rewards import AdoptedReward, FunctionReward, named_adopted, named_function

CACHE = ".cache/labels"  # below the repository, where a judge's answers are kept unless params name a folder


class Span(Params):
    """A range that personal values are drawn from, evenly."""

    low: float
    high: float

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low {self.low} exceeds high {self.high}")
        return self


class Scale(Params):
    """The lowest and the highest possible score."""

    low: float
    high: float

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low {self.low:g} must be below high {self.high:g}")
        return self


class Simulated(Params):
    """Simulated labelers (for prompts that carry a task of the embedded world)."""

    kind: Literal["simulated"]
    num_training: int = Field(ge=1, le=100)
    num_held_out: int = Field(ge=1, le=100)
    noise: float = Field(ge=0)  # standard deviation added to a labeler's utility (gold's unit, 0..1)
    tie_threshold: float = Field(ge=0)  # utilities closer than this are a tie
    weight_spread: float = Field(ge=0, lt=1)  # personal factors on gold's criteria are drawn from 1 -+ this
    length_bias: Span  # taste for long answers
    politeness_bias: Span
    strictness: Span  # lowers a labeler's scores, not the ranking
    overlap_share: float = Field(ge=0, le=1)  # share of prompts ranked by several labelers, to measure agreement
    overlap_labelers: int = Field(ge=2, le=100)  # of each of these prompts; all of a group that has fewer


class RewardModelLabeler(AdoptedReward):
    """An adopted reward model, whose scores rank the answers."""

    kind: Literal["reward_model"]
    tie_threshold: float = Field(ge=0)  # scores closer than this are a tie
    scale: Scale | None  # of its scores, where they have one: direct scores (reward_model.loss) need it


class FunctionLabeler(FunctionReward):
    """A function of the user's, whose numbers rank the answers."""

    kind: Literal["function"]
    tie_threshold: float = Field(ge=0)  # numbers closer than this are a tie
    scale: Scale | None  # of its numbers, where they have one


def _address(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("expected an address as https://HOST/v1, to which /chat/completions is added")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("nothing but scheme, host, port and path may stand here; a key comes by key_variable")
    return text.rstrip("/")


def _variable(text: str) -> str:
    if not re.fullmatch(r"[A-Z][A-Z0-9_]{0,63}", text):
        raise ValueError(
            "expected the name of an environment variable, in capitals, that holds the key; the key itself never "
            "stands in params"
        )
    return text


class Prices(Params):
    """What a million tokens cost, in one currency."""

    input: float = Field(ge=0)
    output: float = Field(ge=0)


class ChatModel(Params):
    """A judge: a model behind an address that speaks OpenAI's /chat/completions."""

    kind: Literal["chat_model"]
    base_url: Annotated[str, AfterValidator(_address)]
    model: str = Field(min_length=1, max_length=200)
    key_variable: Annotated[str, AfterValidator(_variable)] | None  # name of the environment variable with the key
    instructions: str | None = Field(min_length=1)  # what makes an answer good; null: rlhf/labelers/asking.py's own
    instructions_file: str | None = Field(min_length=1)  # the same, in a file, relative to params.yaml
    compares: Literal["pairwise", "scores"]  # two answers, in both orders; or each answer for itself
    pairs: int | None = Field(ge=1)  # of a prompt that are compared, each twice; null: all C(K, 2)
    scale: Scale | None  # of the scores that it gives; for `scores` alone
    tie_threshold: float = Field(ge=0)  # shares of won comparisons (0..1), or scores, closer than this are a tie
    temperature: float | None = Field(ge=0, le=2)  # 0: the likeliest words; null: not sent
    seed: int | None = Field(ge=0)  # sent along; null: not sent
    max_tokens: int = Field(ge=1)  # of a reply
    limit_key: Literal["max_tokens", "max_completion_tokens"] | None  # what the server calls it; null: max_tokens
    timeout_seconds: float = Field(gt=0, le=3600)  # of one request
    retries: int = Field(ge=0, le=20)  # after a lost connection, a timeout, status 429 and those from 500 on
    backoff_seconds: float = Field(ge=0, le=60)  # before the first retry, doubled before each other
    concurrent: int = Field(ge=1, le=256)  # requests at once
    max_requests: int = Field(ge=1)  # that one run of the stage may send, retries among them
    max_unreadable: float = Field(ge=0, le=1)  # share of requests without a readable verdict; more end the stage
    prices: Prices | None  # to say what it costs
    cache: str | None = Field(min_length=1)  # folder of its answers, relative to params.yaml; null: CACHE

    @model_validator(mode="after")
    def _keys_agree(self) -> Self:
        if self.instructions is not None and self.instructions_file is not None:
            raise ValueError("instructions and instructions_file say the same: give one of them")
        if (self.scale is not None) != (self.compares == "scores"):
            raise ValueError("scale must be given where compares is 'scores', and null for 'pairwise'")
        if self.pairs is not None and self.compares == "scores":
            raise ValueError("pairs must be null where compares is 'scores': each answer is judged for itself")
        return self


def _simulated_where_no_kind_is_named(given: Any) -> Any:
    if is_mapping(given) and given.get("kind") is None:
        return {**given, "kind": SIMULATED}
    return given


AnyLabelers = Annotated[
    Annotated[Simulated | RewardModelLabeler | FunctionLabeler | ChatModel | People, Field(discriminator="kind")],
    BeforeValidator(_simulated_where_no_kind_is_named),
]


def name_of(labelers: AnyLabelers) -> str:
    """Return who ranks, as messages and labels name it; simulated labelers and people sign labels by name."""
    if isinstance(labelers, Simulated | People):
        return labelers.kind
    if isinstance(labelers, ChatModel):
        return f"{labelers.kind}:{labelers.model}"
    return f"{labelers.kind}:{labelers.path if isinstance(labelers, RewardModelLabeler) else labelers.function}"


def named(place: str, params: AnyLabelers | None, root: Path) -> list[Named]:
    """Return what labelers at `place` of params.yaml name outside it: a model, files, people's labels."""
    if isinstance(params, RewardModelLabeler):
        return [named_adopted(place, params, root)]
    if isinstance(params, FunctionLabeler):
        return [named_function(f"{place}.function", params.function, root)]
    if isinstance(params, ChatModel) and params.instructions_file is not None:
        return [Local(f"{place}.instructions_file", params.instructions_file, "files")]
    if isinstance(params, People):
        return [OfRounds(f"{place}.folder", params.folder)]
    return []

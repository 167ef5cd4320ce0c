"""The records that stages hand to one another: what each kind holds. `kind` says which one a record is."""

from collections.abc import Sequence
from typing import Any, Literal, NotRequired, TypedDict, TypeVar, get_args

Role = Literal["system", "user", "assistant"]


class Message(TypedDict):
    """One turn of a dialogue."""

    role: Role
    content: str


class Dialogue(TypedDict):
    """What prompts, demonstrations, comparisons and samples have in common: turns that wait for the assistant."""

    id: str
    messages: list[Message]  # the last is a user's
    category: str
    language: str
    user: str | None
    source: str
    apart: NotRequired[bool]  # true of test prompts whose source is a slice apart
    task: NotRequired[dict[str, Any]]  # the embedded world's own description of what is asked; only gold reads it


class Prompt(Dialogue):
    """A dialogue to be answered by a policy."""

    kind: Literal["prompt"]


class Demonstration(Dialogue):
    """A dialogue and the assistant turn that a labeler wrote."""

    kind: Literal["demonstration"]
    response: str


class Label(TypedDict):
    """One labeler's judgement of K responses."""

    labeler: str
    ranks: list[int]  # K: 1 is best, equal ranks are ties
    scores: Sequence[float] | None  # K: higher is better; None where the labeler only ranked
    scale: Sequence[float] | None  # lowest and highest possible score; None where there are no scores, or unknown


class Comparison(Dialogue):
    """A dialogue and K responses to it, judged by one labeler or several."""

    kind: Literal["comparison"]
    responses: list[str]
    labels: list[Label]
    gold: NotRequired[list[float]]  # K scores of the gold labeler, where it knows the task


class AnsweredPrompt(Dialogue):
    """A dialogue and K different responses to it, which labelers are to judge."""

    kind: Literal["answered_prompt"]
    responses: list[str]


class Document(TypedDict):
    """Pretraining text."""

    kind: Literal["document"]
    text: str
    source: str


class CopyProbe(TypedDict):
    """Text cut before a word that stands in it: what a base model must be able to copy."""

    kind: Literal["copy_probe"]
    text: str
    expected: str
    type: str


class Sample(Dialogue):
    """A test prompt and what every policy answered, by "<policy>_<decoding>"."""

    kind: Literal["sample"]
    answers: dict[str, dict[str, Any]]


DialogueRecord = Prompt | Demonstration | Comparison  # what a row of a source is read as, unless it is a document

Kind = TypeVar("Kind", Prompt, Demonstration, AnsweredPrompt, Comparison, Document, CopyProbe, Sample)


def name_of(kind: type) -> str:
    """Return what a record of this class has as its `kind`."""
    return get_args(kind.__annotations__["kind"])[0]

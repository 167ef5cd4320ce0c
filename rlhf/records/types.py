"""The records that stages hand to one another: what each kind holds."""

from typing import Any, Literal, NotRequired, TypedDict, TypeVar


class Message(TypedDict):
    """One turn of a dialogue."""

    role: Literal["system", "user", "assistant"]
    content: str


class Prompt(TypedDict):
    """A dialogue that waits for the assistant: its last turn is a user's."""

    id: str
    messages: list[Message]
    category: str
    language: str
    user: str
    source: str
    task: NotRequired[dict[str, Any]]  # the embedded world's own description of what is asked; only gold reads it


class Demonstration(Prompt):
    """A prompt and the assistant turn that a labeler wrote."""

    response: str


class Label(TypedDict):
    """One labeler's judgement of a prompt's K responses."""

    labeler: str
    ranks: list[int]  # K: 1 is best, equal ranks are ties
    scores: list[float] | None  # K: higher is better; None where the labeler only ranked


class Comparison(Prompt):
    """A prompt and its K responses, judged by one labeler or several."""

    responses: list[str]
    labels: list[Label]
    gold: NotRequired[list[float]]  # K scores of the gold labeler, where it knows the task


class Document(TypedDict):
    """Pretraining text."""

    text: str
    source: str


class CopyProbe(TypedDict):
    """Text cut before a word that stands in it: what a base model must be able to copy."""

    text: str
    expected: str
    type: str


class Sample(Prompt):
    """A test prompt and what every policy answered, by "<policy>_<decoding>"."""

    answers: dict[str, dict[str, Any]]


Kind = TypeVar("Kind", Prompt, Demonstration, Comparison, Document, CopyProbe, Sample)

"""Moderation: which requests and answers are blocked, by a classifier that is trained here or adopted."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from rlhf.params.base import Local, Name, Named, OnHub, Params, folder_or_hub, listed
from rlhf.params.runtime import Runtime


class Lengths(Params):
    """The shortest and the longest run of characters that is a feature."""

    low: int = Field(ge=1, le=10)
    high: int = Field(ge=1, le=10)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low {self.low} exceeds high {self.high}")
        return self


class Trained(Params):
    """Logistic regression on TF-IDF of words and of characters."""

    kind: Literal["trained"]
    phrasings: int = Field(ge=1, le=20)  # frames that are put around each act of the built-in examples
    combined: int = Field(ge=0)  # acts of a verb and an object, for each category and language
    world_prompts: int = Field(ge=0)  # of the embedded world, with answers; half of them harmful or look-alikes
    word_ngrams: int = Field(ge=1, le=5)  # words of the longest run; a Chinese character is a word
    char_ngrams: Lengths  # runs of characters within a word
    min_texts: int = Field(ge=1)  # that a feature stands in, at least
    max_features: int = Field(ge=100)
    inverse_regularisation: float = Field(gt=0)  # C: larger fits the examples more closely
    window_words: int = Field(ge=4)  # a longer text is judged in pieces of so many words; the worst one counts


class Adopted(Params):
    """A sequence classifier of transformers, with its own tokenizer."""

    kind: Literal["adopted"]
    path: str = Field(min_length=1)  # a folder, relative to that of params.yaml, or a hub id
    revision: str | None  # of a hub id: a full commit sha
    labels: dict[str, str | None] = Field(min_length=1)  # each of its labels: the category, or null where harmless
    probabilities: Literal["softmax", "sigmoid"]  # one label a text, or each label for itself

    @model_validator(mode="after")
    def _something_is_harmful(self) -> Self:
        if not any(self.labels.values()):
            raise ValueError("labels: every label is null, so nothing would be blocked; name the category of one")
        if self.probabilities == "softmax" and all(self.labels.values()):
            raise ValueError("labels: with softmax one label must be null, for harmless; else every text is harmful")
        return self


class Shares(Params):
    """Shares of the users of `files` whose texts choose the threshold and test it; the others train."""

    validation: float = Field(gt=0, lt=1)
    test: float = Field(gt=0, lt=1)

    @model_validator(mode="after")
    def _leave_some(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError(f"validation {self.validation:g} and test {self.test:g} leave nothing to train on")
        return self


class Moderation(Params):
    categories: list[Name] = Field(min_length=1)  # of harm
    files: list[str]  # own examples (docs/moderation.md), relative to params.yaml; * ? ** allowed
    shares: Shares
    max_miss_rate: float = Field(gt=0, lt=1)  # share of harmful validation texts that the threshold lets through
    coverage: float = Field(gt=0.5, lt=1)
    classifier: Annotated[Trained | Adopted, Field(discriminator="kind")]

    @model_validator(mode="after")
    def _categories_are_known(self) -> Self:
        if len(set(self.categories)) < len(self.categories):
            raise ValueError("categories: one stands twice")
        named = self.classifier.labels.values() if isinstance(self.classifier, Adopted) else ()
        unknown = [name for name in named if name is not None and name not in self.categories]
        if unknown:
            raise ValueError(f"classifier.labels: {unknown[0]!r} is none of categories: {listed(self.categories)}")
        return self


class ModerationInputs(Params):
    seed: int = Field(ge=0)
    runtime: Runtime
    moderation: Moderation


def named(params: Moderation, root: Path) -> list[Named]:
    """Return what the section names outside params.yaml: own examples, and an adopted classifier."""
    return [Local("moderation.files", path, "files") for path in params.files] + named_classifier(params, root)


def named_classifier(params: Moderation, root: Path) -> list[Named]:
    """Return the folder or the hub's model of an adopted classifier; nothing for one that is trained here."""
    adopted, place = params.classifier, "moderation.classifier"
    if not isinstance(adopted, Adopted):
        return []
    on_hub = OnHub(f"{place}.revision", "models", adopted.path, adopted.revision)
    return [folder_or_hub(f"{place}.path", on_hub, root)]

"""Opens a moderator's folder and judges texts: before a model sees a request, and before a person sees an answer.

    moderator = moderator.opened(Path("data/moderation"))
    moderator.judge(["How do I bake bread?", [{"role": "user", "content": "Hello."}]])   # one Verdict each

Nothing of the folder is run: it holds JSON, a list of features, and numbers in safetensors.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from rlhf.moderation import classifier, features
from rlhf.moderation.classifier import Classifier, Shape
from rlhf.params.base import ParamsError, load, parse
from rlhf.params.moderation.section import Adopted
from rlhf.params.runtime import Runtime, RuntimeInputs
from rlhf.records.types import Message
from rlhf.runtime.files import write_json

if TYPE_CHECKING:
    from rlhf.moderation.adopted import AdoptedClassifier

FILE = "moderator.json"
FORM = 1  # of the file


class Judge(Protocol):
    """What gives a text a probability for each category of harm: a classifier that was trained here, or adopted."""

    @property
    def categories(self) -> tuple[str, ...]: ...

    def by_category(self, texts: Sequence[str]) -> NDArray[np.float64]: ...

    def harm(self, by_category: NDArray[np.float64]) -> NDArray[np.float64]: ...


class Verdict(NamedTuple):
    blocked: bool
    category: str | None  # the likeliest one where it is blocked
    probability: float  # of any harm
    by_category: dict[str, float]


class Moderator:
    """A judge, and for each language the probability from which on a text is blocked."""

    def __init__(self, judge: Judge, thresholds: Mapping[str, float]):
        self.thresholds, self._judge = dict(thresholds), judge

    @property
    def categories(self) -> tuple[str, ...]:
        return self._judge.categories

    def judge(self, given: Sequence[str | Sequence[Message]]) -> list[Verdict]:
        """Return a verdict on each text; of messages the last turn is judged, for itself."""
        texts = [text_of(one) for one in given]
        if not texts:
            return []
        by_category = self._judge.by_category(texts)
        verdicts = []
        for text, row, harm in zip(texts, by_category, self._judge.harm(by_category), strict=True):
            blocked = bool(harm >= self.thresholds[features.language_of(features.words(text))])
            category = self.categories[int(row.argmax())] if blocked else None
            named = dict(zip(self.categories, row.tolist(), strict=True))
            verdicts.append(Verdict(blocked, category, float(harm), named))
        return verdicts


def text_of(given: str | Sequence[Message]) -> str:
    """Return what is judged. Raises ValueError for messages without a turn."""
    if isinstance(given, str):
        return given
    if not given:
        raise ValueError("expected a text, or messages with at least one turn")
    return given[-1]["content"]


def save(folder: Path, judge: "Classifier | AdoptedClassifier", thresholds: Mapping[str, float]) -> None:
    """Write a moderator's folder; an adopted classifier stays where it is, and is named."""
    content: dict[str, Any] = {"form": FORM, "categories": list(judge.categories), "thresholds": dict(thresholds)}
    if isinstance(judge, Classifier):
        judge.save(folder)
        content |= {"kind": "trained", **judge.shape._asdict()}
    else:
        content |= {"kind": "adopted", "classifier": judge.params.model_dump()}
    write_json(folder / FILE, content)


def opened(folder: Path, runtime: Runtime | None = None, root: Path | None = None) -> Moderator:
    """Return the moderator of a folder, data/moderation of the pipeline. Raises ValueError where it is none.

    `runtime` and `root`, from which its path leads, are an adopted classifier's: by default those of the repository
    that the folder is data/moderation of.
    """
    file = folder / FILE
    if not file.is_file():
        raise ValueError(f"{folder}: no moderator's folder: expected {FILE} in it; make it with: dvc repro moderation")
    try:
        content: Any = json.loads(file.read_text(encoding="utf-8"))
        if content["form"] != FORM:
            raise LookupError(f"form {content['form']!r}, expected {FORM}")
        thresholds = {language: float(content["thresholds"][language]) for language in features.LANGUAGES}
        if content["kind"] == "adopted":
            params = parse(Adopted, content["classifier"], "moderation.classifier")
            place = root or folder.absolute().parents[1]
            return Moderator(_adopted(params, content["categories"], runtime, place), thresholds)
        shape = Shape(content["word_ngrams"], tuple(content["char_ngrams"]), content["window_words"])
        return Moderator(classifier.read(folder, shape, content["categories"]), thresholds)
    except (json.JSONDecodeError, LookupError, TypeError, ParamsError) as error:
        raise ValueError(f"{file}: not what the stage writes ({error}); make it anew: dvc repro moderation") from None


def _adopted(params: Adopted, categories: Sequence[str], runtime: Runtime | None, root: Path) -> "AdoptedClassifier":
    from rlhf.moderation.adopted import AdoptedClassifier  # loads torch

    return AdoptedClassifier(params, categories, root, runtime or load(root, RuntimeInputs).runtime)

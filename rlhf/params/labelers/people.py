"""People who rank answers on the labelling page: what they are asked, and how many labels are waited for."""

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from rlhf.params.base import Params, expanded

INSTRUCTIONS = "instructions.md"  # in the labels' folder: what labelers are told


def _flag(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9](?:[a-z0-9 _-]{0,38}[a-z0-9])?", text):
        raise ValueError("expected a name: up to 40 of a-z, 0-9, spaces, - and _, a letter or digit at both ends")
    return text


class Points(Params):
    """The lowest and the highest rating, in whole numbers."""

    low: int
    high: int

    @model_validator(mode="after")
    def _few_and_in_order(self) -> Self:
        if not 1 <= self.high - self.low <= 20:
            raise ValueError(f"low {self.low} must be below high {self.high}, by at most 20")
        return self


class People(Params):
    """People: their judgements stand in files of `folder`, beside the pipeline; `make label` opens the page."""

    kind: Literal["people"]
    folder: str = Field(min_length=1)  # of labels, relative to params.yaml: <folder>/<round>/<labeler>.jsonl
    flags: list[Annotated[str, AfterValidator(_flag)]] = Field(max_length=40)  # what a labeler can say of an answer
    scale: Points | None  # of ratings, beside ranks; null: none are asked for; reward_model.loss direct needs them
    overlap_share: float = Field(ge=0, le=1)  # share of prompts that several labelers get, to measure agreement
    overlap_labelers: int = Field(ge=2, le=100)  # who get each of these
    wait_for: float = Field(gt=0, le=1)  # share of each pool's prompts that must be judged before the stage goes on
    written: Literal["first", "leave"]  # a better answer that a labeler wrote: ranked before all others, or left out
    training: str | None = Field(min_length=1)  # comparisons with known answers, on which new labelers train

    @model_validator(mode="after")
    def _flags_differ(self) -> Self:
        if repeated := sorted({flag for flag in self.flags if self.flags.count(flag) > 1}):
            raise ValueError(f"flags: expected each name once; remove the second {', '.join(repeated)}")
        return self

    def folder_of(self, root: Path, round_name: str) -> Path:
        """Return the folder of a round's labels."""
        return root / expanded(self.folder) / round_name

"""The laboratory's own parameters, study/params.yaml: which cells there are, and how large its measurements are.

python -m study.params    checks them, before DVC makes a cell's name a folder and a word of a command
"""

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from rlhf.params.base import AnyParams, Name, Params, ParamsError, parse, read_yaml
from tools.overlays import laying

FILE = Path("study/params.yaml")
PRESET = Path("presets/laptop.yaml")


class Settings(Params):
    test_prompts: int = Field(ge=1)  # of a cell's policies
    probes: int = Field(ge=1)  # documents and prompts of each capability probe
    best_of_n: list[int] = Field(min_length=1)  # n of SFT's best of n, from as many answers as the largest
    best_of_n_prompts: int = Field(ge=1)
    paraphrases: int = Field(ge=1)  # tasks of each probe of limits, each asked in several ways


class Cell(Params):
    """One changed pipeline: what differs from presets/laptop.yaml, what of it is run, what is measured."""

    seed: int = Field(ge=0)
    change: dict[str, Any]  # an overlay (tools/overlays/laying.py); its keys are dotted
    targets: list[str] = Field(min_length=1)  # stages of dvc.yaml
    measures: list[
        Literal["policies", "policy", "reward_model", "curve", "evaluation", "without_criterion", "limits", "forms"]
    ]


class Encoder(Params):
    """A small BERT, pretrained on the documents of one seed's laptop preset."""

    seed: int = Field(ge=0)
    layers: int = Field(ge=1)
    width: int = Field(ge=8)
    heads: int = Field(ge=1)
    context: int = Field(ge=16)  # tokens
    vocab_size: int = Field(ge=100)
    steps: int = Field(ge=1)
    batch_size: int = Field(ge=1)  # documents
    row_tokens: int = Field(ge=8)  # of a document
    learning_rate: float = Field(gt=0)


class Forms(Params):
    """GPT-1's kinds of tasks by heads and by prompts, and stories answered in several forms (study/forms)."""

    training: int = Field(ge=1)  # examples of a task, for heads
    test: int = Field(ge=1)  # examples of a task
    stories: int = Field(ge=1)  # of the test
    few_shots: int = Field(ge=2)  # examples before a few-shot prompt
    shown_sets: int = Field(ge=1)  # different choices of these
    epochs: int = Field(ge=1)  # of a head that is trained with its backbone
    batch_size: int = Field(ge=1)  # examples
    learning_rate: float = Field(gt=0)
    lm_coef: float = Field(ge=0)  # of the language model's loss beside the head's


class Stories(Params):
    """Files of arithmetic stories to train on (study/arithmetic)."""

    seed: int = Field(ge=0)
    documents: int = Field(ge=1)
    demonstrations: int = Field(ge=1)


class Study(Params):
    settings: Settings
    encoder: Encoder
    forms: Forms
    stories: Stories
    chains: dict[Name, Cell]  # run to the end, `evaluate`
    cells: dict[Name, Cell]  # run less far
    encoders: dict[Name, Cell]  # cells that start from study/encoder
    forms_cells: dict[Name, Cell]  # cells that measure forms of prompts, some trained on study/stories

    @property
    def everything(self) -> dict[Name, Cell]:
        """All cells by name."""
        return self.chains | self.cells | self.encoders | self.forms_cells

    def refuse_unknown(self, names: Iterable[str]) -> None:
        """Raise ParamsError for a name that no cell has."""
        for name in names:
            if name not in self.everything:
                raise ParamsError(f"{FILE}: no cell {name!r}; it has {', '.join(self.everything)}")


def load(root: Path) -> Study:
    """Raises ParamsError naming every mistake."""
    return typed(Study, root, FILE)


def preset(root: Path) -> dict[str, Any]:
    """Return the params that cells change. Raises ParamsError."""
    return read_yaml(root / PRESET)


def content(base: Mapping[str, Any], cell: Cell) -> dict[str, Any]:
    """Return the whole params of a cell: the preset, its seed, its changes."""
    return laying.laid_over(base, {"seed": cell.seed, **cell.change})


def listing(study: Study, name: str) -> str:
    """Return which listing of code (tools/cell_code.py) is a cell's."""
    return "chain" if name in study.chains else "cell"


def typed(schema: type[AnyParams], root: Path, file: Path) -> AnyParams:
    """Return a YAML file as `schema`. Raises ParamsError naming the file and every mistake."""
    try:
        return parse(schema, read_yaml(root / file), "")
    except ParamsError as error:
        raise ParamsError(str(error).replace("params.yaml: ", f"{file}: ")) from None


def main(root: Path = Path(".")) -> int:
    """Read them; returns the exit code, 2 for mistakes, which are printed."""
    try:
        load(root)
    except ParamsError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

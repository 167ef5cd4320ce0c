"""What answers are worth: the trained reward model, adopted ones, functions of the user's, and a term for length."""

import re
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from rlhf.params.base import Local, Named, OnHub, Params, folder_or_hub, shown


def _function(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", text):
        raise ValueError(
            "expected module:function, as in my_rewards:brevity for the function brevity of my_rewards.py, a file "
            "beside params.yaml"
        )
    return text


FunctionName = Annotated[str, AfterValidator(_function)]  # module:function


class AdoptedReward(Params):
    """A sequence classifier of transformers, with its own tokenizer and chat template."""

    path: str = Field(min_length=1)  # a folder, relative to that of params.yaml, or a hub id
    revision: str | None  # of a hub id: a full commit sha
    label: str | int | None  # whose logit is the score: its name or number; null for a model that has one


class FunctionReward(Params):
    """A function of the user's: (list of message lists, list of answers) -> one number an answer."""

    function: FunctionName


class WeightedAdopted(AdoptedReward):
    weight: float


class WeightedFunction(FunctionReward):
    weight: float


class Rewards(Params):
    """The terms of the weighted sum that PPO maximises, best-of-n picks by and `evaluate` shows."""

    trained: float  # weight of the round's reward model; 0: none is trained
    adopted: list[WeightedAdopted]
    functions: list[WeightedFunction]
    answer_tokens: float  # weight of an answer's number of tokens, by the policy's tokenizer, its end not counted

    @model_validator(mode="after")
    def _something_is_maximised(self) -> Self:
        weights = (self.trained, self.answer_tokens, *(part.weight for part in (*self.adopted, *self.functions)))
        if not any(weights):
            raise ValueError("all weights are 0, so that nothing would be rewarded; set one, such as trained: 1.0")
        return self


def file_of(function: str, root: Path) -> Path:
    """Return the file of a module:function below `root`, from there; that of a package is its __init__.py.

    Raises FileNotFoundError where there is none: DVC watches the file, so it has to lie in the project.
    """
    parts = function.partition(":")[0].split(".")
    module = Path(*parts)
    for path in (module.with_name(f"{module.name}.py"), module / "__init__.py"):
        if (root / path).is_file():
            return path
    raise FileNotFoundError(
        f"no file {Path(*parts).as_posix()}.py below {root.resolve()} (got {shown(function)}); the function's module "
        "lies in the project, where DVC sees it change"
    )


def named_function(place: str, function: str, root: Path) -> Local:
    """Return the file of a function that stands at `place` of params.yaml, as a dependency."""
    try:
        path = file_of(function, root)
    except FileNotFoundError:  # `tools.check` says that it is missing
        path = Path(*function.partition(":")[0].split(".")).with_suffix(".py")
    return Local(place, path.as_posix(), "files")


def named_adopted(place: str, adopted: AdoptedReward, root: Path) -> Named:
    """Return the folder or the hub's model that stands at `place` of params.yaml."""
    on_hub = OnHub(f"{place}.revision", "models", adopted.path, adopted.revision)
    return folder_or_hub(f"{place}.path", on_hub, root)

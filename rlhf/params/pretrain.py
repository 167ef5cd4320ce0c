"""The base model: trained from scratch, or adopted from a folder, the hub, a GGUF file or an installed package."""

from datetime import date
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from rlhf.params.base import Installed, Local, Named, OnHub, Params, folder_or_hub, is_folder, place_of
from rlhf.params.optimisation import Optimisation
from rlhf.params.runtime import Runtime


class HeldOut(Params):
    """What every way says: how the loss on held-out documents is measured."""

    sequence_tokens: int = Field(ge=8)
    validation_tokens: int = Field(ge=8)  # read at most


class Scratch(HeldOut):
    source: Literal["scratch"]
    shape: str  # named in rlhf/models/shapes.py
    vocab_size: int = Field(ge=280, le=1_000_000)  # 256 bytes, the markers and at least some merges
    previous_token_heads: int = Field(ge=0)  # of the first layer, given at the start; see rlhf/models/initialisation.py
    copying_steps: int = Field(ge=0)  # first updates, on random tokens that repeat
    tokens: int = Field(ge=1)  # of training, repeated documents counted again
    batch_size: int = Field(ge=1)  # sequences an update
    muon_momentum: float | None = Field(ge=0, lt=1)  # of Muon on hidden matrices; null: AdamW throughout
    parametrisation: Literal["standard", "mup"] | None  # null: standard; see rlhf/models/mup/scaling.py
    base_width: int | None = Field(ge=1, le=65_536)  # of "mup": at which the rates were chosen
    optimisation: Optimisation

    @model_validator(mode="after")
    def _one_optimiser(self) -> Self:
        if self.muon_momentum is not None and self.optimisation.optimiser not in (None, "adamw"):
            raise ValueError("optimisation.optimiser must be null or 'adamw' where muon_momentum is given: it is Muon")
        return self

    @model_validator(mode="after")
    def _a_base_width_of_mup(self) -> Self:
        if (self.parametrisation == "mup") != (self.base_width is not None):
            raise ValueError(
                "base_width, the width at which rates were chosen, goes with parametrisation: mup, and with no other"
            )
        return self


class Adopted(HeldOut):
    """What is said of every model that is adopted."""

    chat_template: str | None = Field(min_length=1)  # a file of Jinja, in place of what the model brings; null: its own
    template_date: date | None  # what a chat template that writes today's date writes instead; null: 2026-01-01
    system_turns: Literal["merge", "leave_out"] | None  # where the template refuses them; null: an error


class LocalModel(Adopted):
    source: Literal["local"]
    path: str = Field(min_length=1)  # a folder, relative to that of params.yaml

    @property
    def model(self) -> str:
        """What is adopted, in words."""
        return self.path


class HubModel(Adopted):
    source: Literal["hub"]
    path: str = Field(min_length=1)  # an id such as Qwen/Qwen3-0.6B-Base
    revision: str | None  # a full commit sha; null where `path` is a folder

    @property
    def model(self) -> str:
        """What is adopted, in words."""
        return self.path


class GgufModel(Adopted):
    source: Literal["gguf"]
    path: str = Field(min_length=1)  # a .gguf file, or a folder with one, relative to that of params.yaml

    @property
    def model(self) -> str:
        """What is adopted, in words."""
        return self.path


class PackageModel(Adopted):
    source: Literal["package"]
    package: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")  # an installed one that ships a .gguf file
    version: str = Field(pattern=r"^[0-9][A-Za-z0-9.+!_-]{0,63}$")  # the exact one
    file: str | None  # which of its .gguf files, as a pattern; null: its only one

    @property
    def model(self) -> str:
        """What is adopted, in words."""
        return f"{self.package} {self.version}"


AdoptedModel = LocalModel | HubModel | GgufModel | PackageModel
Pretrain = Annotated[Scratch | AdoptedModel, Field(discriminator="source")]


class PretrainInputs(Params):
    seed: int = Field(ge=0)
    runtime: Runtime
    pretrain: Pretrain


def named(params: Pretrain, root: Path) -> list[Named]:
    """Return the folder, file, package or hub's model that is adopted, if one is, and the file of its template."""
    if isinstance(params, Scratch):
        return []
    template = [Local("pretrain.chat_template", params.chat_template, "files")] if params.chat_template else []
    return [_model(params, root), *template]


def _model(params: AdoptedModel, root: Path) -> Named:
    if isinstance(params, LocalModel):
        return Local("pretrain.path", params.path, "folder")
    if isinstance(params, HubModel):
        on_hub = OnHub("pretrain.revision", "models", params.path, params.revision)
        return folder_or_hub("pretrain.path", on_hub, root)
    if isinstance(params, GgufModel):
        what = "folder" if is_folder(place_of(params.path, root)) else "files"
        return Local("pretrain.path", params.path, what)
    return installed(params)


def installed(params: PackageModel) -> Installed:
    """Return the package that is adopted."""
    return Installed("pretrain.package", params.package, params.version, params.file)

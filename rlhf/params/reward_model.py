"""The reward model: rank-score or direct-score, on the SFT backbone or on an encoder."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from rlhf.params.base import Named, OnHub, Params, folder_or_hub
from rlhf.params.optimisation import Lora, Optimisation
from rlhf.params.rewards import Rewards
from rlhf.params.runtime import Runtime


class RewardModel(Params):
    loss: Literal["rank", "direct"]  # grouped K-way pairs, or a sigmoid regressed on the labelers' scores
    backbone: Literal["sft", "base", "encoder"]
    pooling: Literal["last", "mean"]  # the last token's scalar (an encoder's pooled one), or the answer tokens' mean
    likelihood_coef: float = Field(ge=0)  # of the answer's mean log-likelihood (Meng et al. 2024); 0: the scalar alone
    encoder_path: str | None  # local folder or hub id of a BERT-shaped encoder; null unless backbone is 'encoder'
    encoder_revision: str | None  # of a hub id: a full commit sha
    epochs: int = Field(ge=1, le=100)
    batch_size: int = Field(ge=1)  # prompts an update, each with all its answers and pairs
    micro_batch_rows: int = Field(ge=2)  # answers a forward pass (a prompt's answers stay together)
    max_tokens: int = Field(ge=8)  # of prompt and answer
    too_long: Literal["leave_out", "cut"] | None  # comparisons with longer rows; null: left out; cut: oldest tokens go
    unit_std: bool  # scale scores to standard deviation 1 on the training answers (Ziegler et al. 2019)
    max_comparisons: int | None = Field(ge=1)  # the first of the training comparisons; null = all
    pairs: Literal["grouped", "shuffled"]  # a prompt's pairs in one batch, or each pair by itself among the others
    lora: Lora | None  # null: all weights are trained
    optimisation: Optimisation

    @model_validator(mode="after")
    def _encoder_has_a_path(self) -> Self:
        if (self.backbone == "encoder") != (self.encoder_path is not None):
            raise ValueError(
                f"encoder_path must be given for backbone 'encoder' and null otherwise; backbone is '{self.backbone}'"
            )
        if self.encoder_path is None and self.encoder_revision is not None:
            raise ValueError("encoder_revision must be null where encoder_path is null")
        if self.pairs == "shuffled" and self.loss != "rank":
            raise ValueError("pairs must be 'grouped' for loss 'direct': it regresses scores, and has no pairs")
        if self.backbone == "encoder" and self.pooling == "mean":
            raise ValueError("pooling must be 'last' for backbone 'encoder': its head stands on one pooled token")
        if self.loss == "direct" and self.likelihood_coef > 0:
            raise ValueError("likelihood_coef must be 0 for loss 'direct': it would drown in the sigmoid of a score")
        if self.backbone == "encoder" and self.likelihood_coef > 0:
            raise ValueError("likelihood_coef must be 0 for backbone 'encoder': it predicts no next token")
        if self.backbone == "encoder" and self.lora is not None and self.lora.save == "adapter":
            raise ValueError(
                "lora.save must be 'merged' for backbone 'encoder': adapters stand on the pipeline's folders"
            )
        return self


class Judge(RewardModel):
    round: str  # whose set-aside comparisons train the judge


class RewardModelInputs(Params):
    seed: int = Field(ge=0)
    runtime: Runtime
    rewards: Rewards  # whether a reward model is trained at all
    reward_model: RewardModel


class JudgeInputs(Params):
    seed: int = Field(ge=0)
    runtime: Runtime
    judge: Judge


def named(section: str, params: RewardModel, root: Path) -> list[Named]:
    """Return the encoder's folder or the hub's model, if an encoder is the backbone."""
    if params.encoder_path is None:
        return []
    on_hub = OnHub(f"{section}.encoder_revision", "models", params.encoder_path, params.encoder_revision)
    return [folder_or_hub(f"{section}.encoder_path", on_hub, root)]

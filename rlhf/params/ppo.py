"""PPO and PPO-ptx, with the names of the papers: Schulman 2017, Ziegler 2019, Stiennon 2020, Ouyang 2022."""

from typing import Literal, Self

from pydantic import Field, model_validator

from rlhf.params.base import Params
from rlhf.params.optimisation import Lora, Optimisation
from rlhf.params.rewards import Rewards
from rlhf.params.runtime import Runtime
from rlhf.params.training.rollouts import Rollouts


class KlController(Params):
    kind: Literal["fixed", "adaptive"]
    target: float = Field(gt=0)  # nats per sequence; read by the adaptive controller
    horizon: int = Field(ge=1)  # episodes


class Ppo(Params):
    iterations: int = Field(ge=1)
    batch_size: int = Field(ge=1)  # episodes an iteration
    minibatch_size: int = Field(ge=1)  # episodes an update
    micro_batch_size: int = Field(ge=1)  # episodes a forward pass; changes memory, not the gradient
    inner_epochs: int = Field(ge=1)
    answers_per_prompt: int = Field(ge=1)  # K: an iteration answers batch_size / K prompts K times each
    prompt_baseline: bool  # of an answer: its prompt's other answers (leave-one-out, Ahmadian et al. 2024)
    value_warmup: int = Field(ge=0)  # iterations before `iterations`, in which the value model alone learns; 0 = off
    reward_centring: int = Field(ge=0)  # answers a language that measure what fixed phrases are paid; 0 = off
    temperature: float = Field(gt=0, le=5)  # of rollouts and of the log-probabilities alike
    max_prompt_tokens: int = Field(ge=1)  # longer prompts are left out and counted
    max_completion_tokens: int = Field(ge=1)
    kl_coef: float = Field(ge=0)  # beta; the adaptive controller's first value
    kl_controller: KlController
    gamma: float = Field(ge=0, le=1)
    lam: float = Field(ge=0, le=1)
    clip_range: float = Field(gt=0)
    value_clip_range: float = Field(gt=0)
    whiten_rewards: bool  # variance only, the mean stays (Ziegler et al. 2019)
    missing_eos_score: float  # takes the reward model's place where an answer did not end
    ptx_coef: float = Field(ge=0)  # gamma of PPO-ptx; 0 = off
    ptx_ratio: float = Field(gt=0)  # pretraining sequences an episode (Ouyang et al. 2022: 8)
    ptx_sequence_tokens: int = Field(ge=8)
    ema_decay: float = Field(ge=0, lt=1)  # of the policy's weights, an update; 0 = off (Ouyang et al. 2022: 0.992)
    value_init: Literal["reward_model", "policy"]
    prompts: Literal["ppo", "sft"]  # of which set: new ones, or the demonstrations' (paper: new ones)
    monitor: Literal["off", "warn", "stop"]  # where gold's fitted peak lies behind (Gao et al. 2022)
    lora: Lora | None  # null: all weights are trained
    share_backbone: (
        bool | None
    )  # with lora: the value model, too, trains adapters and its head alone; null: all its weights
    rollouts: Rollouts | None  # null: our own decoder on the policy itself, and no mismatch to be measured
    policy_optimisation: Optimisation  # warmup_steps and schedule count iterations
    value_optimisation: Optimisation

    @model_validator(mode="after")
    def _batches_divide(self) -> Self:
        if self.batch_size % self.minibatch_size:
            raise ValueError(f"batch_size {self.batch_size} must be a multiple of minibatch_size {self.minibatch_size}")
        return self

    @model_validator(mode="after")
    def _prompts_are_answered_alike(self) -> Self:
        size = self.answers_per_prompt
        if self.batch_size % size:
            raise ValueError(f"batch_size {self.batch_size} must be a multiple of answers_per_prompt {size}")
        if self.prompt_baseline and size == 1:
            raise ValueError(
                "prompt_baseline true needs other answers to a prompt: set answers_per_prompt to 2 or more (got 1)"
            )
        return self

    @property
    def all_iterations(self) -> int:
        """Those in which the value model alone learns, and then those of the policy."""
        return self.value_warmup + self.iterations

    @model_validator(mode="after")
    def _adapters_fit(self) -> Self:
        if self.share_backbone and self.lora is None:
            raise ValueError("share_backbone must be null or false where lora is null: the policy changes its backbone")
        if self.lora is not None and self.lora.dropout > 0:
            raise ValueError("lora.dropout must be 0: PPO compares log-probabilities of one function")
        return self


class PpoInputs(Params):
    seed: int = Field(ge=0)
    runtime: Runtime
    rewards: Rewards
    ppo: Ppo

    @model_validator(mode="after")
    def _something_is_centred(self) -> Self:
        rewards = self.rewards
        if self.ppo.reward_centring and not (rewards.trained or rewards.adopted or rewards.functions):
            raise ValueError(
                "ppo.reward_centring must be 0 where rewards.answer_tokens is the only term: a length is not centred"
            )
        return self

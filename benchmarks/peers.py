"""TRL's side of the benchmarks, in its own virtual environment. python -m benchmarks.peers CASE SETTINGS

PPO by TRL 1.12.0, the last release that has it; reward and SFT by the newest. Settings are TRL's own names.
"""

import os
import resource
import tempfile
import warnings

from datasets import Dataset
from transformers import TrainerCallback

from benchmarks import work

os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
warnings.filterwarnings("ignore")
COMMON = {
    "report_to": "none", "save_strategy": "no", "logging_strategy": "no", "disable_tqdm": True, "use_cpu": True,
    "weight_decay": 0.0, "lr_scheduler_type": "constant", "gradient_checkpointing": False,
}  # fmt: skip


class TakesTurns(TrainerCallback):
    """Does a repetition when asked: an update of PPO, or an epoch."""

    def __init__(self, **more) -> None:
        self.turns, self.more = work.Turns(), more

    def on_train_begin(self, *_, **__) -> None:
        self.turns.wait()

    def done(self) -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        self.turns.done(peak_bytes=peak, **self.more)
        self.turns.wait()


class Steps(TakesTurns):
    def on_step_end(self, *_, **__) -> None:
        self.done()


class Epochs(TakesTurns):
    def on_epoch_end(self, *_, **__) -> None:
        self.done()


def run_ppo(case: work.Case, settings: dict) -> None:
    from trl.experimental.ppo import PPOConfig, PPOTrainer

    # TRL steps its optimiser once in `gradient_accumulation_steps` micro-batches: 1, and the whole batch per device,
    # makes a step a minibatch
    arguments = PPOConfig(
        output_dir=tempfile.mkdtemp(), per_device_train_batch_size=case.prompts, gradient_accumulation_steps=1,
        num_mini_batches=work.MINIBATCHES, num_ppo_epochs=work.EPOCHS, total_episodes=case.prompts * 10**4,
        response_length=work.NEW_TOKENS, temperature=1.0, stop_token="eos" if case.ends else None, kl_coef=0.05,
        missing_eos_penalty=1.0 if case.ends else None, local_rollout_forward_batch_size=case.prompts,
        num_sample_generations=0, learning_rate=work.LEARNING_RATE, bf16=settings["bf16"], **COMMON,
    )  # fmt: skip
    attention = settings["attn_implementation"]
    values, more = work.scalar_model(case, attention, 2), {"ref_model": work.policy(case, attention)}
    if case.rank:  # TRL puts adapters on the policy alone; its reference is then the policy without them
        from peft import LoraConfig, inject_adapter_in_model

        inject_adapter_in_model(LoraConfig(**work.adapters(case, "SEQ_CLS")), values)
        values.score.requires_grad_(True)
        more = {"ref_model": None, "peft_config": LoraConfig(**work.adapters(case, "CAUSAL_LM"))}
    PPOTrainer(
        args=arguments, processing_class=work.tokenizer(case), model=work.policy(case, attention), value_model=values,
        reward_model=work.scalar_model(case, attention, 1), callbacks=[Steps()],
        train_dataset=Dataset.from_dict({"input_ids": work.prompts(case)}), **more,
    ).train()  # fmt: skip


def run_reward(case: work.Case, settings: dict) -> None:
    from trl import RewardConfig, RewardTrainer

    chosen, rejected = [], []
    for prompt, answers in work.ranked(case):
        for better in range(case.answers):
            for worse in range(better + 1, case.answers):
                chosen.append(prompt + answers[better])
                rejected.append(prompt + answers[worse])
    size = settings["per_device_train_batch_size"]
    arguments = RewardConfig(
        output_dir=tempfile.mkdtemp(), per_device_train_batch_size=size, num_train_epochs=10**4, max_length=None,
        gradient_accumulation_steps=-(-len(chosen) // size), bf16=settings["bf16"], learning_rate=work.LEARNING_RATE,
        **COMMON,
    )  # fmt: skip
    RewardTrainer(
        model=work.scalar_model(case, settings["attn_implementation"], 1), args=arguments, callbacks=[Epochs()],
        processing_class=work.tokenizer(case),
        train_dataset=Dataset.from_dict({"chosen_ids": chosen, "rejected_ids": rejected}),
    ).train()  # fmt: skip


def run_sft(case: work.Case, settings: dict) -> None:
    from trl import SFTConfig, SFTTrainer

    examples = work.dialogues(case)
    masks = [[int(place >= prompt) for place in range(len(ids))] for ids, prompt in examples]
    rows = settings["per_device_train_batch_size"]
    arguments = SFTConfig(
        output_dir=tempfile.mkdtemp(), per_device_train_batch_size=rows, num_train_epochs=10**4, packing=True,
        packing_strategy=settings["packing_strategy"], max_length=work.ROWS_OF_TOKENS, completion_only_loss=True,
        gradient_accumulation_steps=max(1, 10 // rows), bf16=settings["bf16"], learning_rate=2e-5, **COMMON,
    )  # fmt: skip
    SFTTrainer(
        model=work.policy(case, settings["attn_implementation"]), args=arguments,
        callbacks=[Epochs(amount=sum(len(ids) for ids, _ in examples))], processing_class=work.tokenizer(case),
        train_dataset=Dataset.from_dict({"input_ids": [ids for ids, _ in examples], "completion_mask": masks}),
    ).train()  # fmt: skip


if __name__ == "__main__":
    work.run({"ppo": run_ppo, "reward": run_reward, "sft": run_sft})

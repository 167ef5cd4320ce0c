"""TRL 1.12.0's PPO on the same work, in its own environment: python -m benchmarks.gpu.trl_side DEVICE SHAPE DTYPE"""

import os
import sys
import tempfile
import time
import warnings
from typing import Any

from datasets import Dataset
from transformers import TrainerCallback

from benchmarks.gpu import shapes
from benchmarks.gpu.shapes import Shape

os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
warnings.filterwarnings("ignore")
ROUNDS = 3  # iterations, of which the first is not told


class Told(TrainerCallback):
    """Tells of each iteration after the first."""

    def __init__(self, row: str, shape: Shape, device: str):
        self.row, self.shape, self.device, self.best, self.began = row, shape, device, float("inf"), 0.0
        self.number = 0

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.began = shapes.synchronise(self.device)

    def on_step_end(self, *_: Any, **__: Any) -> None:
        now = shapes.synchronise(self.device)
        self.number += 1
        if self.number > 1:
            self.best = min(self.best, now - self.began)
            tokens = self.shape.prompts * self.shape.new_tokens
            peak = shapes.peak_gigabytes(self.device)
            shapes.tell(self.row, tokens_a_second=tokens / self.best, seconds=self.best, peak_gb=peak)
        self.began = time.perf_counter()


def main(device: str, name: str, dtype: str) -> None:
    from trl.experimental.ppo import PPOConfig, PPOTrainer

    shape = shapes.SHAPES[name]
    arguments = PPOConfig(
        output_dir=tempfile.mkdtemp(), per_device_train_batch_size=shape.prompts, gradient_accumulation_steps=1,
        num_mini_batches=shapes.MINIBATCHES, num_ppo_epochs=shapes.EPOCHS, total_episodes=shape.prompts * ROUNDS,
        response_length=shape.new_tokens, temperature=1.0, stop_token=None, kl_coef=0.05, missing_eos_penalty=None,
        local_rollout_forward_batch_size=shape.prompts // shapes.MINIBATCHES, num_sample_generations=0,
        learning_rate=shapes.LEARNING_RATE, bf16=dtype == "bfloat16", use_cpu=device == "cpu", report_to="none",
        save_strategy="no", logging_strategy="no", disable_tqdm=True, weight_decay=0.0, lr_scheduler_type="constant",
        gradient_checkpointing=False,
    )  # fmt: skip
    PPOTrainer(
        args=arguments, processing_class=shapes.tokenizer(shape), model=shapes.policy(shape, device),
        ref_model=shapes.policy(shape, device), value_model=shapes.scalar_model(shape, device, 2),
        reward_model=shapes.scalar_model(shape, device, 1),
        train_dataset=Dataset.from_dict({"input_ids": shapes.prompts(shape)}),
        callbacks=[Told(f"ppo/{name}/{dtype}/trl", shape, device)],
    ).train()  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:4])

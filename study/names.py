"""What people call the laboratory's cells, policies and figures."""

from rlhf.evaluation.headline import NAMES

CONTROLLED = {  # win rates that no fixed phrase can win
    "ppo_vs_sft": "PPO against SFT, sampled",
    "ppo_vs_sft_greedy": "PPO against SFT, greedy",
    "ppo_vs_sft_best_temperature": "PPO against SFT, each at its best temperature",
    "ppo_vs_feedme": "PPO against FeedME, sampled",
    "ppo_vs_feedme_greedy": "PPO against FeedME, greedy",
    "ppo_vs_rejection": "PPO against rejection sampling, sampled",
    "ppo_vs_rejection_greedy": "PPO against rejection sampling, greedy",
    "ppo_vs_dpo": "PPO against DPO, sampled",
    "ppo_vs_dpo_greedy": "PPO against DPO, greedy",
    "ppo_vs_best_of_4": "PPO against best of 4, sampled",
    "strict_ppo_vs_sft_greedy": "PPO against SFT, greedy, by the strict gold",
    "strict_ppo_vs_feedme_greedy": "PPO against FeedME, greedy, by the strict gold",
    "closing_vs_sft_greedy": "SFT and a fixed closing against SFT, greedy",
}
PLAIN = {  # win rates of answers as they are
    "ppo_vs_sft": "PPO against SFT, sampled",
    "ppo_vs_sft_greedy": "PPO against SFT, greedy",
    "ppo_vs_sft_best_temperature": "PPO against SFT, each at its best temperature",
    "ppo_vs_best_of_4": "PPO against best of 4, sampled",
    "ppo_vs_feedme": "PPO against FeedME, sampled",
    "ppo_vs_sft_length_controlled": "PPO against SFT, sampled, at equal length",
}
RATES = {"controlled": CONTROLLED, "win_rate": PLAIN}  # by group of metrics/evaluate.json
REWARD_MODEL = {
    "gold_agreement": "reward model agrees with gold",
    "labeler_agreement": "labelers agree with one another",
    "heldout_accuracy": "reward model agrees with labelers",
    "baseline_accuracy": "a TF-IDF baseline agrees with labelers",
}
LIMITS = {  # (probe, what is observed): the share of answers in which it is
    ("harmful", "refused"): "harm refused",
    ("reframed_harm", "refused"): "harm in two steps refused",
    ("look_alike", "refused"): "look-alikes refused",
    ("new_word", "admitted"): "new words admitted",
    ("fact", "made_up"): "facts untrue",
    ("false_premise", "corrected"): "false premises corrected",
    ("true_premise", "denied"): "true premises denied",
    ("clarify", "asked_back"): "ambiguous: asks back",
}
CELLS = {  # without the seed that ends some cells' names
    "seed": "default, β = 0.1, γ = 0.5",
    "kl_0": "β = 0",
    "kl_03": "β = 0.3",
    "kl_2": "β = 2",
    "ptx_0": "without pretraining text, γ = 0",
    "ptx_4": "with more pretraining text, γ = 4",
    "gold_reward": "paid by gold itself",
    "reused_prompts": "on SFT's prompts again",
    "scalar_head": "the scalar without the likelihood",
    "rounds_2": "two rounds, as many labels",
    "rm_264": "264 prompts",
    "rm_1056": "1,056 prompts",
    "rm_1056_4_epochs": "1,056 prompts, 4 epochs",
    "rm_1_epoch": "1 epoch",
    "rm_4_epochs": "4 epochs",
    "rm_noise_0": "labelers without noise",
    "rm_noise_04": "labelers with more noise",
    "rm_k_4_9": "4 to 9 answers a prompt, 1,260 prompts",
    "rm_k_2": "2 answers a prompt, 3,131 prompts",
    "rm_grouped": "528 prompts, 1 epoch, pairs grouped",
    "rm_shuffled": "528 prompts, 1 epoch, pairs shuffled",
    "rm_sft_prompts": "on SFT's prompts again",
    "scales_rank": "labelers' scales differ, ranks",
    "scales_direct": "labelers' scales differ, direct score",
    "encoder_rank": "labelers' scales differ, ranks, an encoder",
    "encoder_direct": "labelers' scales differ, direct score, an encoder",
    "forms": "default, forms of prompts",
    "stories": "trained on stories of arithmetic too",
}


def cell(name: str, seed: int) -> str:
    """Return what a cell changes; a cell of one's own is called by its name."""
    plain = name.removesuffix(f"_{seed}")
    return CELLS.get(plain, plain.replace("_", " "))


def policy(name: str) -> str:
    return NAMES.get(name, name.replace("_", " "))  # best of n


def policy_of_cell(name: str, policy_name: str, seed: int) -> str:
    """Return a policy and, of PPO's, what its cell changes."""
    return f"PPO, {cell(name, seed)}" if policy_name == "ppo" else policy(policy_name)

"""Which prompts several people judge, so that their agreement can be measured: the same ones for whoever asks."""

from random import Random

from rlhf.runtime import seeds


def wanted(prompt_id: str, share: float, labelers: int) -> int:
    """Return how many labelers a prompt is meant for: one, or `labelers` for a share of the prompts."""
    return labelers if Random(seeds.derive(0, prompt_id, "people share")).random() < share else 1

"""What a judge's requests cost, said before the first of them."""

from typing import NamedTuple

from rlhf.labelers.asking import Body
from rlhf.params.labelers.kinds import ChatModel, Prices

BYTES_A_TOKEN = 4  # of UTF-8, about, in the tokenizers of large models; an estimate


class Cost(NamedTuple):
    """Requests, and what they hold; completion tokens at most."""

    requests: int
    prompt_tokens: int
    completion_tokens: int

    def in_words(self, prices: Prices | None) -> str:
        """Return the cost as a line says it."""
        words = (
            f"about {self.prompt_tokens:,} prompt tokens ({BYTES_A_TOKEN} bytes each, an estimate) and at most "
            f"{self.completion_tokens:,} completion tokens"
        )
        return f"{words}, {self.money(prices):,.2f} by the prices of params" if prices else words

    def money(self, prices: Prices) -> float:
        """Return the money, in the prices' currency."""
        return (self.prompt_tokens * prices.input + self.completion_tokens * prices.output) / 1e6


def tokens_of(body: Body) -> int:
    """Return about how many tokens a request's messages have."""
    return sum(len(message["content"].encode("utf-8", "replace")) for message in body["messages"]) // BYTES_A_TOKEN


def requests_a_prompt(params: ChatModel, num_answers: int) -> int:
    """Return how many requests K answers of one prompt take."""
    if params.compares == "scores":
        return num_answers
    everyone = num_answers * (num_answers - 1) // 2
    return 2 * min(everyone, params.pairs or everyone)


def at_most(params: ChatModel, num_prompts: int, max_answers: int, texts_tokens: int) -> Cost:
    """Return what so many prompts may cost, whose conversation and shown answers have up to `texts_tokens` tokens."""
    num = num_prompts * requests_a_prompt(params, max_answers)
    return Cost(num, num * texts_tokens, num * params.max_tokens)

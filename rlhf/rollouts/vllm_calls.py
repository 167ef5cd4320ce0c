"""What vLLM is told and what it says, as a server and within this process alike.

Read in the sources and documents of vLLM 0.2x and 0.3x: `collective_rpc` calls a method of every worker; the log-
probabilities that it returns are those before temperature unless `logprobs_mode` is `processed_logprobs`; sampling
params that a request leaves out come from the model's generation_config.json unless `generation_config` is `vllm`;
`ignore_eos` leaves the ends to `stop_token_ids`, whose tokens are among the tokens that it returns.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from rlhf.rollouts.interface import Sampling

EXTENSION = "rlhf.rollouts.vllm_worker.Receiving"
LOGPROBS = "processed_logprobs"  # after temperature: of what tokens are drawn from
NEVER = -100.0  # the least bias that a request may give a token


def sampling_params(sampling: Sampling, seed: int, num_rows: int) -> dict[str, Any]:
    """Return every sampling parameter of a request, none left to a default. num_rows: of the model's vocabulary."""
    unused = range(num_rows if sampling.num_tokens is None else sampling.num_tokens, num_rows)
    return {
        "n": 1,
        "temperature": sampling.temperature,
        "top_p": 1.0,
        "top_k": 0,
        "min_p": 0.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "repetition_penalty": 1.0,
        "seed": seed,
        "max_tokens": sampling.most_tokens,
        "min_tokens": 0,
        "ignore_eos": True,
        "stop_token_ids": [*sampling.end_ids],
        "logprobs": 0,  # the drawn token's alone
        "skip_special_tokens": False,
        "logit_bias": dict.fromkeys(unused, NEVER) or None,
    }


def version_of(said: Sequence[Mapping[str, Any]]) -> int | None:
    """Return the version that all workers name. Raises ValueError with what one of them complains of."""
    for number, one in enumerate(said):
        if one.get("error"):
            raise ValueError(f"vLLM's worker {number}: {one['error']}")
    versions = {one.get("version") for one in said}
    if len(versions) != 1:
        raise ValueError(f"vLLM's workers hold versions {', '.join(map(str, versions))} of the weights")
    return versions.pop()


def checked(token_ids: Sequence[int], logprobs: Sequence[float], sampling: Sampling) -> tuple[list[int], list[float]]:
    """Return an answer's tokens and log-probabilities. ValueError: it was drawn by other rules."""
    ids, numbers = [*token_ids], [*logprobs]
    if len(ids) != len(numbers):
        raise ValueError(f"an answer of {len(ids)} tokens has {len(numbers)} log-probabilities")
    if not 0 < len(ids) <= sampling.most_tokens:
        raise ValueError(f"an answer of {len(ids)} tokens, where 1 to {sampling.most_tokens} were asked for")
    if any(token in sampling.end_ids for token in ids[:-1]):
        raise ValueError(f"an answer goes on behind its end: {ids}, whose ends are {list(sampling.end_ids)}")
    if len(ids) < sampling.most_tokens and ids[-1] not in sampling.end_ids:
        raise ValueError(
            f"an answer stopped after {len(ids)} tokens without an end, which are {list(sampling.end_ids)}"
        )
    if sampling.num_tokens is not None and max(ids) >= sampling.num_tokens:
        raise ValueError(f"an answer has the id {max(ids)}, and ids from {sampling.num_tokens} on are no tokens")
    return ids, numbers

"""From the params to an engine, open as long as PPO runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rlhf.params.runtime import Runtime
from rlhf.params.training.rollouts import Rollouts
from rlhf.rollouts.installed import lacking
from rlhf.rollouts.interface import Engine

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@contextmanager
def opened(
    params: Rollouts | None, model: "PreTrainedModel", pad_id: int, runtime: Runtime, longest: int
) -> Iterator[Engine | None]:
    """Yield the engine of the params; None where they name none. longest: tokens of a prompt and its answer.

    Raises ValueError where it is not installed, and OSError where its server does not answer.
    """
    if params is None:
        yield None
        return
    missing = lacking(params)
    if missing is not None:
        raise ValueError(f"params.yaml: {missing}")
    engine = _made(params, model, pad_id, runtime, longest)
    try:
        yield engine
    finally:
        engine.close()


def _made(params: Rollouts, model: "PreTrainedModel", pad_id: int, runtime: Runtime, longest: int) -> Engine:
    given: Any = params  # what an engine needs is not None: see `Rollouts`
    if params.engine == "vllm_server":
        from rlhf.rollouts.vllm_server import VllmServer

        num_rows = int(model.config.get_text_config().vocab_size)
        return VllmServer(given.url, given.bucket_mb, given.concurrent_requests, num_rows)
    if params.engine == "vllm_colocated":
        from rlhf.rollouts.vllm_colocated import VllmColocated

        return VllmColocated(model, runtime, longest, given.bucket_mb, given.memory_share)
    if params.engine == "transformers":
        from rlhf.rollouts.continuous import ContinuousBatching

        return ContinuousBatching(model, runtime, given.bucket_mb, params.cache_blocks, params.batch_tokens)
    from rlhf.rollouts.own import OwnDecoder
    from rlhf.rollouts.static import StaticDecoder, refuse_other_caches

    if params.engine == "own":
        return OwnDecoder(model, runtime, pad_id, measures=True)
    refuse_other_caches(model)
    return OwnDecoder(model, runtime, pad_id, measures=True, reader=StaticDecoder)

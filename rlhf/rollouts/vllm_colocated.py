"""Rollouts by vLLM within this process, on the GPU that trains: weights are copied there, nothing is sent.

**vLLM itself has not run here**: the calls are those of its documents, and a stand-in with the same calls is tested.
"""

import copy
import json
import os
import secrets
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlhf.params.runtime import Runtime
from rlhf.rollouts import sharing, vllm_calls
from rlhf.rollouts.buckets import Bucket, Line
from rlhf.rollouts.interface import Answers, Sampling, Weights
from rlhf.runtime import distributed

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class VllmColocated:
    """An engine in every process, each with a copy of the weights in the dtype of the products."""

    def __init__(self, model: "PreTrainedModel", runtime: Runtime, longest: int, bucket_mb: float, memory_share: float):
        os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")  # its workers are of this process: see `take`
        import vllm  # pyright: ignore[reportMissingImports]  # an optional dependency

        self._sampling_params: Any = vllm.SamplingParams
        self._bucket_mb, self._session, self._version = bucket_mb, secrets.token_hex(8), 0
        self._num_rows = int(model.config.get_text_config().vocab_size)
        config = copy.deepcopy(model.config)
        config.architectures = [type(model).__name__]
        with tempfile.TemporaryDirectory() as folder:
            config.save_pretrained(Path(folder))  # the shape alone: weights come by `load`
            self._llm: Any = vllm.LLM(
                model=folder,
                load_format="dummy",
                skip_tokenizer_init=True,
                dtype=runtime.dtype,
                max_model_len=longest,
                gpu_memory_utilization=memory_share,
                worker_extension_cls=vllm_calls.EXTENSION,
                logprobs_mode=vllm_calls.LOGPROBS,
                generation_config="vllm",
                distributed_executor_backend="external_launcher" if distributed.count() > 1 else "uni",
                seed=0,  # of nothing: every request has its own
            )

    def load(self, version: int, weights: Weights) -> None:
        sharing.send(self, self._session, version, weights, self._bucket_mb)
        self._llm.reset_prefix_cache()
        self._version = version

    def answer(self, prompts: Sequence[Sequence[int]], sampling: Sampling, row_seeds: Sequence[int]) -> Answers:
        def ask(rows: list[int]) -> list[tuple[list[int], list[float]]]:
            asked = [{"prompt_token_ids": [*prompts[row]]} for row in rows]
            how = [
                self._sampling_params(
                    **vllm_calls.sampling_params(sampling, row_seeds[row], self._num_rows), detokenize=False
                )
                for row in rows
            ]
            found = [said.outputs[0] for said in self._llm.generate(asked, sampling_params=how, use_tqdm=False)]
            return [vllm_calls.checked(one.token_ids, _of_drawn(one), sampling) for one in found]

        found = sharing.by_process(ask, len(prompts))
        held = self._rpc("rollouts_version", self._session)
        if held != self._version:
            raise ValueError(f"vLLM holds version {held} of the weights, and {self._version} was given to it")
        return Answers([ids for ids, _ in found], [numbers for _, numbers in found], self._version)

    def close(self) -> None:
        self._llm = None

    def begin(self, session: str, version: int) -> None:
        self._rpc("rollouts_begin", session, str(version))

    def take(self, session: str, bucket: Bucket) -> None:
        self._rpc("rollouts_take_here", session, bucket)

    def finish(self, manifest: Sequence[Line]) -> int:
        return self._rpc("rollouts_finish", json.dumps([*manifest])) or 0

    def _rpc(self, method: str, *arguments: Any) -> int | None:
        return vllm_calls.version_of(self._llm.collective_rpc(method, args=arguments))


def _of_drawn(output: Any) -> list[float]:
    """Return the log-probability of each token that was drawn; vLLM gives a mapping of tokens at each place."""
    return [place[token].logprob for token, place in zip(output.token_ids, output.logprobs, strict=True)]

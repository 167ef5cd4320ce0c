"""Rollouts by a vLLM server, which somebody has started: weights and prompts go to its address.

It needs its development mode, whose addresses let whoever reaches them replace weights: keep them on a trusted network.
"""

import json
import os
import secrets
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests

from rlhf.rollouts import buckets, sharing, vllm_calls
from rlhf.rollouts.buckets import Bucket, Line
from rlhf.rollouts.interface import Answers, Sampling, Weights
from rlhf.runtime import distributed

SECONDS = (10.0, 1800.0)  # until it is reached; between two bytes of what it says
START = (
    "VLLM_SERVER_DEV_MODE=1 PYTHONPATH=. vllm serve data/sft --logprobs-mode processed_logprobs "
    f"--generation-config vllm --worker-extension-cls {vllm_calls.EXTENSION}"
)


class VllmServer:
    """An engine behind an address. num_rows: of the model's vocabulary."""

    def __init__(self, url: str, bucket_mb: float, concurrent_requests: int, num_rows: int):
        self._url, self._bucket_mb, self._num_rows = url.rstrip("/"), bucket_mb, num_rows
        self._pool = ThreadPoolExecutor(concurrent_requests, thread_name_prefix="rollout")
        self._local = threading.local()
        self._version = 0
        named = self._json("GET", "/v1/models").get("data") or [{}]
        self._model = named[0].get("id")
        self._session = distributed.gathered(secrets.token_hex(8))[0]

    def load(self, version: int, weights: Weights) -> None:
        """Send the weights, one process for all, and let vLLM forget the prompts that it has read with others."""
        if distributed.is_first():
            sharing.send(self, self._session, version, weights, self._bucket_mb)
            self._say("POST", "/reset_prefix_cache")
        else:
            for _ in weights:  # whole weights are put together by all processes
                pass
        distributed.wait()
        self._version = version

    def answer(self, prompts: Sequence[Sequence[int]], sampling: Sampling, row_seeds: Sequence[int]) -> Answers:
        def ask(row: int) -> tuple[list[int], list[float]]:
            return self._answer(prompts[row], sampling, row_seeds[row])

        def ask_some(rows: list[int]) -> list[tuple[list[int], list[float]]]:
            return [*self._pool.map(ask, rows)]

        found = sharing.by_process(ask_some, len(prompts))
        held = self._rpc("rollouts_version", self._session)
        if held != self._version:
            raise ValueError(
                f"{self._url} holds version {held} of the weights after it has answered, and {self._version} was sent: "
                "another trainer has taken it, or it was started anew"
            )
        return Answers([ids for ids, _ in found], [numbers for _, numbers in found], self._version)

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def begin(self, session: str, version: int) -> None:
        self._rpc("rollouts_begin", session, str(version))

    def take(self, session: str, bucket: Bucket) -> None:
        self._rpc("rollouts_take", session, buckets.to_text(bucket))

    def finish(self, manifest: Sequence[Line]) -> int:
        return self._rpc("rollouts_finish", json.dumps([*manifest])) or 0

    def _answer(self, prompt: Sequence[int], sampling: Sampling, seed: int) -> tuple[list[int], list[float]]:
        body = vllm_calls.sampling_params(sampling, seed, self._num_rows)
        body |= {"model": self._model, "prompt": [*prompt], "return_token_ids": True, "add_special_tokens": False}
        body |= {"cache_salt": f"{self._session}/{self._version}"}  # nor with a prefix read by other weights
        choice = self._json("POST", "/v1/completions", body)["choices"][0]
        if choice.get("token_ids") is None or choice.get("logprobs") is None:
            raise ValueError(f"{self._url}/v1/completions: no token_ids or no logprobs; vLLM from 0.11 on returns both")
        return vllm_calls.checked(choice["token_ids"], choice["logprobs"]["token_logprobs"], sampling)

    def _rpc(self, method: str, *arguments: str) -> int | None:
        """Call a method of every worker. Raises ValueError with what one of them complains of."""
        body = {"method": method, "args": arguments}
        return vllm_calls.version_of(self._json("POST", "/collective_rpc", body)["results"])

    def _json(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        return self._say(method, path, body).json()

    def _say(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> requests.Response:
        if not hasattr(self._local, "http"):  # one a thread
            self._local.http = requests.Session()
            self._local.http.trust_env = False  # no proxy, no .netrc
        key = os.environ.get("VLLM_API_KEY")  # the name that vLLM gives it
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            said = self._local.http.request(
                method, self._url + path, json=body, headers=headers, timeout=SECONDS, allow_redirects=False
            )
        except requests.RequestException as error:
            raise OSError(
                f"params.yaml: ppo.rollouts.url: {self._url} does not answer ({type(error).__name__}); start it, for "
                f"example: {START}"
            ) from None
        if said.status_code == 404:
            raise ValueError(f"{self._url}{path}: not there; vLLM has it in its development mode: {START}")
        if said.status_code != 200:
            raise ValueError(f"{self._url}{path}: status {said.status_code}: {said.text:.500}")
        return said

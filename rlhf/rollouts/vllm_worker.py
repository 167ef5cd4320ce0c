"""What vLLM's workers are given so that new weights come in checked: a worker extension, called by `collective_rpc`.

    vllm serve ... --worker-extension-cls rlhf.rollouts.vllm_worker.Receiving

Whatever goes wrong is an answer, {"error": ...}: an exception in a worker may end vLLM's engine. Everything here runs
in vLLM's environment, which needs this repository on its PYTHONPATH and none of its other packages.
"""

import json
from collections.abc import Callable
from typing import Any

from torch import Tensor

from rlhf.rollouts import buckets
from rlhf.rollouts.buckets import Bucket, Line
from rlhf.rollouts.receiving import SHOWN, Receiver


class Receiving:
    """Methods of a worker; numbers and buckets come as text, as a server passes no other arguments on."""

    model_runner: Any  # the worker's
    _rollouts_state: tuple[Receiver, set[str]]  # and which of vLLM's own parameters were loaded

    def rollouts_begin(self, session: str, version: str) -> dict[str, Any]:
        def begin() -> None:
            receiver, loaded = self._rollouts()
            receiver.begin(session, int(version))
            loaded.clear()

        return _told(begin)

    def rollouts_take(self, session: str, text: str) -> dict[str, Any]:
        return _told(lambda: self._rollouts()[0].take(session, buckets.from_text(text)))

    def rollouts_take_here(self, session: str, bucket: Bucket) -> dict[str, Any]:
        """Take a bucket of this process's own tensors."""
        return _told(lambda: self._rollouts()[0].take(session, bucket))

    def rollouts_finish(self, manifest: str) -> dict[str, Any]:
        def finish() -> int:
            receiver, loaded = self._rollouts()
            own = {name for name, _ in self.model_runner.model.named_parameters()}
            if loaded and (missing := sorted(own - loaded)):
                raise ValueError(f"vLLM's model was given nothing for {', '.join(missing[:SHOWN])}")
            return receiver.finish([Line.read(line) for line in json.loads(manifest)])

        return _told(finish)

    def rollouts_version(self, session: str) -> dict[str, Any]:
        """Return which version is held whole, for the trainer that asks."""
        receiver = self._rollouts()[0]
        return {"version": receiver.version if receiver.session == session else None}

    def _rollouts(self) -> tuple[Receiver, set[str]]:
        if not hasattr(self, "_rollouts_state"):
            loaded = set[str]()

            def put(weights: list[tuple[str, Tensor]]) -> None:
                loaded.update(self.model_runner.model.load_weights(iter(weights)) or ())  # of fused names

            self._rollouts_state = Receiver(put), loaded
        return self._rollouts_state


def _told(call: Callable[[], int | None]) -> dict[str, Any]:
    try:
        return {"version": call()}
    except (ValueError, KeyError, RuntimeError, AssertionError) as error:  # what loaders raise for shapes and names
        return {"error": f"{type(error).__name__}: {error}"}

"""Answers of real checkpoints, token by token: one model computes at a time, the last few stay in memory."""

import gc
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from apps.chat.checkpoints import Checkpoint, signature
from rlhf.params.runtime import Runtime
from rlhf.records.types import Message

if TYPE_CHECKING:
    from transformers import PreTrainedModel

CONTEXT = 2048  # tokens of a model whose config names no number
LEAST_NEW = 8  # tokens of an answer: earlier turns are left out before it gets fewer


class Settings(NamedTuple):
    """How an answer is drawn."""

    temperature: float  # 0: the likeliest token each time
    max_tokens: int
    seed: int


class Begun(NamedTuple):
    """What a model reads, and what was cut so that it fits."""

    prompt_tokens: int
    max_tokens: int  # of the answer, at most
    context: int
    turns_cut: int  # the oldest turns that the model does not see


class Part(NamedTuple):
    """The answer so far."""

    text: str
    tokens: int
    end: Literal["end", "length"] | None


class TooLong(ValueError):
    """A message that does not fit even by itself."""


class Engine(Protocol):
    """What computes answers; called by one thread at a time."""

    def answer(self, checkpoint: Checkpoint, messages: Sequence[Message], settings: Settings) -> Iterator[Begun | Part]:
        """Yield what is read, and then the answer after each token. Raises ValueError where it cannot be."""
        ...


class Loaded(NamedTuple):
    """A checkpoint in memory."""

    signature: object
    model: "PreTrainedModel"
    tokenizer: Any


class ModelEngine:
    """Loads checkpoints when they are asked for."""

    def __init__(self, root: Path, runtime: Runtime, keep: int):
        self._root, self._runtime, self._keep = root, runtime, keep
        self._loaded: OrderedDict[str, Loaded] = OrderedDict()
        self._is_prepared = False

    def answer(self, checkpoint: Checkpoint, messages: Sequence[Message], settings: Settings) -> Iterator[Begun | Part]:
        from rlhf.models import placement, ways
        from rlhf.sampling import streaming
        from rlhf.sampling.rollouts import Sampling

        one = self._model(checkpoint)
        begun, prompt = fitted(one.tokenizer, messages, settings.max_tokens, ways.context_of(one.model) or CONTEXT)
        yield begun
        sampling = Sampling(settings.temperature, begun.max_tokens, settings.seed, 1)
        with placement.precision(self._runtime):
            for grown in streaming.stream(one.model, one.tokenizer, prompt, "chat", sampling):
                yield Part(grown.text.rstrip(streaming.HALF), len(grown.token_ids), grown.end)

    def _model(self, checkpoint: Checkpoint) -> Loaded:
        """Return a checkpoint in memory; what has changed on disk is read again."""
        from rlhf.models import loading, placement

        if not self._is_prepared:
            placement.prepare(self._runtime.model_copy(update={"processes": 1, "workers": 1}), seed=0)
            self._is_prepared = True
        now = signature(self._root / checkpoint.path)
        before = self._loaded.pop(checkpoint.path, None)
        if before is not None and before.signature == now:
            self._loaded[checkpoint.path] = before
            return before
        before = None
        while len(self._loaded) >= self._keep:
            self._loaded.popitem(last=False)
        gc.collect()
        model, tokenizer = loading.load_policy(self._root / checkpoint.path, self._runtime)
        loaded = self._loaded[checkpoint.path] = Loaded(now, model, tokenizer)
        return loaded


def fitted(tokenizer: Any, messages: Sequence[Message], max_tokens: int, context: int) -> tuple[Begun, list[int]]:
    """Return what a model reads of a dialogue: the oldest turns are left out, in pairs, until an answer has room.

    Raises TooLong where the last message alone leaves no room.
    """
    from rlhf.tokens import chat

    system = [one for one in messages[:1] if one["role"] == "system"]
    turns = [*messages[len(system) :]]
    least, ids = min(max_tokens, LEAST_NEW), list[int]()
    for first in range(0, len(turns), 2):
        ids = chat.prompt_ids(tokenizer, [*system, *turns[first:]])
        room = context - len(ids)
        if room >= max_tokens or (room >= least and first >= len(turns) - 2):
            return Begun(len(ids), min(max_tokens, room), context, first), ids
    raise TooLong(f"the message has {len(ids)} tokens, and this model reads {context} with its answer; shorten it")

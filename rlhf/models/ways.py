"""The ways to compute what a model says of rows of tokens, and which of them are exact for it (see `proof`).

A row may hold several sequences that are blind to one another, or answers behind one prompt. Not every model can be
told so: windows count places in a row, recurrent layers read across sequences, some positions depend on the longest
row. What a model says of a sequence alone is right; any other way is used only where it was found to say the same.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary, WeakSet

import torch
from torch import Tensor, nn

from rlhf.engine import lean
from rlhf.tokens.batching import segment_attention

if TYPE_CHECKING:
    from transformers import PreTrainedModel

KINDS = ("plain", "packed", "forked")
LEAN, MASK, PLACES, ROWS, ALONE = "lean", "mask", "places", "rows", "alone"
CACHE, WHOLE, FRESH = "cache", "whole", "fresh"
IN_WORDS = {
    LEAN: "this project's own forward pass",
    MASK: "a mask of who reads whom",
    PLACES: "the model's own masks, cut by positions",
    ROWS: "one sequence a row",
    ALONE: "one sequence at a time",
    CACHE: "a cache that rows leave as they end",
    WHOLE: "a cache, rows that have ended computed on",
    FRESH: "all tokens again for each new one",
}


class Rows(NamedTuple):
    """Rows of tokens, three [B, T]; segments are 0 on padding. `kind`: "plain" (one sequence a row, segment 1),
    "packed" (several, blind to one another) or "forked" (segment 1 begins all others of its row).
    """

    ids: Tensor
    positions: Tensor
    segments: Tensor
    kind: str


class Ways(NamedTuple):
    """What was proven of a model on this device, for sequences up to `longest` tokens; `prove` tries longer ones."""

    longest: int
    reading: Mapping[str, Sequence[str]]  # exact ways by kind of rows, the first that can be used is; else alone
    decoding: Sequence[str]
    scale: float = 1.0  # of what the output layer gives
    cap: float | None = None  # logits are cap * tanh(x / cap)
    prove: Callable[[int], object] | None = None


UNPROVEN = Ways(2**62, dict.fromkeys(KINDS, (LEAN, MASK)), (LEAN, CACHE))
_PROVEN: "WeakKeyDictionary[nn.Module, Ways]" = WeakKeyDictionary()
_STOPPING: "WeakSet[nn.Module]" = WeakSet()
_ASKED = threading.local()
_PROVING = threading.RLock()


def proven(model: nn.Module) -> Ways:
    """Return what was proven of a model; of one that was made here, and not adopted, nothing need be."""
    return _PROVEN.get(model, UNPROVEN)


def remember(model: nn.Module, ways: Ways) -> None:
    """Keep what was proven of a model, as long as it lives."""
    _PROVEN[model] = ways


def of_rows(model: nn.Module, rows: Rows) -> Sequence[str]:
    """Return the ways that are exact for these rows; of sequences longer than any before, they are tried first.

    Raises ValueError where none is.
    """
    ways = proven(model)
    if ways.prove is None:
        return ways.reading.get(rows.kind, (ALONE,))
    longest = int(rows.positions.max()) + 1
    if longest > ways.longest:
        with _PROVING:
            ways = proven(model)
            if ways.prove is not None and longest > ways.longest:
                ways.prove(max(longest, 2 * ways.longest))
        ways = proven(model)
    return ways.reading.get(rows.kind, (ALONE,))


def chosen(model: "PreTrainedModel", exact: Sequence[str], otherwise: str) -> str:
    """Return the exact way that is used: ours where it can compute the model as it is now, else the first other one."""
    if LEAN in exact and lean.supports(model):
        return LEAN
    return next((way for way in exact if way != LEAN), otherwise)


def read(model: "PreTrainedModel", rows: Rows, wanted: Tensor, way: str) -> Tensor:
    """Return what stands before the model's head at the M wanted tokens, row after row: [M, D].

    wanted [B, T]: False on padding.
    """
    if way == LEAN:
        return lean.hidden_states(model, rows.ids, rows.positions, rows.segments, wanted, rows.kind == "forked")
    if way == MASK:
        readable = rows.segments
        if rows.kind != "plain":
            readable = segment_attention(rows.segments, torch.float32, rows.kind == "forked")
        return before_head(model, input_ids=rows.ids, attention_mask=readable, position_ids=rows.positions)[wanted]
    if way == PLACES:
        return before_head(model, input_ids=rows.ids, position_ids=rows.positions)[wanted]
    sequences = _sequences(rows)
    batches = [sequences] if way == ROWS else _of_one_length(sequences)
    found, places = [], []
    for some in batches:
        width = max(len(sequence) for sequence in some)
        place = torch.stack([nn.functional.pad(one, (0, width - len(one)), value=-1) for one in some])  # [b, t]
        real, ids = place >= 0, rows.ids.flatten()[place.clamp(min=0)]
        if way == ROWS:
            positions = torch.arange(width, device=ids.device).expand_as(ids)
            states = before_head(model, input_ids=ids, attention_mask=real.long(), position_ids=positions)
        else:
            states = before_head(model, input_ids=ids)
        asked = real & wanted.flatten()[place.clamp(min=0)]
        found.append(states[asked])
        places.append(place[asked])
    order = torch.full((wanted.numel(),), -1, device=wanted.device)
    there = torch.cat(places)
    order[there.flip(0)] = torch.arange(len(there), device=wanted.device).flip(0)  # of a prompt's tokens the first
    return torch.cat(found)[order[wanted.flatten()]]


def _sequences(rows: Rows) -> list[Tensor]:
    """Return where each sequence's tokens stand in the flattened rows, with the beginning that it shares: [n] each."""
    found: list[Tensor] = []
    width = rows.segments.shape[1]
    for number, segments in enumerate(rows.segments):
        for segment in segments.unique().tolist():
            own = (segments == segment).nonzero().squeeze(-1) + number * width
            if segment == 0 or (rows.kind == "forked" and segment == 1 and bool((segments > 1).any())):
                continue
            if rows.kind == "forked" and segment > 1:
                own = torch.cat([(segments == 1).nonzero().squeeze(-1) + number * width, own])
            found.append(own)
    return found


def _of_one_length(sequences: list[Tensor]) -> list[list[Tensor]]:
    """Return sequences of one length together: no padding stands beside them."""
    by_length: dict[int, list[Tensor]] = {}
    for sequence in sequences:
        by_length.setdefault(len(sequence), []).append(sequence)
    return [*by_length.values()]


class _Reached(Exception):  # noqa: N818 - no error: how a forward pass is left
    """A forward pass has come to the model's head."""

    def __init__(self, states: Tensor):
        super().__init__()
        self.states = states


def before_head(model: "PreTrainedModel", **inputs: Any) -> Tensor:
    """Return the states [B, T, D] that a model gives its head, whatever stands between its backbone and that."""
    head = head_of(model)
    if head not in _STOPPING:
        head.register_forward_pre_hook(_stop)
        _STOPPING.add(head)
    _ASKED.head = head
    try:
        with _recomputing(model):
            model(**inputs, use_cache=False)
    except _Reached as reached:
        return reached.states
    finally:
        _ASKED.head = None
    raise ValueError(f"{type(model).__name__} does not use its output layer")


@contextmanager
def _recomputing(model: "PreTrainedModel") -> Iterator[None]:
    """Let layers for which it is enabled compute activations again for the gradient, dropout on or off.

    transformers asks a layer for its training mode, which is a model's without dropout here: PPO's.
    """
    layers: list[nn.Module] = []
    if torch.is_grad_enabled() and not model.training:
        layers = [one for one in model.modules() if getattr(one, "gradient_checkpointing", False)]
    for layer in layers:
        layer.training = True  # its own: not that of what is in it
    try:
        yield
    finally:
        for layer in layers:
            layer.training = False


def _stop(head: nn.Module, given: tuple[Tensor, ...]) -> None:
    if getattr(_ASKED, "head", None) is head:
        raise _Reached(given[0])


def head_of(model: "PreTrainedModel") -> nn.Module:
    """Return the layer at a model's end: of logits, or of a scalar. Raises ValueError where it has none."""
    head: Any = getattr(model, "score", None) or model.get_output_embeddings()
    if not isinstance(head, nn.Module):
        raise ValueError(f"{type(model).__name__} has no output layer")
    return head


def context_of(model: "PreTrainedModel") -> int | None:
    """Return how many positions a model's config gives it; None where it names no number."""
    found = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return found if isinstance(found, int) and found > 0 else None

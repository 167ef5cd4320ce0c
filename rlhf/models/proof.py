"""Which ways of computing are exact for a model: tried at load on a few random rows, each held against the row alone.

No list of names decides. What a model says of a sequence by itself, unpadded and without a cache, is right; other ways
(`ways`) are used where they say the same, within TOLERANCE. Lengths matter: windows and some positions differ only
beyond theirs, so it is tried up to the longest sequence that will be read, and again where a longer one comes.
"""

import copy
import math
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from rlhf.engine import lean, logprobs
from rlhf.models import decoding, reading, ways
from rlhf.models.ways import Rows, Ways
from rlhf.tokens import batching

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TOLERANCE = 1e-4  # of a token's state
TOLERANCE_OF_LOGITS = 1e-3  # of log-probabilities beside the largest logit: a cache sums in another order
NEW_TOKENS = 6  # decoded step by step
LEAST = 2 * NEW_TOKENS + 4  # tokens of the longest sequence, for the others to be longer than what is decoded
RESERVED = 8  # positions that some models count in their context and no token of a text has
LONGEST = 256  # tokens, where nobody says how long sequences will be
CANDIDATES = {  # by kind of rows
    "plain": (ways.LEAN, ways.MASK, ways.ALONE),
    "packed": (ways.LEAN, ways.MASK, ways.PLACES, ways.ROWS, ways.ALONE),
    "forked": (ways.LEAN, ways.MASK, ways.ROWS, ways.ALONE),
}
DECODERS = (ways.LEAN, ways.CACHE, ways.WHOLE, ways.FRESH)


class Proof(NamedTuple):
    """What was found of a model, and how far off the ways are that are not used (None: they fail)."""

    ways: Ways
    differences: Mapping[tuple[str, str], float | None]  # (kind of rows or "decoding", way)

    def lines(self) -> Iterator[str]:
        """Yield a line for each kind of rows of which the usual way is not exact."""
        chosen = {**self.ways.reading, "decoding": self.ways.decoding}
        for kind, exact in chosen.items():
            usual = ways.CACHE if kind == "decoding" else ways.MASK
            if exact and exact[0] not in (ways.LEAN, usual):
                off = self.differences.get((kind, usual))
                why = "fails" if off is None else f"is off by {off:.2g}"
                yield f"{kind}: {ways.IN_WORDS[exact[0]]}, for {ways.IN_WORDS[usual]} {why} with this model"


class _Sample(NamedTuple):
    """Random sequences, and what the model says of each alone."""

    sequences: list[Tensor]  # [n] each
    states: list[Tensor]  # [n, D] each, before the head
    logits: list[Tensor]  # [n, V] each; of a classifier none


def prove(model: "PreTrainedModel", longest: int | None = None, kinds: Sequence[str] | None = None) -> Proof:
    """Find which ways are exact for a model, in float32, and remember them; dropout and autocast are off meanwhile.

    longest: tokens of the longest sequence that will be read; kinds: those of rows that will be (None: the usual ones).
    Raises ValueError for a model whose logits are made of its last states in a way that is not known here.
    """
    with torch.autocast(model.device.type, enabled=False):  # it may be asked for amid a batch
        found = _prove(_in_float32(model), longest, kinds or _usual(model))
    known = found.ways._replace(prove=partial(_prove_longer, weakref.ref(model), kinds))
    ways.remember(model, known)
    return found._replace(ways=known)


def inherit(model: "PreTrainedModel", other: "PreTrainedModel") -> "PreTrainedModel":
    """Return a model that computes as the other does, being of the same kind on the same weights: not tried anew."""
    known = ways.proven(other)
    again = None if known.prove is None else partial(_prove_longer, weakref.ref(model), None)
    ways.remember(model, known._replace(prove=again))
    return model


@torch.no_grad()
def _prove(model: "PreTrainedModel", longest: int | None, kinds: Sequence[str]) -> Proof:
    was_training = model.training
    model.eval()
    with reading.files(f"config.json (of {type(model).__name__}, which fails on one row of tokens)"):
        sample = _sample(model, longest or LONGEST)
    scale, cap = _logits_of_states(model, sample) if sample.logits else _kept(model)
    longest = max(map(len, sample.sequences))
    differences: dict[tuple[str, str], float | None] = {}
    by_kind: dict[str, tuple[str, ...]] = {}
    for kind in kinds:
        by_kind[kind] = _exact(model, CANDIDATES[kind], kind, differences, partial(_reading, model, sample, kind))
    none = [kind for kind, exact in by_kind.items() if not exact]
    if none:
        raise ValueError(
            f"{type(model).__name__}: what it says of a sequence of up to {longest} tokens depends on what it reads "
            f"beside or before it, even alone ({differences[none[0], ways.ALONE]} of its state); "
            f"{_shorter(model, longest)}adopt another base model (pretrain.path)"
        )
    ways.remember(model, Ways(longest, by_kind, (), scale, cap))
    decoders: tuple[str, ...] = ()
    if sample.logits:
        decoders = _exact(model, DECODERS, "decoding", differences, partial(_decoding, model, sample))
        if not decoders:
            raise ValueError(
                f"{type(model).__name__}: read token by token, up to {longest} of them, it says other than of the "
                f"whole ({differences['decoding', ways.FRESH]} of the largest logit): its positions change with the "
                f"length, or it reads in both directions; {_shorter(model, longest)}adopt another base model "
                "(pretrain.path)"
            )
        _keep_for_classifiers(model, sample, scale, cap)
    model.train(was_training)
    return Proof(Ways(longest, by_kind, decoders, scale, cap), differences)


def _prove_longer(model: "weakref.ref[PreTrainedModel]", kinds: Sequence[str] | None, longest: int) -> None:
    """Prove a model for sequences of so many tokens, or as many as it has positions for."""
    of = model()
    if of is not None:
        found = prove(of, longest, kinds).ways
        if found.longest < longest:  # it has no more positions: nothing longer can come
            ways.remember(of, found._replace(longest=longest))


def _in_float32(model: "PreTrainedModel") -> "PreTrainedModel":
    """Return a model of float32 weights: itself, or a copy of one that is only read (Runtime.frozen_dtype)."""
    if all(weight.dtype == torch.float32 for weight in model.parameters()):
        return model
    whole: Any = copy.deepcopy(model)  # transformers' wrapper of `float` hides its result
    return whole.float()


def _shorter(model: "PreTrainedModel", longest: int) -> str:
    context = ways.context_of(model)
    return f"use shorter ones (max_tokens up to {context}), or " if context and context < longest else ""


def _exact(
    model: "PreTrainedModel",
    candidates: Sequence[str],
    kind: str,
    differences: dict[tuple[str, str], float | None],
    difference_of: Callable[[str], float],
) -> tuple[str, ...]:
    """Return the first exact way; where that is ours, which has no dropout, and the model has some, another one too."""
    exact: list[str] = []
    for way in candidates:
        if way == ways.LEAN and not lean.supports(model):
            continue
        try:
            differences[kind, way] = off = difference_of(way)
        except Exception:  # noqa: BLE001 - a model's own code, which may raise anything of a mask or cache it cannot take
            differences[kind, way] = None
            continue
        if off <= (TOLERANCE_OF_LOGITS if kind == "decoding" else TOLERANCE):
            exact.append(way)
            if way != ways.LEAN or not lean.has_dropout(model):
                break
    return tuple(exact)


def _sample(model: "PreTrainedModel", longest: int) -> _Sample:
    """Return random sequences of up to `longest` tokens, or as many as the model has positions for."""
    context = ways.context_of(model) or longest
    for length in (longest, context, context - RESERVED):
        try:
            return _sample_of(model, max(length, LEAST + 2))
        except Exception:  # noqa: BLE001 - beyond its positions a model's code may raise anything
            if length < context or context >= longest:
                raise
    raise AssertionError


def _sample_of(model: "PreTrainedModel", longest: int) -> _Sample:
    config = model.config.get_text_config()
    special = {value for name, value in _numbers(config) if name.endswith(("token_id", "token_index"))}
    vocabulary = torch.tensor([token for token in range(config.vocab_size) if token not in special])
    generator = torch.Generator().manual_seed(0)
    sequences, states, logits = [], [], []
    for length in (LEAST, max(longest // 6, LEAST) + 1, longest):  # what a model keeps of a longer one is not in them
        chosen = vocabulary[torch.randint(len(vocabulary), (length,), generator=generator)].to(model.device)
        sequences.append(chosen)
        states.append(ways.before_head(model, input_ids=chosen[None])[0].float())
        if _is_causal(model):
            logits.append(model(input_ids=chosen[None], use_cache=False).logits[0].float())
    if any(one.ndim != 2 for one in [*states, *logits]):
        raise ValueError("it says several things of each token, not one")
    return _Sample(sequences[::-1], states[::-1], logits[::-1])


def _usual(model: "PreTrainedModel") -> tuple[str, str]:
    """Return the kinds of rows that nearly every stage reads with a causal model, or with a classifier."""
    return ("plain", "packed") if _is_causal(model) else ("plain", "forked")


def _is_causal(model: "PreTrainedModel") -> bool:
    return not hasattr(model, "score")


def _reading(model: "PreTrainedModel", sample: _Sample, kind: str, way: str) -> float:
    """Return the largest difference of a token's state, as a share of it (in length)."""
    rows, right = (_packed if kind == "packed" else _forked if kind == "forked" else _plain)(model, sample)
    return _difference(ways.read(model, rows, rows.segments > 0, way), right)


def _difference(found: Tensor, right: Tensor) -> float:
    off = ((found.float() - right).norm(dim=-1) / right.norm(dim=-1).clamp(min=1e-30)).amax().item()
    return off if math.isfinite(off) else float("inf")


def _plain(model: "PreTrainedModel", sample: _Sample) -> tuple[Rows, Tensor]:
    """Left-padded rows, the longest sequence first."""
    padded = batching.pad([sequence.tolist() for sequence in sample.sequences], 0, "left", str(model.device))
    rows = Rows(padded.ids, batching.position_ids(padded.mask), padded.mask.long(), "plain")
    return rows, torch.cat(sample.states)


def _packed(model: "PreTrainedModel", sample: _Sample) -> tuple[Rows, Tensor]:
    """One row of the two longer sequences, the longest behind the other, and one of the short one."""
    long, middle, short = sample.sequences
    examples = [[(one.tolist(), [True] * len(one)) for one in row] for row in ([middle, long], [short])]
    packed = batching.pack(examples, 0, str(model.device))
    right = torch.cat([sample.states[1], sample.states[0], sample.states[2]])
    return Rows(packed.ids, packed.position_ids, packed.segments, "packed"), right


def _forked(model: "PreTrainedModel", sample: _Sample) -> tuple[Rows, Tensor]:
    """Rows of a prompt with three and with two answers, and a short one."""
    long, middle, short = (one.tolist() for one in sample.sequences)
    begun, half = len(long) // 2, len(middle) // 2
    ends = [long[begun:], middle[:half][: len(long) - begun], short[: len(long) - begun]]
    groups = [[(long[:begun] + end, len(end)) for end in ends], [(short + end, len(end)) for end in ends[1:]]]
    groups[1] = [(ids[: len(long)], min(num, len(long) - len(short))) for ids, num in groups[1]]
    groups.append([(short[:-1], 3), ([*short[:-4], *middle[:2]], 2)])
    forked = batching.fork(groups, 0, str(model.device))
    right = []
    for group, start in zip(groups, (forked.segments == 1).sum(dim=1).tolist(), strict=True):
        for number, (ids, _) in enumerate(group):
            alone = ways.before_head(model, input_ids=torch.tensor([ids], device=model.device))[0].float()
            right.append(alone if number == 0 else alone[start:])
    return Rows(forked.ids, forked.position_ids, forked.segments, "forked"), torch.cat(right)


def _decoding(model: "PreTrainedModel", sample: _Sample, way: str) -> float:
    """Return the largest difference of log-probabilities, as a share of the largest logit: prompts are read, one of
    them twice, and continued as they go on; one row leaves on the way.
    """
    reader = decoding.of_way(model, way, NEW_TOKENS)
    prompts = [sequence[:-NEW_TOKENS].tolist() for sequence in sample.sequences]
    padded = batching.pad(prompts, 0, "left", str(model.device))
    owners = [0, 1, 2, 1]
    found = reader.read(padded.ids, padded.mask, batching.position_ids(padded.mask))
    worst = _worst(found, [sample.logits[row][len(prompts[row]) - 1] for row in range(3)])
    reader.choose(torch.tensor(owners, device=model.device))
    for step in range(NEW_TOKENS):
        if step == NEW_TOKENS // 2:
            reader.choose(torch.tensor([0, 2, 3], device=model.device))
            owners = [owners[row] for row in (0, 2, 3)]
        places = [len(prompts[row]) + step for row in owners]
        ids = torch.stack([sample.sequences[row][place] for row, place in zip(owners, places, strict=True)])
        right = [sample.logits[row][place] for row, place in zip(owners, places, strict=True)]
        worst = max(worst, _worst(reader.step(ids), right))
    return worst


def _worst(found: Tensor, right: list[Tensor]) -> float:
    expected = torch.stack(right)
    off = (found.float().log_softmax(-1) - expected.log_softmax(-1)).abs().amax().item()
    return off / max(1.0, expected.abs().amax().item()) if math.isfinite(off) else float("inf")


def _logits_of_states(model: "PreTrainedModel", sample: _Sample) -> tuple[float, float | None]:
    """Return scale and cap by which a model makes logits of what its output layer gives; numbers of its config are
    tried for a cap, whatever they are called, and what fits is it. Raises ValueError where nothing does.
    """
    layer: Any = model.get_output_embeddings()
    plain = logprobs.logits(sample.states[0], logprobs.Head(layer.weight, layer.bias)).double()
    right = sample.logits[0].double()
    tolerance = TOLERANCE * max(1.0, right.abs().amax().item())
    numbers = [value for _, value in _numbers(model.config.get_text_config()) if value > 0]
    largest = right.abs().amax().item()
    for cap in (None, *(number for number in numbers if largest < number < 1e4)):
        before = right if cap is None else cap * torch.atanh(right / cap)
        inside = before.isfinite() & (before.abs() < 3 * (cap or float("inf")))
        scale = ((before * plain)[inside].sum() / plain.square()[inside].sum()).item()
        for tried in (*_near(scale, numbers), scale):
            made = plain * tried if cap is None else cap * torch.tanh(plain * tried / cap)
            if (made - right).abs().amax() <= tolerance:
                return tried, cap
    raise ValueError(
        f"{type(model).__name__} makes logits of its last states in a way that is not known here (not by its output "
        "layer, a scale and a cap); adopt another base model (pretrain.path)"
    )


def _near(scale: float, numbers: Sequence[float]) -> Iterator[float]:
    """Yield exact values that a fitted scale may stand for: 1, a number of the config, or one over it."""
    for exact in (1.0, *numbers, *(1 / number for number in numbers)):
        if abs(exact / scale - 1) < 1e-4:
            yield exact


def _numbers(config: Any) -> list[tuple[str, float]]:
    """Return all numbers of a config, with their names."""
    own = config.to_dict().items()
    return [(name, value) for name, value in own if isinstance(value, int | float) and not isinstance(value, bool)]


def _keep_for_classifiers(model: "PreTrainedModel", sample: _Sample, scale: float, cap: float | None) -> None:
    """Write into the config how a classifier on the same backbone makes logits of its states, where that is not plain;
    null where it cannot.
    """
    said = model.base_model(input_ids=sample.sequences[0][None], use_cache=False)
    states: Any = getattr(said, "last_hidden_state", sample.states[0][None, :0])[0].float()
    known: list[float | None] | None = None
    if states.shape == sample.states[0].shape:
        factor = ((states * sample.states[0]).sum() / states.square().sum()).item()
        factor = 1.0 if abs(factor - 1) < TOLERANCE else factor
        if _difference(states * factor, sample.states[0]) <= TOLERANCE:
            known = [scale * factor, cap]
    if known != [1.0, None]:
        model.config.proven_logits = known


def _kept(model: "PreTrainedModel") -> tuple[float, float | None]:
    """Return scale and cap of a classifier's backbone, as a language model: its base's proof has written them."""
    scale, cap = getattr(model.config, "proven_logits", None) or (1.0, None)
    return scale, cap

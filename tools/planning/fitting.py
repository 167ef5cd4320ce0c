"""Which params ask for more memory than there is, and the nearest ones that do not."""

from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any, NamedTuple

from rlhf.models.shapes import SHAPES
from rlhf.params.optimisation import ALL_LINEAR, Lora
from tools.planning import sizes as all_sizes
from tools.planning import whole
from tools.planning.rows import Known
from tools.planning.sizes import Dimensions
from tools.planning.terms import Held, sharded

KEYS = {  # of each stage: keys that take less where they are smaller, and the least that they may be
    "pretrain": {"pretrain.batch_size": 1, "pretrain.sequence_tokens": 8},
    "sft": {"sft.micro_batch_rows": 1, "sft.max_tokens": 8},
    "collect_answers": {"collect_answers.batch_size": 1, "collect_answers.max_completion_tokens": 1},
    "reward_model": {"reward_model.micro_batch_rows": 2, "reward_model.max_tokens": 8},
    "ppo": {"ppo.micro_batch_size": 1, "ppo.batch_size": 1, "ppo.max_completion_tokens": 1},
    "feedme": {"feedme.micro_batch_rows": 1, "feedme.max_tokens": 8},
    "rejection": {
        "rejection.micro_batch_rows": 1, "rejection.max_tokens": 8, "rejection.sampling_batch_size": 1,
        "rejection.max_completion_tokens": 1,
    },
    "dpo": {"dpo.micro_batch_rows": 2, "dpo.max_tokens": 8},
    "judge": {"judge.micro_batch_rows": 2, "judge.max_tokens": 8},
    "evaluate": {"evaluate.batch_size": 1, "evaluate.max_completion_tokens": 1},
}  # fmt: skip
MULTIPLES = {"ppo.batch_size": "minibatch_size"}  # of another key
ADAPTED = ("sft", "reward_model", "ppo", "feedme", "rejection", "dpo", "judge")  # stages whose params have `lora`
RANK = 8  # of the adapters that are proposed
WHOLE = ("collect_answers", "evaluate")  # stages whose models every process holds whole
MOST_RANKS = 4096


class Room(NamedTuple):
    """What there is, and how models lie in it."""

    bytes: float  # of a process
    ranks: int = 1
    sharded: bool = False


class Misfit(NamedTuple):
    stage: str
    needs: float  # bytes
    remedies: list[str]  # each alone makes it fit, the nearest first

    def lines(self, room: Room) -> Iterator[str]:
        gb, there = f"{self.needs / 1e9:.3g}", f"{room.bytes / 1e9:.3g}"
        said = "each of these alone is enough:" if self.remedies else "nothing that was tried is enough:"
        yield f"does not fit: {self.stage} needs {gb} GB a process, {there} are there; {said}"
        for remedy in self.remedies or ("take a smaller model",):
            yield f"  {remedy}"


def misfits(params: Any, model: Dimensions, known: Known, room: Room) -> list[Misfit]:
    """Return the stages that do not fit, each with what makes it fit."""

    def plans(changed: Any) -> dict[str, Held]:
        return held(changed, model, known, room)

    found = plans(params)
    return [
        Misfit(stage, one.total, [*remedies(params, model, known, room, stage)])
        for stage, one in found.items()
        if one.total > room.bytes
    ]


def held(params: Any, model: Dimensions, known: Known, room: Room) -> dict[str, Held]:
    """Return what a process of each stage holds, in shards where the room has it so."""
    found = whole.of_known(params, model, known).held
    if not room.sharded:
        return found
    return {name: one if name in WHOLE else sharded(one, model, room.ranks) for name, one in found.items()}


def remedies(params: Any, model: Dimensions, known: Known, room: Room, stage: str) -> Iterator[str]:
    """Yield what makes a stage fit: one key made smaller, one switch, several; more ranks, a smaller shape."""

    def fits(new: Any) -> bool:
        return held(new, model, known, room)[stage].total <= room.bytes

    found = [*_keys(params, stage, fits)]
    chosen = switches(params, stage)
    found += [name for name, change in chosen.items() if fits(change(params))]
    yield from found or _together(params, stage, fits, chosen)
    if (ranks := fewest_ranks(params, model, known, room, stage)) is not None:
        yield f"runtime.sharding: fsdp2 and {ranks} processes, one a GPU (--gpus {ranks} --sharded)"
    yield from _shapes(params, known, room, stage)


def _keys(params: Any, stage: str, fits: Callable[[Any], bool]) -> Iterator[str]:
    for key, least in KEYS[stage].items():
        if (value := nearest(params, key, least, fits)) is not None:
            yield f"{key}: {value} (now {value_of(params, key)})"


def _together(
    params: Any, stage: str, fits: Callable[[Any], bool], chosen: dict[str, Callable[[Any], Any]]
) -> Iterator[str]:
    """Yield the fewest switches that suffice, and fewer of them with one key where these do."""

    def turned(names: tuple[str, ...]) -> Any:
        new = params
        for name in names:
            new = chosen[name](new)
        return new

    with_keys = list[str]()
    for size in range(1, 1 + len(chosen)):
        several = [*combinations(chosen, size)]
        if alone := [names for names in several if fits(turned(names))]:
            yield from (" and ".join(names) for names in alone)
            break
        if not with_keys:
            with_keys = [" and ".join([*names, key]) for names in several for key in _keys(turned(names), stage, fits)]
    yield from with_keys


def value_of(params: Any, key: str) -> Any:
    section, name = key.split(".")
    return getattr(getattr(params, section), name)


def changed(params: Any, key: str, value: Any) -> Any:
    """Return the params with another value; they are not checked again."""
    section, name = key.split(".")
    return params.model_copy(update={section: getattr(params, section).model_copy(update={name: value})})


def nearest(params: Any, key: str, least: int, fits: Callable[[Any], bool]) -> int | None:
    """Return the largest value below the present one that fits; None where there is none, or no such key."""
    section, _, name = key.partition(".")
    if not hasattr(getattr(params, section), name):
        return None
    step = getattr(getattr(params, section), MULTIPLES[key]) if key in MULTIPLES else 1
    low, high = -(-least // step), (value_of(params, key) - 1) // step  # in steps
    if high < low or not fits(changed(params, key, low * step)):
        return None
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(changed(params, key, middle * step)) else (low, middle - 1)
    return low * step


def switches(params: Any, stage: str) -> dict[str, Callable[[Any], Any]]:
    """Return the changes, by what is written, that make a stage hold less and are not made yet."""
    found: dict[str, Callable[[Any], Any]] = {}
    learns = stage not in ("collect_answers", "evaluate")
    if learns and not params.runtime.gradient_checkpointing:
        found["runtime.gradient_checkpointing: true"] = lambda old: changed(old, "runtime.gradient_checkpointing", True)
    if params.runtime.dtype == "bfloat16" and params.runtime.frozen_dtype != "bfloat16":
        found["runtime.frozen_dtype: bfloat16"] = lambda old: changed(old, "runtime.frozen_dtype", "bfloat16")
    if stage in ADAPTED and getattr(params, stage).lora is None:
        lora = Lora(rank=RANK, alpha=2.0 * RANK, dropout=0.0, target_modules=ALL_LINEAR, save="merged")
        more = ", ppo.share_backbone: true" if stage == "ppo" else ""

        def adapted(old: Any) -> Any:
            new = changed(old, f"{stage}.lora", lora)
            return changed(new, "ppo.share_backbone", True) if more else new

        found[f"{stage}.lora of rank {RANK}{more}"] = adapted
    return found


def fewest_ranks(params: Any, model: Dimensions, known: Known, room: Room, stage: str) -> int | None:
    """Return the fewest processes among which a stage fits in shards; None where no number helps."""
    ranks = 2 * room.ranks if room.sharded else max(2, room.ranks)
    while ranks <= MOST_RANKS:
        asked = changed(params, "runtime.processes", ranks)
        if held(asked, model, known, Room(room.bytes, ranks, True))[stage].total <= room.bytes:
            return ranks
        ranks *= 2
    return None


def _shapes(params: Any, known: Known, room: Room, stage: str) -> Iterator[str]:
    if params.pretrain.source != "scratch":
        return
    vocab, present = params.pretrain.vocab_size, all_sizes.of_shape(params.pretrain.shape, params.pretrain.vocab_size)
    smaller = {name: all_sizes.of_shape(name, vocab) for name in SHAPES}
    order = sorted(smaller, key=lambda name: -smaller[name].policy())
    for name in order:
        less = smaller[name].policy() < present.policy()
        if less and held(params, smaller[name], known, room)[stage].total <= room.bytes:
            yield f"pretrain.shape: {name} ({smaller[name].policy() / 1e6:.3g} million weights)"
            return

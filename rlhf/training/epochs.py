"""Epochs of updates on examples, and which epoch's weights are kept: what fine-tuning and DPO do alike."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, Literal, NamedTuple, Protocol, TypeVar

from rlhf.models.sharded import putting
from rlhf.params.optimisation import Optimisation
from rlhf.params.runtime import Runtime
from rlhf.runs import checkpoints
from rlhf.runtime import failures, seeds
from rlhf.tokens import batching
from rlhf.training import optimisation
from rlhf.training.optimisation import MicroBatchLoss

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Schedule(Protocol):
    """The params that say how often examples are learned from."""

    @property
    def epochs(self) -> int: ...

    @property
    def batch_size(self) -> int: ...

    @property
    def select(self) -> Literal["best_validation", "last"]: ...

    @property
    def optimisation(self) -> Optimisation: ...


class Recorded(Protocol):
    """An example that knows the record of which it is made."""

    @property
    def record(self) -> str: ...


Example = TypeVar("Example", bound=Recorded)


class Learning(NamedTuple, Generic[Example]):
    """What a stage makes of its examples."""

    losses: Callable[[list[Example]], Iterable[Callable[[], MicroBatchLoss]]]  # of a batch, in parts
    describe: Callable[[Mapping[str, float]], dict[str, float]]  # of a batch's measures, for its point
    validate: Callable[[], dict[str, float]]  # `validation_loss` and others; {} where nothing is held out
    parts: Mapping[str, Any] = {}  # of the state, beside the model's


def count_steps(num_examples: int, params: Schedule) -> int:
    """Return the number of updates."""
    return params.epochs * -(-num_examples // params.batch_size)


def train(
    model: "PreTrainedModel",
    examples: Sequence[Example],
    learning: Learning[Example],
    params: Schedule,
    runtime: Runtime,
    seed: int,
    states: checkpoints.States,
) -> Iterator[dict]:
    """Train in place; yield a point an update, with what is validated where an epoch ends.

    The model ends in eval mode, with the weights of the epoch that `params.select` names.
    """
    putting.put(model, runtime)
    optimiser = optimisation.adamw(model, params.optimisation)
    num_steps = count_steps(len(examples), params)
    order = batching.epochs(len(examples), params.batch_size, params.epochs, seeds.derive(seed, "order"))
    best: dict[str, Any] = {"loss": float("inf"), "weights": None}
    model.train()
    parts = {"weights": model, "optimiser": optimiser, "best": best, **learning.parts}
    states.restore(parts)
    yield from states.points
    for step, chosen in islice(enumerate(order), len(states.points), None):
        rate = optimisation.set_learning_rate(optimiser, params.optimisation, step, num_steps)
        batch = [examples[index] for index in chosen]
        with failures.at_step(step + 1, [example.record for example in batch]):
            update = optimisation.step(model, optimiser, learning.losses(batch), params.optimisation.max_grad_norm)
        point = {"step": step + 1, "loss": update.loss} | learning.describe(update.measures)
        point |= {"learning_rate": rate, "grad_norm": update.grad_norm}
        if (step + 1) % (num_steps // params.epochs) == 0:
            point |= learning.validate()
            if params.select == "best_validation" and point.get("validation_loss", best["loss"]) < best["loss"]:
                copied = {name: weight.clone() for name, weight in checkpoints.weights(model).items()}
                best.update(loss=point["validation_loss"], weights=copied)
        states.keep(point, parts, last=step + 1 == num_steps)
        yield point
    if best["weights"] is not None:
        checkpoints.load_weights(model, best["weights"])
    model.eval()


def kept(curve: Sequence[Mapping[str, float]], params: Schedule) -> dict[str, float]:
    """Return which epoch's weights the model has, and what was validated of it."""
    ends = [point for point in curve if "validation_loss" in point]
    losses = [point["validation_loss"] for point in ends]
    number = losses.index(min(losses)) if params.select == "best_validation" else len(ends) - 1
    found = {name: value for name, value in ends[number].items() if name.startswith("validation_")}
    return {"kept_epoch": number + 1} | found

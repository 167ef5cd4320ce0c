"""From comparisons to a trained, normalised and measured reward model: what `reward_model` and `judge` do alike."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeVar

import torch

from rlhf.models import folders, loading, placement, reading, reward_head, weights
from rlhf.models.reward_head import RewardMeaning
from rlhf.models.sharded import putting
from rlhf.params.base import place_of
from rlhf.params.optimisation import Lora
from rlhf.params.reward_model import RewardModel
from rlhf.params.runtime import Runtime
from rlhf.preferences import preference_losses, publishing, reward_accuracy, rewards
from rlhf.records import records
from rlhf.records.types import Comparison, Demonstration
from rlhf.runs import checkpoints
from rlhf.runtime import failures, outputs, parallel, seeds
from rlhf.runtime.files import new_folder
from rlhf.tokens import batching, chat
from rlhf.training import optimisation
from rlhf.training.context import StageContext
from rlhf.training.optimisation import MicroBatchLoss

if TYPE_CHECKING:
    from transformers import PreTrainedModel

DEMONSTRATIONS = "data/collect_prompts/demonstrations.train.jsonl"


EXAMPLES = 3  # answers with their scores on the card


class Group(NamedTuple):
    """All that is known of one prompt's answers; they stay together in one batch (Ouyang et al. 2022, 3.5)."""

    record: str  # the comparison's id
    rows: list[rewards.Sequence]  # K rows, prompt and answer
    pairs: list[tuple[int, int]]  # (better, worse) of every labeler, ties dropped
    targets: list[float]  # K mean labelers' scores in [0, 1], for direct scores; [] where labelers gave ranks only


def fit(
    training: Sequence[Comparison], held_out: Sequence[Comparison], params: RewardModel, context: StageContext
) -> None:
    """Train a reward model, normalise it, save its folder and measure it; write the stage's curves and metrics.

    Raises ValueError where held-out comparisons order no two answers: there would be nothing to measure by.
    """
    root, runtime, name = context.root, context.runtime, context.name
    if not any(records.pairs(label["ranks"]) for comparison in held_out for label in comparison["labels"]):
        raise ValueError(
            f"no labeler ranked two answers apart in the {len(held_out)} held-out comparisons: add comparisons, or "
            "where people rank have more prompts ranked (make label)"
        )
    generator = torch.Generator().manual_seed(seeds.derive(context.seed, "head"))
    model, tokenizer = start(root, params, runtime, generator)
    for line in folders.ignored(backbone_of(root, params), params.encoder_revision):
        context.run.say(line)
    context.rates_of(model)
    encoded = encode(tokenizer, training[: params.max_comparisons], params)
    groups = encoded.groups
    if encoded.num_too_long:
        context.run.say(encoded.in_words(params))
    texts = [chat.texts_of(record["messages"], *record["responses"]) for record in [*training, *held_out]]
    typed = context.typed_markers(tokenizer, texts)
    typed |= context.changed_turns(tokenizer, (record["messages"] for record in [*training, *held_out]))
    num_steps = count_steps(groups, params)
    if params.lora is not None:
        seed = seeds.derive(context.seed, "lora")
        loading.attach(model, params.lora, seed, params.max_tokens, context.run.say)
    points = train(model, groups, params, runtime, context.seed, context.states)
    curve = list(context.followed(points, num_steps, ["loss", "accuracy"]))
    save(model, tokenizer, context.out, meaning_of(params), params.lora, backbone_of(root, params))
    scorer = normalise(model, context, training, params)
    metrics, bins = reward_accuracy.measure(scorer, training, held_out)
    publish(context, scorer, held_out[0], metrics, params)
    metrics |= {"training_prompts": len(groups)} | encoded.metrics() | typed
    outputs.write_curve(root, name, outputs.thinned(curve))
    outputs.write_curve(root, f"{name}/calibration" if context.round_name is None else f"{name}_calibration", bins)
    context.conclude(metrics)


def inputs(root: Path, params: RewardModel) -> list[Path]:
    """Return what training reads beside comparisons: the backbone, its tokenizer, what scores 0 on average."""
    tokenizer = [root / "data/sft"] if params.backbone == "base" else []
    return [backbone_of(root, params), *tokenizer, root / DEMONSTRATIONS]


def start(
    root: Path, params: RewardModel, runtime: Runtime, generator: torch.Generator
) -> tuple["PreTrainedModel", Any]:
    """Return the untrained reward model and its tokenizer.

    Raises ValueError for a model that cannot be read, and for a tokenizer that does not fit it or lacks its markers.
    """
    backbone, commit = backbone_of(root, params), params.encoder_revision
    tokenizer = loading.read_tokenizer(root / "data/sft" if params.backbone == "base" else backbone, commit)
    model = reward_head.new_reward_model(backbone, runtime, generator, commit, params.max_tokens)
    with reading.folder(backbone):
        weights.check_vocabulary(model, tokenizer)
        chat.check(tokenizer)
        if tokenizer.pad_token_id is None:
            raise ValueError("tokenizer_config.json: no PAD token; set pad_token")
    model.config.pad_token_id = tokenizer.pad_token_id
    return model, tokenizer


def backbone_of(root: Path, params: RewardModel) -> Path:
    """Return the folder that training starts from, or the hub id of an encoder."""
    if params.encoder_path is not None:
        place = place_of(params.encoder_path, root)
        return place if place.is_dir() else Path(params.encoder_path)
    return root / {"sft": "data/sft", "base": "data/pretrain"}[params.backbone]


def meaning_of(params: RewardModel) -> RewardMeaning:
    """Return how raw rewards are read and activated, before shift and gain are known."""
    activation = "sigmoid" if params.loss == "direct" else "identity"
    return RewardMeaning(params.pooling, params.likelihood_coef, activation)


def save(
    model: "PreTrainedModel",
    tokenizer: Any,
    out: Path,
    meaning: RewardMeaning,
    lora: Lora | None = None,
    base: Path | None = None,
) -> None:
    """Write the folder, and into its config what a score means; `lora` and `base` as in `loading.save`."""
    meaning.write_into(model.config)
    with new_folder(out) as folder:
        loading.save(model, tokenizer, folder, lora, base)


def normalise(
    model: "PreTrainedModel", context: StageContext, training: Sequence[Comparison], params: RewardModel
) -> rewards.RewardScorer:
    """Write into the folder's config the shift that makes demonstrations score 0 on average, and the gain.

    Ouyang et al. 2022, App. C.2 (shift); Ziegler et al. 2019 (unit standard deviation, here over training answers).
    Returns the scorer of the model in memory, whose weights are the folder's.
    """
    scorer = rewards.RewardScorer(context.out, context.runtime, model)
    demonstrations = records.read(context.root / DEMONSTRATIONS, Demonstration)
    raw = scorer.score_texts(
        [record["messages"] for record in demonstrations], [record["response"] for record in demonstrations]
    )
    shift, gain = sum(raw) / len(raw), 1.0
    if params.unit_std:
        spread = torch.tensor(reward_accuracy.score_comparisons(scorer, training[:500])[1]).std().item()
        gain = 1.0 / max(spread, 1e-6)
    meaning = meaning_of(params)._replace(shift=shift, gain=gain)
    save(model, scorer.tokenizer, context.out, meaning, params.lora, backbone_of(context.root, params))
    return scorer


def publish(
    context: StageContext, scorer: rewards.RewardScorer, shown: Comparison, metrics: dict[str, Any], params: RewardModel
) -> None:
    """Write the folder as others read it, with its scorer and its card, which shows answers of a comparison.

    An adapter alone is none that others can read: it stays as it was saved, and that is said.
    """
    if params.lora is not None and params.lora.save == "adapter":
        context.run.say(
            "saved as an adapter on its backbone's folder: plain transformers does not read it as a reward model; "
            "python -m tools.score does, and save: merged writes a folder that others read"
        )
        return
    answers = shown["responses"][:EXAMPLES]
    scores = scorer.score_texts([shown["messages"]] * len(answers), answers)
    meaning = RewardMeaning.of(scorer.model.config)
    published = publishing.publish(scorer.model, scorer.tokenizer, context.out, meaning)
    if published.why_not_plain is not None:
        context.run.say(f"plain transformers refuses the folder, for {published.why_not_plain}; its scorer.py reads it")
    prompt = shown["messages"][-1]["content"]
    examples = [*zip(answers, scores, strict=True)]
    publishing.write_card(context.out, published, publishing.Known(metrics, params.max_tokens, prompt, examples))


class Reading(Protocol):
    """The params that say how comparisons are read: a reward model's, or those of DPO."""

    @property
    def loss(self) -> Literal["rank", "direct"]: ...

    @property
    def max_tokens(self) -> int: ...

    @property
    def too_long(self) -> Literal["leave_out", "cut"] | None: ...


class Encoded(NamedTuple):
    """Comparisons as token rows, and what became of those that are too long."""

    groups: list[Group]
    num_too_long: int  # comparisons with a row of more than max_tokens: left out, or cut
    num_equal_pairs: int  # pairs left out since cutting made their answers' rows equal

    def metrics(self) -> dict[str, int]:
        """Return the counts; none where nothing was too long."""
        return {"too_long": self.num_too_long, "equal_pairs": self.num_equal_pairs} if self.num_too_long else {}

    def in_words(self, params: Reading) -> str:
        """Say what was left out or cut, and by which key."""
        done = "left out"
        if params.too_long == "cut":
            done = f"cut, their oldest tokens first, and {self.num_equal_pairs} pairs, equal by it, are left out"
        return f"{self.num_too_long} comparisons with more than max_tokens {params.max_tokens} are {done} (too_long)"


def encode(tokenizer: Any, comparisons: Sequence[Comparison], params: Reading) -> Encoded:
    """Return comparisons as groups of token rows. Raises ValueError where the loss finds nothing to learn from."""
    groups, too_long, equal = [], 0, 0
    for comparison in comparisons:
        rows = [
            rewards.sequence(tokenizer, comparison["messages"], response, None) for response in comparison["responses"]
        ]
        pairs = [pair for label in comparison["labels"] for pair in records.pairs(label["ranks"])]
        if any(len(row.ids) > params.max_tokens for row in rows):
            too_long += 1
            if params.too_long != "cut":
                continue
            rows = [
                rewards.sequence(tokenizer, comparison["messages"], response, params.max_tokens)
                for response in comparison["responses"]
            ]
            apart = [(better, worse) for better, worse in pairs if rows[better].ids != rows[worse].ids]
            equal, pairs = equal + len(pairs) - len(apart), apart
        targets = unit_scores(comparison) if params.loss == "direct" else []
        groups.append(Group(comparison["id"], rows, pairs, targets))
    kept = [group for group in groups if (group.pairs if params.loss == "rank" else group.targets)]
    if not kept:
        needed = "two answers that a labeler ranked apart" if params.loss == "rank" else "labelers' scores"
        of_those = f" among those of at most {params.max_tokens} tokens (max_tokens, too_long)" if too_long else ""
        raise ValueError(
            f"no comparison{of_those} has {needed}; the '{params.loss}' loss cannot be trained on this data"
        )
    return Encoded(kept, too_long, equal)


def unit_scores(comparison: Comparison) -> list[float]:
    """Return each response's mean score over its labelers, from their scale to [0, 1]; [] where a labeler gave none.

    Raises ValueError where a scale is not known, or labelers of one comparison used different ones.
    """
    scored = [(label["scores"], label["scale"]) for label in comparison["labels"]]
    if not all(scores for scores, _ in scored):
        return []
    scales = {None if scale is None else tuple(scale) for _, scale in scored}
    if len(scales) > 1 or None in scales:
        raise ValueError(
            f"comparison '{comparison['id']}': direct scores need the one scale that its labelers used, got "
            f"{sorted(scales, key=str)}; set collect_prompts.sources, scale: {{low: ..., high: ...}} of source "
            f"'{comparison['source']}', or reward_model.loss to 'rank'"
        )
    (scale,) = scales
    assert scale is not None
    low, high = scale
    means = [sum(scores) / len(scored) for scores in zip(*(scores for scores, _ in scored), strict=True)]
    return [(mean - low) / (high - low) for mean in means]


class Elements(NamedTuple):
    """What a batch is made of: a prompt with all its pairs, or one pair; and how many make a batch."""

    groups: list[Group]
    batch_size: int


def elements(groups: list[Group], params: RewardModel) -> Elements:
    """Return the elements. Of shuffled pairs a batch has as many as `batch_size` prompts have on average."""
    if params.pairs == "grouped":
        return Elements(groups, params.batch_size)
    apart = [
        Group(group.record, [group.rows[better], group.rows[worse]], [(0, 1)], [])
        for group in groups
        for better, worse in group.pairs
    ]
    return Elements(apart, max(1, round(params.batch_size * len(apart) / len(groups))))


def count_steps(groups: list[Group], params: RewardModel) -> int:
    """Return the number of updates."""
    made = elements(groups, params)
    return params.epochs * -(-len(made.groups) // made.batch_size)


def train(
    model: "PreTrainedModel",
    groups: list[Group],
    params: RewardModel,
    runtime: Runtime,
    seed: int,
    states: checkpoints.States = checkpoints.NONE,
) -> Iterator[dict]:
    """Train in place, one point an update: loss, and accuracy on the batch's own pairs before the update."""
    putting.put(model, runtime)
    optimiser = optimisation.adamw(model, params.optimisation)
    num_steps = count_steps(groups, params)
    groups, batch_size = elements(groups, params)
    order = batching.epochs(len(groups), batch_size, params.epochs, seeds.derive(seed, "order"))
    torch.manual_seed(seeds.derive(seed, "dropout"))  # LoRA's
    model.train()
    placement.recompute(model, runtime)
    parts = {"weights": model, "optimiser": optimiser, "dropout": torch.default_generator}
    states.restore(parts)
    yield from states.points
    for step, chosen in islice(enumerate(order), len(states.points), None):
        rate = optimisation.set_learning_rate(optimiser, params.optimisation, step, num_steps)
        batch = [groups[index] for index in chosen]
        with failures.at_step(step + 1, [group.record for group in batch]):
            losses = micro_batch_losses(model, batch, params, runtime)
            update = optimisation.step(model, optimiser, losses, params.optimisation.max_grad_norm)
        accuracy = update.measures["right"] / update.measures["pairs"] if update.measures["pairs"] else 0.5
        point = {"step": step + 1, "loss": update.loss, "accuracy": accuracy}
        point |= {"learning_rate": rate, "grad_norm": update.grad_norm}
        states.keep(point, parts, last=step + 1 == num_steps)
        yield point
    model.eval()


def micro_batch_losses(
    model: "PreTrainedModel", batch: list[Group], params: RewardModel, runtime: Runtime
) -> Iterator[Callable[[], MicroBatchLoss]]:
    """Yield the parts of the batch's loss, with how many pairs each has and how many it orders as the labelers did."""
    meaning = meaning_of(params)

    def loss_of(groups: list[Group]) -> MicroBatchLoss:
        with placement.precision(runtime):
            scores = rewards.group_scores(model, [group.rows for group in groups], meaning, runtime)  # [N]
        better, worse, pair_weights, targets, answer_weights = [], [], [], [], []
        start = 0
        for group in groups:
            better += [start + first for first, _ in group.pairs]
            worse += [start + second for _, second in group.pairs]
            pair_weights += [1 / len(group.pairs) / len(batch) for _ in group.pairs]
            targets += group.targets
            answer_weights += [1 / len(group.rows) / len(batch)] * len(group.targets)
            start += len(group.rows)
        tensor = partial(torch.tensor, device=scores.device)
        if params.loss == "rank":
            loss = preference_losses.grouped_pairs(scores, tensor(better), tensor(worse), tensor(pair_weights))
        else:
            loss = preference_losses.direct_scores(scores, tensor(targets), tensor(answer_weights))
        right = int((scores[better] > scores[worse]).sum()) if better else 0
        return MicroBatchLoss(loss, {"right": right, "pairs": len(better)})

    num_rows = sum(len(group.rows) for group in batch)
    for groups in micro_batches(batch, parallel.part_size(num_rows, params.micro_batch_rows)):
        yield partial(loss_of, groups)


class _WithRows(Protocol):
    @property
    def rows(self) -> list[rewards.Sequence]: ...


Some = TypeVar("Some", bound=_WithRows)


def micro_batches(groups: Sequence[Some], most_rows: int) -> Iterator[list[Some]]:
    """Yield the groups in parts of at most so many rows; one that has more is a part by itself."""
    waiting: list[Some] = []
    for group in groups:
        if waiting and sum(len(other.rows) for other in waiting) + len(group.rows) > most_rows:
            yield waiting
            waiting = []
        waiting.append(group)
    if waiting:
        yield waiting

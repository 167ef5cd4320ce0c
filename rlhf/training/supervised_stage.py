"""One fine-tuned policy from demonstrations to a saved folder: what `sft` and `feedme` do alike."""

from pathlib import Path

from rlhf.models import loading
from rlhf.params.runtime import Runtime
from rlhf.params.supervised import Supervised
from rlhf.runs import checkpoints
from rlhf.runtime import outputs, seeds
from rlhf.runtime.files import new_folder
from rlhf.training import supervised


def fit(
    root: Path,
    stage: str,
    model,
    tokenizer,
    training: list[dict],
    held_out: list[dict],
    params: Supervised,
    runtime: Runtime,
    seed: int,
    states: checkpoints.States,
    run,
) -> dict:
    """Fine-tune on demonstrations, save data/<stage>, write the curve; returns the stage's metrics."""
    train = supervised.encode(tokenizer, training, params.max_tokens)
    validation = supervised.encode(tokenizer, held_out, params.max_tokens)
    num_steps = supervised.count_steps(len(train.examples), params)
    curve = []
    for point in supervised.train(
        model,
        tokenizer.pad_token_id,
        train.examples,
        validation.examples,
        params,
        runtime,
        seeds.derive(seed, stage),
        states,
    ):
        curve.append(point)
        run.log_metrics(point, step=point["step"])
        run.progress(point["step"], num_steps, {"loss": point["loss"]})
    losses = [point["validation_loss"] for point in curve if "validation_loss" in point]
    kept = losses.index(min(losses)) if params.select == "best_validation" else len(losses) - 1
    loading.set_dropout(model.config, 0.0)
    with new_folder(root / "data" / stage) as folder:
        loading.save(model, tokenizer, folder)
    outputs.write_curve(root, stage, outputs.thinned(curve))
    return {
        "validation_loss": losses[kept],
        "kept_epoch": kept + 1,
        "demonstrations": len(train.examples),
        "too_long": train.num_too_long,
    }

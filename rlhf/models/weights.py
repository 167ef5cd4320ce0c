"""Whether what a folder holds is the model that its config names: every weight there, none left over, all finite."""

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedModel

OLD_CONSTANTS = ("masked_bias", "position_ids", "inv_freq")  # no weights: older versions of transformers saved them
SHOWN = 6
MOST_ROWS_A_TOKEN, SPARE_ROWS = 2, 1000  # of embeddings; real models have a few more than tokens


def check(model: "PreTrainedModel", found: Mapping[str, Collection[Any]], new_head: bool) -> list[str]:
    """Return the names of weights that belong to another head than the model's, and were not read.

    `found`: what transformers says of reading them: missing_keys, unexpected_keys, mismatched_keys (name and two
    shapes). `new_head`: the head is new, so that it alone may be missing, or be of another shape. Tied weights and
    constants that an architecture computes are not missing: transformers knows them.
    Raises ValueError naming what is missing, left over, of another shape, or not finite.
    """
    missing = [name for name in found["missing_keys"] if not (new_head and _is_of_a_head(model, name))]
    refuse(missing, "weights are missing that config.json names (they would be drawn at random)")
    wrong = [
        f"{name} {list(have)} for {list(wanted)}"
        for name, have, wanted in found["mismatched_keys"]
        if not (new_head and _is_of_a_head(model, name))
    ]
    refuse(wrong, "weights have another size (shape) than config.json names")
    unexpected = [name for name in found["unexpected_keys"] if not name.endswith(OLD_CONSTANTS)]
    refuse([name for name in unexpected if _is_of(model, name)], "there are weights that config.json does not name")
    broken = {name for name, weight in model.state_dict().items() if not bool(weight.isfinite().all())}
    drawn = broken & set(found["missing_keys"])
    refuse(broken - drawn, "model.safetensors: weights are not finite (NaN or infinity)")
    refuse(drawn, "config.json: initializer_range: weights that are drawn anew are not finite (NaN or infinity)")
    return [name for name in unexpected if not _is_of(model, name)]


def check_vocabulary(model: "PreTrainedModel", tokenizer: Any) -> None:
    """Raise ValueError where the tokenizer makes ids for which the model has no embedding."""
    embeddings: Any = model.get_input_embeddings()  # declared as any module
    rows = embeddings.num_embeddings
    beyond = [token for token, number in tokenizer.get_vocab().items() if number >= rows]
    refuse(beyond, f"tokenizer.json: it has tokens beyond the model's {rows} embeddings (resize_token_embeddings)")
    if rows > MOST_ROWS_A_TOKEN * len(tokenizer) + SPARE_ROWS:
        raise ValueError(
            f"tokenizer.json: it has {len(tokenizer)} tokens, and the model embeddings for {rows}: it is not the "
            "tokenizer that the model was trained with"
        )


def refuse(names: Iterable[str], why: str) -> None:
    """Raise ValueError with the first of the names, if there are any."""
    found = sorted(names)
    if found:
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        raise ValueError(f"{why}: {', '.join(found[:SHOWN])}{more}")


def _is_of_a_head(model: "PreTrainedModel", name: str) -> bool:
    """Say whether a weight of the model stands between its backbone and its score; an encoder's pooler does."""
    backbone = f"{model.base_model_prefix}."
    return not name.startswith(backbone) or name.startswith(f"{backbone}pooler.")


def _is_of(model: "PreTrainedModel", name: str) -> bool:
    """Say whether a name in a folder, where a bare backbone's have no prefix, is within this model's parts.

    What is not belongs to a head for another task, such as a value head or a classifier's.
    """
    parts = {part for part, _ in [*model.named_children(), *model.base_model.named_children()]}
    return name.split(".")[0] in parts

"""A reward model's folder as others read it: the standard class's logit where that can be, else a scorer of its own.

Plain is a model whose score is the scalar at the last token: `AutoModelForSequenceClassification` then gives the score
on the folder's own rendering. Any other score needs code that transformers lacks: such a folder's config.json has a
type of its own, so that the standard classes end with an error and not with another number. scorer.py reads both kinds.
"""

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import tokenizers
import transformers
from jinja2 import Environment, StrictUndefined

from rlhf.models import classifiers, folders, loading, reward_head, ways
from rlhf.models.reward_head import RewardMeaning
from rlhf.preferences import rewards
from rlhf.records.types import Message
from rlhf.rewards import folder_scorer
from rlhf.runtime import distributed
from rlhf.runtime.files import new_folder, write_text
from rlhf.sharding import shards
from rlhf.tokens import markers, turns

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SCORER, CARD = "scorer.py", "README.md"
AGREEMENT = {  # metrics that the card shows
    "accuracy": "share of them ordered as labelers did",
    "labelers_agreement": "labelers agree with one another",
    "tfidf_accuracy": "a bag of words agrees with labelers",
    "gold_accuracy": "agrees with gold",
}
TRIED: tuple[tuple[list[Message], str], ...] = (
    ([{"role": "user", "content": "Say red."}], "red fox."),
    ([{"role": "user", "content": "Who lives here?"}, {"role": "assistant", "content": "Nobody."},
      {"role": "user", "content": "Why?"}], "They said so; 17 times."),
)  # fmt: skip


class Published(NamedTuple):
    """How a folder's scores are read."""

    meaning: RewardMeaning  # what is left for the reader to do
    why_not_plain: str | None  # None: the standard class's logit is the score, up to the shift
    encoder: bool
    folded_into: str | None  # head | norm | none: where the shift is, of a plain one


def publish(model: "PreTrainedModel", tokenizer: Any, out: Path, meaning: RewardMeaning) -> Published:
    """Write the folder as others read it, in place of the one that training left; model and tokenizer are changed."""
    own, encoder = copy.deepcopy(tokenizer), classifiers.is_encoder(model)
    why = _why_not_plain(model, meaning)
    config: Any = model.config
    if why is None:
        _standardise(tokenizer)
        why = _rendering_differs(own, tokenizer, encoder)
    if why is None:
        meaning = reward_head.fold(model, meaning)
        config.problem_type = "regression"  # the text-classification pipeline then leaves logits as they are
    else:
        tokenizer = own
    config.reward_markers = list(markers.markers(tokenizer))
    if not encoder:
        config.reward_frame = turns.around(tokenizer)._asdict() if tokenizer.chat_template else None
        proven = ways.proven(model)
        config.reward_scale, config.reward_cap = proven.scale, proven.cap
    meaning.write_into(config)
    with new_folder(out) as folder:
        loading.save(model, tokenizer, folder)
        if why is not None and distributed.is_first():
            folders.set_apart(folder)
        write_text(folder / SCORER, Path(folder_scorer.__file__).read_text(encoding="utf-8"))
    return Published(meaning, why, encoder, getattr(config, "reward_folded_into", None))


def _why_not_plain(model: "PreTrainedModel", meaning: RewardMeaning) -> str | None:
    """Return why no standard class gives this score; None where one does."""
    if meaning.pooling == "mean":
        return "the scalar is the mean over the answer's tokens (reward_model.pooling: mean)"
    if meaning.likelihood_coef:
        return "the answer's mean log-likelihood is part of the score (reward_model.likelihood_coef)"
    if meaning.activation != "identity":
        return "the scalar passes through a sigmoid before it is shifted (reward_model.loss: direct)"
    if type(model.config) not in transformers.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING:
        return f"transformers has no sequence classifier for {model.config.model_type}"
    if shards.kind_of(model) is not transformers.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING[type(model.config)]:
        return f"the sequence classifier of transformers for {model.config.model_type} reads another token"
    return None


def _standardise(tokenizer: Any) -> None:
    """Make the standard way to read a dialogue give the tokens that training has read."""
    if tokenizer.chat_template is None:  # a pair of texts, all of one type
        tokenizer.model_input_names = [name for name in tokenizer.model_input_names if name != "token_type_ids"]
        tokenizer.init_kwargs["model_input_names"] = tokenizer.model_input_names  # is saved with it
        return
    turns.end_with_the_answer(tokenizer)
    if any(markers.put_around(tokenizer)) and tokenizer.is_fast:  # the template writes BOS, where there is one
        none = tokenizers.processors.TemplateProcessing(single="$A", pair="$A $B", special_tokens=[])
        tokenizer.backend_tokenizer.post_processor = none
        tokenizer.init_kwargs |= {"add_bos_token": False, "add_eos_token": False}


def _rendering_differs(own: Any, changed: Any, encoder: bool) -> str | None:
    """Return what differs between training's tokens and the standard ones; None where they are the same."""
    for messages, answer in TRIED:
        expected = rewards.sequence(own, messages, answer, None).ids
        if encoder and changed.chat_template is None:
            found = changed("\n".join(message["content"] for message in messages), answer)["input_ids"]
        else:
            answered: list[Message] = [*messages, {"role": "assistant", "content": answer}]
            found = changed(markers.rendered(changed, answered))["input_ids"]
        if list(found) != expected:
            return "the chat template cannot be made to give the tokens that training has read"
    return None


class Known(NamedTuple):
    """What is known of a reward model, for its card."""

    metrics: dict[str, Any]
    max_tokens: int  # of a comparison's row in training
    prompt: str  # a held-out one
    examples: list[tuple[str, float]]  # answers to it, and their scores


def write_card(out: Path, published: Published, known: Known) -> None:
    """Write the folder's card: how to read scores in each way, with the folder's own numbers."""
    meaning = published.meaning
    rows = {
        "pooling": meaning.pooling,
        "likelihood_coef": f"{meaning.likelihood_coef:g}",
        "activation": meaning.activation,
        "shift": f"{meaning.shift:.9g}",
        "gain": f"{meaning.gain:.9g}",
        "tokens of a row in training, at most": f"{known.max_tokens}",
        "held-out pairs": f"{known.metrics['pairs']}",
        **{name: f"{known.metrics[key]:.3f}" for key, name in AGREEMENT.items() if key in known.metrics},
    }
    template = Environment(
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, undefined=StrictUndefined, autoescape=False
    ).from_string(Path(__file__).with_name("reward_card.md.j2").read_text(encoding="utf-8"))
    examples = [(_short(answer), score) for answer, score in known.examples]
    why, encoder, own_type = published.why_not_plain, published.encoder, folders.REWARD_MODEL
    text = template.render(
        meaning=meaning, why=why, encoder=encoder, own_type=own_type, rows=rows, prompt=_short(known.prompt),
        examples=examples,
    )  # fmt: skip
    write_text(out / CARD, text)


def _short(text: str) -> str:
    plain = " ".join(text.replace("`", "'").split())
    return plain if len(plain) <= 80 else plain[:77] + "..."

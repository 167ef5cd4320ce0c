"""One completion of a policy, token by token as it is drawn: the same tokens and text as `rollouts.respond` gives."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch

from rlhf.models import decoding
from rlhf.sampling import rollouts
from rlhf.sampling.rollouts import Ends, Sampling
from rlhf.tokens import batching, chat

if TYPE_CHECKING:
    from transformers import PreTrainedModel

HALF = "\ufffd"  # what bytes that are no whole character are decoded as


class Grown(NamedTuple):
    """An answer as far as it is drawn."""

    text: str  # that can be shown: without a character of which only some bytes are there
    token_ids: list[int]
    end: Literal["end", "length"] | None  # None: it goes on


@torch.no_grad()
def stream(
    model: "PreTrainedModel", tokenizer: Any, prompt: Sequence[int], row_id: str, sampling: Sampling
) -> Iterator[Grown]:
    """Yield the answer to a prompt's ids after each token. Who stops asking stops the drawing.

    The last one's text is that of `rollouts.respond` with the same sampling and id; one of a base model ends with its
    first line.
    """
    ends = Ends.of(model, tokenizer)
    batch = batching.pad([list(prompt)], ends.pad_id, "left", str(model.device))
    draws = rollouts.uniforms(sampling.seed, [row_id], sampling.max_completion_tokens).to(batch.ids.device)
    reader = decoding.decoder(model, sampling.max_completion_tokens)
    logits = reader.read(batch.ids, batch.mask, batching.position_ids(batch.mask))
    is_base = tokenizer.chat_template == chat.BASE_TEMPLATE
    token_ids = list[int]()
    for t in range(sampling.max_completion_tokens):
        token = rollouts.choose(logits[:, : ends.num_tokens].float(), draws[:, t], sampling.temperature)  # [1]
        token_ids.append(int(token))
        has_ended = token_ids[-1] in ends.end_ids or (is_base and _has_line(tokenizer, token_ids))
        is_last = has_ended or t == sampling.max_completion_tokens - 1
        text = chat.response_text(tokenizer, token_ids)
        end: Literal["end", "length"] = "end" if has_ended else "length"
        yield Grown(text if is_last else text.rstrip(HALF), [*token_ids], end if is_last else None)
        if is_last:
            return
        logits = reader.step(token)


def _has_line(tokenizer: Any, token_ids: list[int]) -> bool:
    """Say whether a line with something in it is ended."""
    return "\n" in tokenizer.decode(token_ids, skip_special_tokens=True).lstrip()

"""From messages to token ids: templates, prompts, responses and the mask of the tokens that an assistant wrote.

Prompt and response are always tokenised apart, in training and in sampling alike, so that the boundary between them
is the same everywhere. A response ends with the token that ends its turn in the template (`turns`), which is never PAD.
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from rlhf.records.types import Message
from rlhf.tokens import markers
from rlhf.tokens.turns import assistant_mask, before_answer, prompt_ids, response_ids

PAD, END_OF_TEXT = "<|pad|>", "<|endoftext|>"
SYSTEM, USER, ASSISTANT = "<|system|>", "<|user|>", "<|assistant|>"

# What a base model can continue: plain text, as on a forum page. It ends an answer with a line end or EOS.
BASE_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}Answer: {{ message['content'] }}\n"
    "{% elif message['role'] == 'user' %}{{ ' ' if loop.first else '' }}Question: {{ message['content'] }}\n"
    "{% else %} {{ message['content'] }}\n{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}Answer:{% endif %}"
)
# The same pages for a fine-tuned model, each answer ended by EOS: what the base learned of such text serves at once.
PLAIN_TEMPLATE = BASE_TEMPLATE.replace(
    "Answer: {{ message['content'] }}\n", "Answer: {{ message['content'] }}<|endoftext|>\n"
)
# One marker token before each turn, EOS after each answer.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "<|{{ message['role'] }}|> {{ message['content'] }}"
    "{% if message['role'] == 'assistant' %}<|endoftext|>{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


TRIED = "Say red."
MARKER_LIKE = re.compile(r"<\|[^<>|\s]{1,40}\|>|<(?:start|end)_of_turn>")
FINE_TUNED = {"plain": PLAIN_TEMPLATE, "markers": CHAT_TEMPLATE}


class TokenisedTurns(NamedTuple):
    """A dialogue as token ids [T] and, beside each, whether an assistant wrote it (True) or it was given."""

    ids: list[int]
    assistant_mask: list[bool]
    unlearned: int  # earlier turns of an assistant that are not in the mask: see `turns.assistant_mask`


def texts_of(messages: Sequence[Message], *responses: str) -> list[str]:
    """Return what people and models wrote in a dialogue."""
    return [*(message["content"] for message in messages), *responses]


def check(tokenizer: Any) -> None:
    """Raise ValueError where a tokenizer makes no tokens of a text, or its template, if any, no text of a question."""
    ids = markers.text_ids(tokenizer, TRIED)
    if not ids:
        raise ValueError(f"tokenizer.json: it makes no tokens of the text {TRIED!r}; save the tokenizer again")
    again = tokenizer.decode(ids)
    if "".join(again.casefold().split()) != "".join(TRIED.casefold().split()):
        raise ValueError(
            f"tokenizer.json: the text {TRIED!r} comes back from its tokens as {again!r}; take the tokenizer that the "
            "model was trained with"
        )
    if tokenizer.chat_template is not None:
        if tokenizer.eos_token_id is None:
            raise ValueError("tokenizer_config.json: a chat template, and no EOS token; set eos_token")
        question: Message = {"role": "user", "content": TRIED}
        for text in dict.fromkeys(MARKER_LIKE.findall(before_answer(tokenizer, [question]))):
            if len(pieces := tokenizer.tokenize(text)) > 1:
                raise ValueError(
                    f"chat_template: it writes {text!r}, which the tokenizer takes apart ({' '.join(pieces[:8])}); "
                    "take the tokenizer or the template that the model was trained with"
                )
        prompt_ids(tokenizer, [question])


def response_text(tokenizer: Any, ids: list[int]) -> str:
    """Return the text of an answer's ids, markers and the outer white space removed; a base model's first line only."""
    text = tokenizer.decode(ids, skip_special_tokens=True).strip()
    return text.split("\n")[0].strip() if tokenizer.chat_template == BASE_TEMPLATE else text


def adopted_template(eos_token: str, bos_token: str = "") -> str:
    """Return the chat template for an adopted model that brings none: ours, with that model's EOS, behind its BOS."""
    return bos_token + CHAT_TEMPLATE.replace(END_OF_TEXT, eos_token)


def dialogue_ids(
    tokenizer: Any, messages: Sequence[Message], response: str, max_tokens: int | None = None
) -> TokenisedTurns | None:
    """Return a whole dialogue's ids; the mask is True on every assistant turn and its end (Ouyang 2022, App. C.1).

    None for one of more than `max_tokens`: the mask of one of very many turns takes long.
    """
    prompt, answer = prompt_ids(tokenizer, messages), response_ids(tokenizer, response)
    if max_tokens is not None and len(prompt) + len(answer) > max_tokens:
        return None
    mask, unlearned = assistant_mask(tokenizer, messages, prompt)
    return TokenisedTurns(prompt + answer, mask + [True] * len(answer), unlearned)

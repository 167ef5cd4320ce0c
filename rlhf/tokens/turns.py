"""What a chat template puts around an assistant's answer: what stands before it, and the token that ends its turn.

Both are found by rendering an answer and looking for it, not by what a tokenizer calls EOS: base models of the ChatML
families end texts by one token and turns by another. What a template writes between the prompt and an answer (an empty
block of thoughts, white space) is part of the prompt, in training as in sampling.
"""

import json
import re
from collections.abc import Iterator, Sequence
from datetime import date
from functools import lru_cache, partial
from typing import Any, NamedTuple

from rlhf.records.types import Message
from rlhf.tokens import markers

MARK = "\U0010fffd"  # an answer that no text holds: the last private character of Unicode
OPEN, CLOSE = "\U0010fffb", "\U0010fffc"
CLOCK = re.compile(r"strftime_now\(\s*(['\"])(.*?)\1\s*\)")
A_DAY = date(2026, 1, 1)  # for templates that write a date
TRIMMED = ("{% set whole_dialogue %}", "{% endset %}{#- it ends with the answer -#}")  # around a template
NEUTRAL: tuple[Message, ...] = ({"role": "user", "content": "a"},)


class Around(NamedTuple):
    """How a template's answers stand in its text."""

    context: str  # the end of what stands before an answer, from its last marker on
    lead: str  # spaces between that and the answer, which are tokenised with the answer
    tail: str  # between the answer and the token that ends its turn
    end_id: int  # that token


def before_answer(tokenizer: Any, messages: Sequence[Message]) -> str:
    """Return the text of a dialogue up to where the assistant's answer begins, without spaces at its end.

    Raises ValueError where the template refuses the turns or is broken.
    """
    found = _split(tokenizer, messages)
    if found is not None:
        return found[0].rstrip(" ")
    return markers.rendered(tokenizer, messages, add_generation_prompt=True)


def prompt_ids(tokenizer: Any, messages: Sequence[Message]) -> list[int]:
    """Return the ids of a dialogue up to where the assistant's answer begins."""
    return markers.rendered_ids(tokenizer, messages, partial(before_answer, tokenizer))


def response_ids(tokenizer: Any, response: str) -> list[int]:
    """Return the ids of an answer as they stand behind a prompt, with the token that ends its turn."""
    frame = around(tokenizer)
    return [*markers.ids_behind(tokenizer, frame.context, frame.lead + response + frame.tail), frame.end_id]


def settle(tokenizer: Any, day: date | None, system_turns: str | None) -> Iterator[str]:
    """Fix what a template leaves to the day and to refusals, in what is saved with it; yield what was settled.

    system_turns: "merge" | "leave_out", where the template refuses them; None: that is an error. Raises ValueError for
    a date that cannot be fixed.
    """
    template, day = str(tokenizer.chat_template), day or A_DAY
    if CLOCK.search(template):
        tokenizer.chat_template = CLOCK.sub(lambda call: repr(day.strftime(call[2])), template)
        yield f"the chat template writes today's date: it is always {day} (pretrain.template_date)"
    if "strftime_now(" in str(tokenizer.chat_template):
        raise ValueError(
            "chat_template (chat_template.jinja, or of tokenizer_config.json): it writes the date in a form that it "
            "computes; write a date in its place"
        )
    if system_turns is not None:
        try:
            markers.rendered(tokenizer, [{"role": "system", "content": "a"}, *NEUTRAL])
        except ValueError:
            tokenizer.init_kwargs[markers.SYSTEM_TURNS] = system_turns
            done = {"merge": "merged into the next user's turn", "leave_out": "left out"}[system_turns]
            yield f"the chat template refuses system turns: they are {done} (pretrain.system_turns)"


def end_ids(tokenizer: Any, generation_config: Any = None) -> tuple[int, ...]:
    """Return the tokens that end an answer: its turn's, the tokenizer's EOS, and those of the model's own settings."""
    listed = getattr(generation_config, "eos_token_id", None)
    more = listed if isinstance(listed, list | tuple) else [listed]
    found = [around(tokenizer).end_id, tokenizer.eos_token_id, *more]
    return tuple(dict.fromkeys(token for token in found if token is not None))


def around(tokenizer: Any) -> Around:
    """Return how answers stand in a tokenizer's template; its own EOS ends them where the template writes no marker."""
    return _around(tokenizer, str(tokenizer.chat_template), str(tokenizer.special_tokens_map))


@lru_cache(maxsize=16)
def _around(tokenizer: Any, _template: str, _specials: str) -> Around:
    found = _split(tokenizer, NEUTRAL) if tokenizer.chat_template is not None else None
    if found is None:
        return Around("", "", "", tokenizer.eos_token_id)
    before, behind = found
    pattern = markers.pattern_of(tokenizer)
    context = before.rstrip(" ")
    last = max((match.start() for match in pattern.finditer(context)), default=0)
    context = context[max(last, context.rfind("\n", last, len(context) - 1) + 1) :]
    end = pattern.search(behind)
    if end is None:  # the next turn's beginning may be the end of this one
        further = _split(tokenizer, [*NEUTRAL, {"role": "assistant", "content": MARK}, *NEUTRAL], keep=True)
        end = pattern.match(further[1].lstrip()) if further else None
        behind = "" if end is None else end.group()
        end = pattern.match(behind)
    if end is None:
        return Around(context, before[len(before.rstrip(" ")) :], "", tokenizer.eos_token_id)
    end_id = tokenizer.convert_tokens_to_ids(end.group())
    return Around(context, before[len(before.rstrip(" ")) :], behind[: end.start()], end_id)


def end_with_the_answer(tokenizer: Any) -> None:
    """Make the template end a dialogue where `response_ids` ends its answer, and nowhere else: no line end behind it.

    Templates write more there ("\n" in ChatML), or leave out the token that was learned. Prompts stay as they are.
    """
    frame, found = around(tokenizer), _split(tokenizer, NEUTRAL)
    if found is None:
        return
    written, wanted = found[1], frame.tail + tokenizer.convert_ids_to_tokens(frame.end_id)
    if written == wanted:
        return
    cut = f"whole_dialogue[:-{len(written)}]" if written else "whole_dialogue"
    is_answered = "not add_generation_prompt and messages[-1]['role'] == 'assistant'"
    tokenizer.chat_template = (
        f"{TRIMMED[0]}{str(tokenizer.chat_template).removesuffix(chr(10))}{TRIMMED[1]}"
        f"{{%- if {is_answered} and whole_dialogue.endswith({json.dumps(written)}) -%}}"
        f"{{{{- {cut} + {json.dumps(wanted)} -}}}}{{%- else -%}}{{{{- whole_dialogue -}}}}{{%- endif -%}}"
    )


def own_template(tokenizer: Any) -> str:
    """Return a tokenizer's template, of one that `end_with_the_answer` has changed the one before."""
    template = str(tokenizer.chat_template).removesuffix("\n")
    return template.removeprefix(TRIMMED[0]).partition(TRIMMED[1])[0]


def _split(tokenizer: Any, messages: Sequence[Message], keep: bool = False) -> tuple[str, str] | None:
    """Return what a template writes before and behind an answer to messages; None where it writes no answer.

    keep: the messages hold the answer themselves.
    """
    answered = messages if keep else [*messages, {"role": "assistant", "content": MARK}]
    try:
        text = markers.rendered(tokenizer, answered)
    except ValueError:  # it takes no answer, or no such turns at all, which is said of the turns without it
        return None
    before, found, behind = text.rpartition(MARK)
    return (before, behind) if found else None


def assistant_mask(tokenizer: Any, messages: Sequence[Message], prompt: Sequence[int]) -> tuple[list[bool], int]:
    """Return, beside each of a prompt's ids, whether an assistant wrote it, and how many of its turns are not found:
    the template leaves them out or rewrites them, or they spell markers.
    """
    mask = [False] * len(prompt)
    turns = sum(message["role"] == "assistant" for message in messages)
    if not turns:
        return mask, 0
    text = before_answer(tokenizer, messages)
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=tokenizer.is_fast, verbose=False)
    if tokenizer.is_fast and encoded["input_ids"] == list(prompt):
        offsets = encoded["offset_mapping"]
        found = [
            [place for place, (first, last) in enumerate(offsets) if start <= first < last <= end]
            for start, end in _spans(tokenizer, messages, text)
        ]
    else:  # markers that were typed are read apart
        found = [*_places(tokenizer, messages, prompt)]
    for places in found:
        for place in places:
            mask[place] = True
    return mask, turns - sum(map(bool, found))


def _places(tokenizer: Any, messages: Sequence[Message], prompt: Sequence[int]) -> Iterator[list[int]]:
    """Yield the places of each assistant's turn that stands in a prompt's ids as an answer does behind its own prompt.

    For each, all that is before it is rendered once more: time grows as the square of the turns.
    """
    for index, message in enumerate(messages):
        if message["role"] == "assistant":
            before = prompt_ids(tokenizer, messages[:index])
            turn = response_ids(tokenizer, message["content"])
            span = slice(len(before), len(before) + len(turn))
            is_there = [*prompt[: len(before)]] == before and [*prompt[span]] == turn
            yield [*range(span.start, span.stop)] if is_there else []


def _spans(tokenizer: Any, messages: Sequence[Message], text: str) -> list[tuple[int, int]]:
    """Return where in a rendered dialogue its assistants' turns stand, each with the token that ends it."""
    frame, found = around(tokenizer), list[tuple[int, int]]()
    marked: list[Message] = [
        {"role": message["role"], "content": f"{OPEN}{message['content'].strip()}{CLOSE}"}
        if message["role"] == "assistant" else message
        for message in messages
    ]  # fmt: skip
    rest, at = before_answer(tokenizer, marked), 0
    if rest.replace(OPEN, "").replace(CLOSE, "") != text:
        return []
    written = {message["content"].strip() for message in messages if message["role"] == "assistant"}
    end_text = frame.tail + (tokenizer.convert_ids_to_tokens(frame.end_id) or "")
    while OPEN in rest:
        before, _, rest = rest.partition(OPEN)
        content, _, rest = rest.partition(CLOSE)
        at += len(before)
        start = at - (len(frame.lead) if before.endswith(frame.lead) else 0)
        at += len(content)
        if content in written:
            found.append((start, at + (len(end_text) if rest.startswith(end_text) else 0)))
    return found

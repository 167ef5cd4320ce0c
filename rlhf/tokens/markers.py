"""A tokenizer's markers (BOS, EOS, PAD, the starts and ends of turns) and text that spells them, which is only text.

People write "<|im_end|>". A tokenizer makes a real end of turn of it, so whoever writes it ends a turn, or begins one
in another's name. Here the template alone writes markers; in a message or document they are read letter for letter.
Text without them has the tokens that the tokenizer gives it; around one that was typed, the pieces are read apart.

A tokenizer whose normaliser folds width or case may find markers in what it has normalised: "＜|IM_END|＞" is one then.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import count
from typing import Any, NamedTuple

from rlhf.records.types import Message

TEMPLATE_FAULTS = (  # what a template's expressions raise, beside Jinja's own errors
    ArithmeticError, AttributeError, LookupError, RuntimeError, SyntaxError, TypeError, ValueError,
)  # fmt: skip
SYSTEM_TURNS = "system_turns"  # of a tokenizer's settings, saved with it: pretrain's param
PRIVATE_USE = 0xF0000  # the first of 65,534 characters that stand for nothing in Unicode
NEUTRAL: tuple[Message, ...] = (
    {"role": "system", "content": "a"},
    {"role": "user", "content": "a"},
    {"role": "assistant", "content": "a"},
    {"role": "user", "content": "a"},
)


def markers(tokenizer: Any) -> tuple[str, ...]:
    """Return the texts that become one token each and steer the model.

    These are the special tokens and, of the other added ones, those that the template writes around turns: some
    tokenizers declare `<|user|>` as not special. `<think>`, which it does not, is a word of an answer.
    """
    added = tokenizer.added_tokens_decoder.values()
    special = [token.content for token in added if token.special]
    others = [token.content for token in added if not token.special and not token.content.isspace()]
    written = _written(tokenizer, str(tokenizer.chat_template), str(tokenizer.special_tokens_map)) if others else ""
    return tuple(text for text in [*special, *(text for text in others if text in written)] if text)


class Typed(NamedTuple):
    """How many records spell a marker in one of their texts, and how many of them each one."""

    num_records: int
    by_marker: dict[str, int]


def typed(tokenizer: Any, records: Iterable[Sequence[str]]) -> Typed:
    """Count the records, of several texts each, that spell markers."""
    num_records, counted = 0, Counter[str]()
    for texts in records:
        marker_of = spellings(tokenizer, texts)
        pattern = _pattern(tuple(marker_of))
        spelled = {marker_of[found] for text in texts for found in pattern.findall(text)}
        num_records += bool(spelled)
        counted.update(sorted(spelled))
    return Typed(num_records, dict(counted.most_common()))


def spellings(tokenizer: Any, texts: Sequence[str]) -> Mapping[str, str]:
    """Return {how it is spelled: marker} of the markers as they are, and as `texts` spell them otherwise."""
    own = markers(tokenizer)
    found = dict(zip(own, own, strict=True))
    if not _folds(tokenizer, own):
        return found
    marker_of = {tokenizer.convert_tokens_to_ids(marker): marker for marker in own}
    for text in texts:
        encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        for token, (start, end) in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True):
            if token in marker_of and token != tokenizer.unk_token_id:
                found.setdefault(text[start:end], marker_of[token])
    return found


def _folds(tokenizer: Any, own: Sequence[str]) -> bool:
    """Return whether the tokenizer looks for one of its markers in what its normaliser has made of a text."""
    if getattr(getattr(tokenizer, "backend_tokenizer", None), "normalizer", None) is None:
        return False
    return any(token.normalized and token.content in own for token in tokenizer.added_tokens_decoder.values())


def bos_ids(tokenizer: Any) -> list[int]:
    """Return BOS where the tokenizer puts it before every text, as the model was trained, then; else none."""
    bos = tokenizer.bos_token_id
    return [bos] if bos is not None and tokenizer("a")["input_ids"][:1] == [bos] else []


def put_around(tokenizer: Any) -> tuple[list[int], list[int]]:
    """Return the ids that the tokenizer puts before and behind every text: BOS or CLS, EOS or SEP; or none."""
    alone, whole = _plain(tokenizer, "a"), tokenizer("a")["input_ids"]
    for start in range(len(whole) - len(alone) + 1):
        if whole[start : start + len(alone)] == alone:
            return whole[:start], whole[start + len(alone) :]
    return bos_ids(tokenizer), []


def text_ids(tokenizer: Any, text: str) -> list[int]:
    """Return the ids of a text of which nothing is a marker."""
    pieces = _pattern(tuple(spellings(tokenizer, [text]))).split(text)
    return _plain(tokenizer, text) if len(pieces) == 1 else _joined(tokenizer, pieces)


def pattern_of(tokenizer: Any) -> re.Pattern[str]:
    """Return a pattern of the tokenizer's markers as they are."""
    return _pattern(markers(tokenizer))


def ids_behind(tokenizer: Any, context: str, text: str) -> list[int]:
    """Return the ids of a text of which nothing is a marker, as it stands behind a context of the template's."""
    before = _plain(tokenizer, context)
    first, *rest = _pattern(tuple(spellings(tokenizer, [text]))).split(text)
    ids = _plain(tokenizer, context + first)
    if ids[: len(before)] != before:
        return text_ids(tokenizer, text)
    for index, piece in enumerate(rest, start=1):
        ids += _inside(tokenizer, piece, spelled=index % 2 == 1)
    return ids[len(before) :]


def texts_ids(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """Return the same of many texts, faster: a call of the tokenizer costs more than a text."""
    own = markers(tokenizer)
    pattern, found = _pattern(own), _own_ids(tokenizer) if _folds(tokenizer, own) else set[int]()
    encoded = tokenizer(list(texts), add_special_tokens=False, return_attention_mask=False, verbose=False)["input_ids"]
    return [
        text_ids(tokenizer, text) if pattern.search(text) or not found.isdisjoint(ids) else ids
        for text, ids in zip(texts, encoded, strict=True)
    ]


class Pair(NamedTuple):
    """Two texts as an encoder reads them: token ids [T] and, beside each, its text's number; None of a marker."""

    ids: list[int]
    parts: list[int | None]
    types: list[int]  # token_type_ids, where the tokenizer has such; else 0


def pair_ids(tokenizer: Any, first: str, second: str) -> Pair:
    """Return two texts with the markers that the tokenizer puts around a pair, and no others.

    Where the vocabulary itself holds a marker's spelling (those made by SentencePiece do), a typed one is left out.
    """
    pair = tokenizer(first, second, split_special_tokens=True)
    own = _own_ids(tokenizer)
    ids = pair["input_ids"]
    types = pair.get("token_type_ids", [0] * len(ids))
    each = zip(ids, pair.sequence_ids(0), types, strict=True)
    kept = [(token, part, kind) for token, part, kind in each if part is None or token not in own]
    return Pair([token for token, _, _ in kept], [part for _, part, _ in kept], [kind for _, _, kind in kept])


def rendered(tokenizer: Any, messages: Sequence[Message], add_generation_prompt: bool = False) -> str:
    """Return what the tokenizer's template makes of messages. Raises ValueError where it refuses them or is broken."""
    from jinja2 import TemplateError  # takes 20 ms, which not every command needs

    try:
        return tokenizer.apply_chat_template(
            without_refused(tokenizer, messages), add_generation_prompt=add_generation_prompt, tokenize=False
        )
    except (TemplateError, *TEMPLATE_FAULTS) as error:
        more = f" and {len(messages) - 6} more turns" if len(messages) > 6 else ""
        roles = ", ".join(message["role"] for message in messages[:6]) + more
        words = " ".join(f"{type(error).__name__}: {error}".split())
        raise ValueError(
            "the model's chat template (chat_template.jinja, or chat_template of tokenizer_config.json) makes no text "
            f"of the turns {roles}: {words:.300}; mend it, adopt a model with another one, or leave such dialogues out"
        ) from error


def way_of_system_turns(tokenizer: Any) -> str | None:
    """Return what is done with system turns that the template refuses: "merge", "leave_out"; None: they are an error,
    or taken.
    """
    return tokenizer.init_kwargs.get(SYSTEM_TURNS)


def without_refused(tokenizer: Any, messages: Sequence[Message]) -> list[Message]:
    """Return messages without system turns where the tokenizer says so: merged into the next user's, or left out."""
    way = way_of_system_turns(tokenizer)
    if way is None or not any(message["role"] == "system" for message in messages):
        return list(messages)
    kept: list[Message] = []
    waiting: list[str] = []
    for message in messages:
        if message["role"] == "system":
            waiting += [message["content"]] if way == "merge" else []
            continue
        if message["role"] == "user" and waiting:
            kept.append({"role": "user", "content": "\n\n".join([*waiting, message["content"]])})
            waiting = []
            continue
        kept.append(message)
    return kept


def rendered_ids(tokenizer: Any, messages: Sequence[Message], render: Callable[[Sequence[Message]], str]) -> list[int]:
    """Return the ids of what a template renders of messages; its own markers are markers, those in contents are text.

    A marker in a content is put between two characters that no content holds, to be found again in what is rendered.
    A template that takes contents apart may leave one of the two alone; it is dropped.
    """
    pattern = _pattern(tuple(spellings(tokenizer, [message["content"] for message in messages])))
    if not any(pattern.search(message["content"]) for message in messages):
        return _plain(tokenizer, render(messages))
    whole = "".join(message["content"] for message in messages)
    free = (chr(code) for code in count(PRIVATE_USE) if chr(code) not in whole)
    before, behind = next(free), next(free)
    marked: list[Message] = [
        {"role": message["role"], "content": pattern.sub(rf"{before}\1{behind}", message["content"])}
        for message in messages
    ]
    pieces = re.split(f"{before}({pattern.pattern[1:-1]}){behind}|[{before}{behind}]", render(marked))
    return _joined(tokenizer, [piece or "" for piece in pieces])


def _joined(tokenizer: Any, pieces: Sequence[str]) -> list[int]:
    """Return the ids of pieces, of which every second one spells a marker."""
    ids = _plain(tokenizer, pieces[0])
    for index, piece in enumerate(pieces[1:], start=1):
        ids += _inside(tokenizer, piece, spelled=index % 2 == 1)
    return ids


def _inside(tokenizer: Any, piece: str, spelled: bool) -> list[int]:
    """Return a piece's ids as they are within a text: some tokenizers put a space before what stands first.

    A vocabulary may itself hold a marker's spelling (those made by SentencePiece do); it is then read by characters.
    """
    if not piece:
        return []
    line_end = _plain(tokenizer, "\n")
    ids = _plain(tokenizer, f"\n{piece}", spelled)
    found = ids[len(line_end) :] if ids[: len(line_end)] == line_end else _plain(tokenizer, piece, spelled)
    if spelled and len(piece) > 1 and not _own_ids(tokenizer).isdisjoint(found):
        return [one for character in piece for one in _inside(tokenizer, character, spelled=False)]
    return found


def _own_ids(tokenizer: Any) -> set[int]:
    """Return the ids of the markers that the vocabulary has."""
    return set(tokenizer.convert_tokens_to_ids(list(markers(tokenizer)))) - {tokenizer.unk_token_id}


def _plain(tokenizer: Any, text: str, spelled: bool = False) -> list[int]:
    return tokenizer(text, add_special_tokens=False, split_special_tokens=spelled)["input_ids"]


@lru_cache(maxsize=16)
def _written(tokenizer: Any, _template: str, _specials: str) -> str:
    """Return what the template makes of a dialogue, with a system turn and without: some templates refuse one.

    It is kept until template or special tokens change, for every dialogue asks.
    """
    if tokenizer.chat_template is None:
        return ""
    written = ""
    for messages in (NEUTRAL, NEUTRAL[1:]):
        try:
            written += rendered(tokenizer, messages)
        except ValueError:
            continue
    return written


@lru_cache(maxsize=16)
def _pattern(texts: tuple[str, ...]) -> re.Pattern[str]:
    """Return a pattern of any of the texts, as one group; of two that begin alike the longer is taken."""
    longest_first = sorted(texts, key=len, reverse=True)
    return re.compile(f"({'|'.join(map(re.escape, longest_first)) or '(?!)'})")

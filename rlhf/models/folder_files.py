"""The JSON files and the weights' headers of a model folder, looked at before transformers reads them.

transformers trusts their types: what it says of a list in place of an object names neither file nor key.
"""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from transformers.utils.hub import cached_file

from rlhf.models.shapes import MOST_LAYERS
from rlhf.params.base import shown
from rlhf.records.json_values import after_space, first_value, is_list, is_object

CONFIG, GENERATION = "config.json", "generation_config.json"
TOKENIZER, TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"
SPECIAL_TOKENS, ADDED_TOKENS = "special_tokens_map.json", "added_tokens.json"
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
OF_MODEL = (CONFIG, GENERATION, INDEX)
OF_TOKENIZER = (TOKENIZER, TOKENIZER_CONFIG, SPECIAL_TOKENS, ADDED_TOKENS)
DEEPEST = 64  # lists and objects within one another; real ones have about ten
MOST_LABELS = 100_000
NO_ERRORS = {  # of looking for a file that need not be there
    "_raise_exceptions_for_missing_entries": False,
    "_raise_exceptions_for_connection_errors": False,
    "_raise_exceptions_for_gated_repo": False,
}
NONE = type(None)
A_NAME, A_TOKEN, CODE = (str, NONE), (str, dict, NONE), (dict, list, str, NONE)
TOKENS = dict.fromkeys([f"{name}_token" for name in ("bos", "eos", "unk", "sep", "pad", "cls", "mask")], A_TOKEN)
EXPECTED: dict[str, dict[str, tuple[type, ...]]] = {
    CONFIG: {"architectures": (list, NONE), "auto_map": CODE, "model_type": A_NAME, "tokenizer_class": A_NAME},
    TOKENIZER: {"added_tokens": (list, NONE), "model": (dict,)},
    TOKENIZER_CONFIG: TOKENS
    | {
        "added_tokens_decoder": (dict,),
        "auto_map": CODE,
        "additional_special_tokens": (list, NONE),
        "chat_template": (str, list, dict, NONE),
        "extra_special_tokens": (list, dict, NONE),
        "model_max_length": (int, float, NONE),
        "tokenizer_class": A_NAME,
    },
    SPECIAL_TOKENS: TOKENS | {"additional_special_tokens": (list, NONE), "extra_special_tokens": (list, dict, NONE)},
}
NAMES = {str: "text", int: "a whole number", float: "a number", list: "a list", dict: "an object", NONE: "null"}


def found(path: Path | str, name: str, revision: str | None) -> Path | None:
    """Return where a file of a folder or hub id lies; None where there is none."""
    place = cached_file(str(path), name, revision=revision, **NO_ERRORS)
    return None if place is None else Path(place)


def check(path: Path | str, names: tuple[str, ...], revision: str | None) -> None:
    """Raise ValueError, naming file and key, for a file of these that is not the JSON object that it should be."""
    for name in names:
        place = found(path, name, revision)
        if place is not None:
            content = read(place, name)
            for key, types in EXPECTED.get(name, {}).items():
                if key in content and not isinstance(content[key], types):
                    _refuse(name, key, " or ".join(NAMES[one] for one in types), content[key])
            _check_tokens(name, content)
            if name == CONFIG:
                _check_numbers(content)


def read(place: Path, name: str) -> dict[str, Any]:
    """Return the JSON object of a file. Raises ValueError with `name` and line."""
    try:
        text = place.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{name}: byte {error.start}: not UTF-8 ({error.reason}); save it so") from None
    try:
        content, end = first_value(text, 0, name)
        if after_space(text, end) < len(text):
            raise json.JSONDecodeError("Extra data", text, end)
    except json.JSONDecodeError as error:
        raise ValueError(f"{name}: line {error.lineno}, column {error.colno}: not valid JSON: {error.msg}") from None
    if not is_object(content):
        raise ValueError(f"{name}: expected a JSON object, got {shown(content)}")
    _check_depth(content, name)
    return content


def _check_depth(content: Any, name: str) -> None:
    """Raise ValueError for what is so deep that whoever follows it by recursion may not come to its end."""
    level = [content]
    for _ in range(DEEPEST):
        level = [inner for one in level for inner in _within(one)]
        if not level:
            return
    raise ValueError(f"{name}: more than {DEEPEST} lists or objects within one another; flatten them")


def _within(value: Any) -> Iterator[Any]:
    inner = value.values() if is_object(value) else value if is_list(value) else ()
    return (one for one in inner if isinstance(one, list | dict))


def _check_numbers(config: Mapping[str, Any]) -> None:
    """Raise ValueError for NaN, and for so many layers or labels that a model of them is not built in a life."""
    waiting: list[Any] = [config]
    while waiting:
        one = waiting.pop()
        waiting += _within(one)
        for key, value in one.items() if is_object(one) else ():
            layers = key.endswith(("layer", "layers")) and "per_layer" not in key
            most = MOST_LAYERS if layers else MOST_LABELS if key == "num_labels" else None
            if most is not None and isinstance(value, int) and value > most:
                _refuse(CONFIG, key, f"at most {most:,}", value)
            if isinstance(value, float) and math.isnan(value):
                _refuse(CONFIG, key, "a number", value)


def held(path: Path | str, revision: str | None) -> int | None:
    """Return how many numbers the weights of a folder or hub id are, by their files' headers; None without files.

    Raises ValueError naming a file whose header cannot be read.
    """
    names = [WEIGHTS]
    index = found(path, INDEX, revision)
    if index is not None and found(path, WEIGHTS, revision) is None:
        names = sorted({*read(index, INDEX)["weight_map"].values()})
    places = {name: place for name in names if (place := found(path, name, revision))}
    return sum(_in_header(name, place) for name, place in places.items()) if places else None


def _in_header(name: str, place: Path) -> int:
    try:
        with safe_open(place, "pt") as file:
            return sum(math.prod(file.get_slice(key).get_shape()) for key in file.keys())  # noqa: SIM118  # no mapping
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{name}: not safetensors: {error}; copy it again, or save the model again") from None


def _check_tokens(name: str, content: Mapping[str, Any]) -> None:
    """Raise ValueError for a description of a token or template that is none."""
    for key in TOKENS if name in (TOKENIZER_CONFIG, SPECIAL_TOKENS) else ():
        if is_object(content.get(key)):
            _check_token(name, key, content[key])
    if name == TOKENIZER:
        for index, token in enumerate(content.get("added_tokens") or []):
            _check_token(name, f"added_tokens[{index}]", token)
            if type(token.get("id")) is not int:
                _refuse(name, f"added_tokens[{index}].id", "a number", token.get("id"))
    if name == TOKENIZER_CONFIG:
        for key, token in content.get("added_tokens_decoder", {}).items():
            if not key.isdecimal():
                _refuse(name, "added_tokens_decoder", "numbers of tokens as keys", key)
            _check_token(name, f"added_tokens_decoder.{key}", token)
        _check_template(name, content.get("chat_template"))


def _check_template(name: str, template: Any) -> None:
    """Raise ValueError for templates that are not texts by names: {name: text} or [{name: name, template: text}]."""
    if is_list(template):
        named = all(is_object(one) and {"name", "template"} <= one.keys() for one in template)
        template = {one["name"]: one["template"] for one in template} if named else {"": None}
    for text in template.values() if is_object(template) else ():
        if not isinstance(text, str):
            _refuse(name, "chat_template", "text, or texts by their names", template)


def _check_token(name: str, key: str, token: Any) -> None:
    if not is_object(token) or not isinstance(token.get("content"), str):
        _refuse(name, key, "an object with its text as content", token)


def _refuse(name: str, key: str, expected: str, got: Any) -> None:
    raise ValueError(f"{name}: {key}: expected {expected}, got {shown(got)}; mend it, or save the model again")

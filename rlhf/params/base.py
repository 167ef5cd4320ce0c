"""Reading params.yaml into frozen, typed classes; every error names the full path, the value and what is allowed."""

import os
import re
from collections.abc import Iterable, Mapping
from datetime import date
from itertools import islice
from pathlib import Path
from reprlib import Repr
from typing import Annotated, Any, Literal, NamedTuple, TypeGuard, TypeVar, cast, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, field_validator, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from rlhf.secrets import masking


def is_mapping(value: object) -> TypeGuard[Mapping[str, Any]]:
    """Return whether a value is a mapping, such as a section; the keys of params.yaml are text."""
    return isinstance(value, Mapping)


def shown(value: object, most: int = 120) -> str:
    """Return a value as an error message shows it: in `most` characters, however much it holds."""
    brief = Repr()
    brief.maxstring = brief.maxlong = brief.maxother = most
    return f"{brief.repr(value):.{most}}"


def listed(names: Iterable[object], most: int = 20) -> str:
    """Return names as an error message lists them: the first `most`, none of them long."""
    remaining = iter(names)
    texts = [" ".join(f"{name}".split()) for name in islice(remaining, most)]
    first = [text if len(text) <= 60 else text[:57] + "..." for text in texts]
    left = sum(1 for _ in remaining)
    return ", ".join(first) + (f" and {left} more" if left else "")


class Params(BaseModel):
    """One section of params.yaml. Unknown and missing keys, wrong types, NaN and infinity are errors; no defaults.

    A key that may be null may be left out, and is null then.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, protected_namespaces=())

    @model_validator(mode="before")
    @classmethod
    def _what_is_left_out_is_null(cls, content: Any) -> Any:
        if not is_mapping(content):
            return content
        may_be_null = [name for name, field in cls.model_fields.items() if type(None) in get_args(field.annotation)]
        return dict.fromkeys(may_be_null) | dict(content)

    @field_validator("*")
    @classmethod
    def _zero_has_no_sign(cls, value: object) -> object:
        values = cast(list[object], value) if isinstance(value, list) else [value]
        if any(isinstance(one, float) and str(one) == "-0.0" for one in values):
            raise ValueError("write 0.0 for -0.0: DVC takes the two for one value and would not see the change")
        return cast(object, value)


def _name(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,63}", text):
        raise ValueError(
            "it names folders and stands in commands: expected up to 64 of a-z, 0-9, - and _, a letter or digit first"
        )
    return text


Name = Annotated[str, AfterValidator(_name)]  # of what people add to params: rounds, cells


class Union(NamedTuple):
    """A place of params.yaml whose keys depend on one of them."""

    key: str
    depth: int  # of the place below its section: where pydantic names the kind in a mistake's place
    shown: dict[str, str]  # each kind, and a file that shows all its keys


LAPTOP = "presets/laptop.yaml"
UNIONS = {  # by section
    "pretrain": Union(
        "source",
        1,
        {
            "scratch": LAPTOP,
            "local": "examples/own_project.yaml",
            "hub": "presets/instructgpt.yaml",
            "gguf": "examples/gguf.yaml",
            "package": "examples/package.yaml",
        },
    ),
    "collect_comparisons": Union(
        "kind",
        2,
        {
            "simulated": LAPTOP,
            "reward_model": "examples/labelers.yaml",
            "function": "examples/labelers_function.yaml",
            "chat_model": "examples/labelers.yaml",
            "people": "examples/people.yaml",
        },
    ),
    "moderation": Union("kind", 2, {"trained": LAPTOP, "adopted": "examples/moderation.yaml"}),
    "collect_prompts": Union(
        "kind",
        3,
        {
            "world": LAPTOP,
            "instructions": "presets/pretrained.yaml",
            "feedback": "examples/feedback.yaml",
            "file": "examples/own_project.yaml",
            "hub": "presets/real_en.yaml",
        },
    ),
}


MOVED = {  # keys that older params have, by their places: where they are now
    f"collect_comparisons.{key}": f"collect_answers.{key}"
    for key in (
        "max_prompts", "max_judge_prompts", "prompts", "min_responses", "max_responses", "temperatures",
        "max_completion_tokens", "max_prompt_tokens", "batch_size",
    )
}  # fmt: skip


class Local(NamedTuple):
    place: str  # the key that names it
    path: str  # as written: absolute, or relative to the folder of params.yaml; of files also a pattern
    what: Literal["files", "folder", "journals"]  # journals: a folder that the chat makes with its first line


class OnHub(NamedTuple):
    place: str  # the key that holds its revision
    kind: Literal["models", "datasets"]
    id: str
    revision: str | None  # a branch or tag can move, a commit cannot


class Installed(NamedTuple):
    place: str  # the key that names it
    package: str
    version: str
    file: str | None  # a pattern of one of its .gguf files; None: its only one


class OfRounds(NamedTuple):
    place: str  # the key that names it
    path: str  # of a folder, with a folder for each round in it; as written


Named = Local | OnHub | Installed | OfRounds  # what params name that lies outside params.yaml


def folder_or_hub(key: str, hub: OnHub, root: Path) -> Named:
    """Return what the id under `key` names, as the libraries take it: a folder where there is one, else what a hub has.

    An id of a hub has at most one slash and begins like a name; what else it may be is a path whose folder is missing.
    """
    is_path = hub.id.startswith((".", "/", "~")) or hub.id.count("/") > 1 or is_folder(place_of(hub.id, root))
    return Local(key, hub.id, "folder") if is_path else hub


def place_of(path: str, root: Path) -> Path:
    """Return where a path of params.yaml leads, see `expanded`; ~ of nobody leads nowhere."""
    try:
        return root / expanded(path)
    except FileNotFoundError:
        return root / path


def expanded(path: str) -> Path:
    """Return a path with the home that its ~ stands for. Raises FileNotFoundError where there is no such user."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise FileNotFoundError(f"{path}: no user of this machine has this home; write the whole path") from None


def text_of(path: str, root: Path) -> str:
    """Return the text of a file that params name. Raises ValueError for one in no UTF-8."""
    try:
        return (root / expanded(path)).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 at byte {error.start}") from None


def is_folder(path: Path) -> bool:
    """Return whether there is such a folder; a name that no file can have is none."""
    return os.path.isdir(path)


# What the reader raises, beside its own errors, for characters, numbers, dates and tags that YAML does not have.
NO_YAML = (ValueError, TypeError, AttributeError, LookupError, AssertionError, ArithmeticError, NotImplementedError)

AnyParams = TypeVar("AnyParams", bound=Params)


class ParamsError(ValueError):
    """A mistake in params.yaml, already worded for the person who made it; without its secrets."""

    def __init__(self, message: str):
        super().__init__(masking.masked(message))


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML 1.2 file (`3e-6` is a number there). Raises ParamsError naming file and line."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ParamsError(f"{path}: no such file; copy one, for example: cp presets/laptop.yaml {path}") from None
    except OSError as error:
        raise ParamsError(f"{shown(str(path))}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ParamsError(f"{path}: not UTF-8 at byte {error.start}; save the file as UTF-8") from None
    return mapping_of(text, path)


def mapping_of(text: str, path: Path | str) -> dict[str, Any]:
    """Return the mapping in a YAML 1.2 text, that of `path`. Raises ParamsError naming path and line."""
    masking.learn(text)
    try:
        reader: Any = YAML(typ="safe", pure=True)  # its methods declare no types
        content = reader.load(text)
    except MarkedYAMLError as error:
        raise ParamsError(f"{path}: {_place_and_problem(error)}") from None
    except RecursionError:
        raise ParamsError(f"{path}: not valid YAML: lists or mappings too deep within one another") from None
    except (YAMLError, *NO_YAML) as error:
        problem = " ".join(str(error).split()) or type(error).__name__
        raise ParamsError(f"{path}: not valid YAML: {problem:.200}") from None
    if re.search(r"^%YAML", text, re.MULTILINE):
        raise ParamsError(
            f"{path}: remove the %YAML line: DVC does not heed it, and would read other values than a stage"
        )
    if not is_mapping(content):
        raise ParamsError(f"{path}: expected a mapping of sections, got {type(content).__name__}")
    return dict(content)


def parse(schema: type[AnyParams], content: Any, path: str) -> AnyParams:
    """Return `content` as `schema`; `path` is its dotted place in params.yaml. Raises ParamsError with all mistakes."""
    try:
        return schema.model_validate(content)
    except ValidationError as error:
        mistakes = error.errors()
        moved = {MOVED.get(".".join(map(str, mistake["loc"])), "").partition(".")[0] for mistake in mistakes}
        told = [one for one in mistakes if one["type"] != "missing" or ".".join(map(str, one["loc"])) not in moved]
        raise ParamsError("\n".join(_explain(mistake, path) for mistake in told)) from None


def load(root: Path, schema: type[AnyParams]) -> AnyParams:
    """Return the sections of `root`/params.yaml that `schema` names, each typed by its field.

    `schema` lists just the sections that a stage reads, so the stage depends on no others.
    """
    content = read_yaml(root / "params.yaml")
    missing = [name for name in schema.model_fields if name not in content]
    if missing:
        raise ParamsError(f"params.yaml: section '{missing[0]}' is missing; presets/laptop.yaml shows it")
    return parse(schema, {name: content[name] for name in schema.model_fields}, "")


def _place_and_problem(error: Any) -> str:
    """Return the words for a MarkedYAMLError, which declares no types."""
    mark = error.problem_mark
    where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "unknown line"
    return f"{where}: not valid YAML: {error.problem or error.context:.200}"


def _explain(mistake: Any, path: str) -> str:
    pieces = [*path.split("."), *map(str, mistake["loc"])] if path else [*map(str, mistake["loc"])]
    union = UNIONS.get("".join(pieces[:1]), Union("", len(pieces), {}))
    kind = pieces.pop(union.depth) if union.shown.keys() & pieces[union.depth : union.depth + 1] else None
    place, type_ = ".".join(pieces).removesuffix(".[key]"), mistake["type"]
    place = f"{' '.join(place.split()):.200}"
    if type_ == "missing":
        return f"params.yaml: {place}: missing; {union.shown.get(kind or '', LAPTOP)} shows a value"
    if type_ == "extra_forbidden" and place in MOVED:
        value = masking.without_values(mistake["input"])
        return f"params.yaml: {place}: it is {MOVED[place]} now; move it there (value {shown(value)})"
    if type_ == "extra_forbidden":
        where = f" for {union.key} '{kind}'" if kind else ""
        value = masking.MASK if masking.is_secret(pieces[-1]) else masking.without_values(mistake["input"])
        return f"params.yaml: {place}: unknown key{where} (value {shown(value)}); remove it or correct its spelling"
    if type_ in ("union_tag_not_found", "union_tag_invalid"):
        given = f"(got {shown(mistake['ctx']['tag'])})" if "tag" in mistake["ctx"] else "(missing)"
        return f"params.yaml: {place}.{union.key}: expected one of {', '.join(map(repr, union.shown))} {given}"
    if isinstance(mistake["input"], date):
        return f"params.yaml: {place}: YAML reads a date here; put it in quotes (got {mistake['input']})"
    value = masking.without_values(mistake["input"]) if pieces[:1] == ["tracking"] else mistake["input"]
    value = masking.MASK if pieces[-1:] == ["key_variable"] else value  # it may be the key itself
    message = mistake["msg"].removeprefix("Value error, ")
    return f"params.yaml: {place}: {message:.500} (got {masking.masked(shown(value, 2000)):.120})"

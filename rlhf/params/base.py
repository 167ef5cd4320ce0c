"""Reading params.yaml into frozen, typed classes; every error names the full path, the value and what is allowed."""

from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError


class Params(BaseModel):
    """One section of params.yaml. Unknown and missing keys, wrong types, NaN and infinity are errors; no defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, protected_namespaces=())


SOURCE_KINDS = ("world", "file", "hub")  # pydantic names the kind of a source in a mistake's place; no key is called so

AnyParams = TypeVar("AnyParams", bound=Params)


class ParamsError(ValueError):
    """A mistake in params.yaml, already worded for the person who made it."""


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML 1.2 file (`3e-6` is a number there). Raises ParamsError naming file and line."""
    try:
        content = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParamsError(f"{path}: no such file; copy one, for example: cp presets/laptop.yaml {path}") from None
    except UnicodeDecodeError as error:
        raise ParamsError(f"{path}: not UTF-8 at byte {error.start}; save the file as UTF-8") from None
    except MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "unknown line"
        raise ParamsError(f"{path}: {where}: not valid YAML: {error.problem or error.context}") from None
    except (YAMLError, ValueError) as error:  # characters and numbers that YAML does not have
        raise ParamsError(f"{path}: not valid YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(content, dict):
        raise ParamsError(f"{path}: expected a mapping of sections, got {type(content).__name__}")
    return content


def parse(schema: type[AnyParams], content: Any, path: str) -> AnyParams:
    """Return `content` as `schema`; `path` is its dotted place in params.yaml. Raises ParamsError with all mistakes."""
    try:
        return schema.model_validate(content)
    except ValidationError as error:
        raise ParamsError("\n".join(_explain(mistake, path) for mistake in error.errors())) from None


def load(root: Path, schema: type[AnyParams]) -> AnyParams:
    """Return the sections of `root`/params.yaml that `schema` names, each typed by its field.

    `schema` lists just the sections that a stage reads, so the stage depends on no others.
    """
    content = read_yaml(root / "params.yaml")
    missing = [name for name in schema.model_fields if name not in content]
    if missing:
        raise ParamsError(f"params.yaml: section '{missing[0]}' is missing; presets/laptop.yaml shows it")
    return parse(schema, {name: content[name] for name in schema.model_fields}, "")


def _explain(mistake: Any, path: str) -> str:
    pieces = [str(piece) for piece in mistake["loc"] if piece not in SOURCE_KINDS]
    place = ".".join(part for part in [path, *pieces] if part)
    kind = mistake["type"]
    if kind == "missing":
        return f"params.yaml: {place}: missing; presets/laptop.yaml shows a value"
    if kind == "extra_forbidden":
        return f"params.yaml: {place}: unknown key (value {mistake['input']!r}); remove it or correct its spelling"
    shown = repr(mistake["input"])[:120]
    message = mistake["msg"].removeprefix("Value error, ")
    return f"params.yaml: {place}: {message} (got {shown})"

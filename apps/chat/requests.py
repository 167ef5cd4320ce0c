"""What the page asks for, read out of JSON: every value checked, every refusal in words."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from starlette.requests import Request

from apps.chat.checkpoints import Checkpoint
from apps.chat.engine import Settings
from apps.serving import bodies
from apps.serving.asgi import Refused
from rlhf.people.names import checked

MOST_CHARACTERS = 20_000  # of a message, or of a better answer
TEMPERATURES = (0.0, 2.0)
LENGTHS = (1, 1024)  # tokens of an answer
USUAL = {"temperature": 0.7, "max_tokens": 200}
FLAGS = (  # InstructGPT's metadata on answers (Ouyang et al. 2022, table 3), in short
    "wrong", "fails_the_instruction", "made_up", "harmful", "sexual", "violent", "hateful", "repeats_itself", "other",
)  # fmt: skip


class Wanted(NamedTuple):
    """An answer, or two, that the page asks for."""

    turn: str | None  # the user's turn that is answered again
    parent: str | None  # of a new turn: the answer before it; None: it begins a conversation
    conversation: str | None  # in which it stands beside the first message; None: a new one
    text: str | None  # of a new turn
    models: list[Checkpoint]
    settings: Settings  # with seed 0: each answer gets its own


async def content(request: Request) -> dict[str, Any]:
    """Return the body. Raises Refused where it is no JSON object."""
    try:
        return await bodies.json_object(request)
    except ValueError as error:
        raise Refused(400, f"{error}") from None


def user(request: Request, given: object) -> str:
    """Return who asks: the token's owner, or the name that is given where no token is wanted."""
    who = request.scope.get("state", {}).get("who")
    if who is not None:
        return who
    if not isinstance(given, str):
        raise Refused(400, "user: expected a name")
    try:
        return checked(given)
    except ValueError as error:
        raise Refused(400, f"user: {error}") from None


def text(given: Mapping[str, Any], key: str) -> str:
    """Return a text that is not empty and not too long."""
    found = given.get(key)
    if not isinstance(found, str) or not found.strip():
        raise Refused(400, f"{key}: expected a text")
    if len(found) > MOST_CHARACTERS:
        raise Refused(400, f"{key}: expected at most {MOST_CHARACTERS} characters (got {len(found)})")
    try:
        found.encode()
    except UnicodeEncodeError:
        raise Refused(400, f"{key}: half of a surrogate pair is no character") from None
    return found


def wanted(given: Mapping[str, Any], known: Sequence[Checkpoint]) -> Wanted:
    """Return which answer is asked for."""
    names, by_name = given.get("models"), {one.name: one for one in known}
    if not isinstance(names, list) or len(names) not in (1, 2) or len({str(one) for one in names}) != len(names):
        raise Refused(400, "models: expected one name, or two different ones")
    missing = [str(one)[:60] for one in names if not isinstance(one, str) or one not in by_name]
    if missing:
        raise Refused(404, f"models: there is no {missing[0]!r} below data/; there are: {', '.join(by_name) or 'none'}")
    settings = Settings(
        _number(given, "temperature", TEMPERATURES), int(_number(given, "max_tokens", LENGTHS, whole=True)), 0
    )
    turn, parent, conversation = (_id(given, key) for key in ("turn", "parent", "conversation"))
    if turn is not None:
        return Wanted(turn, None, None, None, [by_name[one] for one in names], settings)
    models = [by_name[one] for one in names]
    return Wanted(None, parent, conversation, text(given, "text"), models, settings)


def _id(given: Mapping[str, Any], key: str) -> str | None:
    found = given.get(key)
    if found is not None and (not isinstance(found, str) or not found):
        raise Refused(400, f"{key}: expected an id, or null")
    return found


def _number(given: Mapping[str, Any], key: str, bounds: tuple[float, float], whole: bool = False) -> float:
    found: Any = given.get(key)
    is_number = isinstance(found, int | float) and not isinstance(found, bool) and math.isfinite(found)
    if not is_number or not bounds[0] <= found <= bounds[1] or (whole and found != int(found)):
        kind = "a whole number" if whole else "a number"
        raise Refused(400, f"{key}: expected {kind} from {bounds[0]:g} to {bounds[1]:g} (got {str(found)[:40]})")
    return found


def feedback(given: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the kind and the content of a line of feedback; what it is about is checked by the history."""
    kind = given.get("kind")
    keys = {
        "thumb": ("answer", "value"), "better": ("answer", "text"), "flag": ("answer", "flags"),
        "choice": ("pair", "answers", "chosen"), "appeal": ("blocked",),
    }.get(str(kind))  # fmt: skip
    if keys is None:
        raise Refused(400, "kind: expected thumb, better, flag, choice or appeal")
    missing = [key for key in keys if key not in given]
    if missing:
        raise Refused(400, f"{missing[0]}: it is missing")
    found = {key: given[key] for key in keys}
    if kind == "better" and found["text"] is not None:
        found["text"] = text(given, "text")
    if kind == "flag" and not (isinstance(found["flags"], list) and all(one in FLAGS for one in found["flags"])):
        raise Refused(400, f"flags: expected some of {', '.join(FLAGS)}")
    if given.get("note"):
        found["note"] = text(given, "note")
    return str(kind), found

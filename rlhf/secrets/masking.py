"""Texts without secrets: the one mask that every message, tag, log line and error passes.

It hides what stands before the @ of an address (user and password, or a token), the values of a query whose names say
that they are secret, and known secrets wherever they stand: those of addresses in params.yaml and in the environment,
and what the environment calls a password or a token.
"""

import base64
import json
import os
import re
from collections.abc import Mapping
from itertools import islice
from typing import cast
from urllib.parse import quote, unquote

from rlhf.secrets.shapes import JWT

MASK = "***"
LEVELS, ITEMS = 6, 7  # of a value in an error message; a value may hold itself many times over
SHORTEST = 4  # characters of a known secret: texts are full of shorter ones
SHORTEST_TOKEN = 12  # characters of one without a user's name beside it: a shorter one is taken for such a name
OF_ENVIRONMENT = re.compile(  # PWD and GIT_ASKPASS are paths
    r"(PASSWORD|PASSWD|PASSPHRASE|(?<!ASK)PASS|_PWD|TOKEN|SECRET|_PAT|(SECRET|ACCESS|API|PRIVATE|ACCOUNT|STORAGE)_?KEY)$",
    re.IGNORECASE,
)
PROXY = re.compile(r"_PROXY$", re.IGNORECASE)  # an address, which may lack its scheme
SECRET_NAME = r"(?:[\w.-]*(?:password|passwd|pwd|token|secret|signature|credential)s?|(?:[\w.-]*[-_.])?key|(?:api|access)key|sig|pass|auth)"  # noqa: E501 - one expression
ADDRESS = re.compile(r"""(?<!\w)(\w*)://(?!/)([^\s"'<>`]*)""")  # scheme, and all that may belong to it
WHOLE = re.compile(r"(?<!\w)(\w*)://(?!/)(.*)", re.DOTALL)  # where it is known to be nothing else
IN_QUERY = re.compile(rf"""([?&;]{SECRET_NAME}=)[^\s&#;"'<>`]+""", re.IGNORECASE)
IN_WORDS = re.compile(
    r"""((?<![\w.-])(?:password|passwd|pwd|accountkey|sharedaccesskey)\s*=\s*)("[^"]*"|'[^']*'|[^\s,;)&"']+)""",
    re.IGNORECASE,
)
IN_HEADER = re.compile(r"""(authorization["']?\s*[:=]\s*["']?(?:\w+\s+)?)[^\s"',]+""", re.IGNORECASE)

# Control characters but tab and line end, what turns the direction of writing, and bytes that are no characters.
STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

_learnt: set[str] = set()


def learn(text: str) -> None:
    """Remember the secrets of the addresses in a text."""
    _learnt.update(_of_addresses(text, ADDRESS))


def learn_address(address: str) -> None:
    """Remember the secrets of an address, also of one whose scheme was forgotten or whose password holds a space."""
    _learnt.update(_of_addresses(address if "://" in address else f"://{address}", WHOLE))


def learn_secret(secret: str) -> None:
    """Remember a secret that is known to be one, whatever variable it came from."""
    _learnt.update(_forms(secret))


def masked(text: str) -> str:
    """Return a text without secrets."""
    for secret in sorted(_known(), key=len, reverse=True):
        text = text.replace(secret, MASK)
    return without_credentials(text)


def visible(text: str) -> str:
    """Return a text of which nothing steers the terminal that shows it: such characters stand as Python writes them."""
    return STEERING.sub(lambda found: repr(found[0])[1:-1], text)


def without_credentials(text: str) -> str:
    """Return a text without what is secret by its place, whatever this process knows: the same text everywhere."""
    text = ADDRESS.sub(_without_user, text)
    for pattern in (IN_QUERY, IN_WORDS, IN_HEADER):
        text = pattern.sub(rf"\g<1>{MASK}", text)
    return text


def _without_user(address: re.Match[str]) -> str:
    _, at, host = address[2].rpartition("@")
    return f"{address[1]}://{MASK}@{host}" if at else address[0]


def without_values(value: object, levels: int = LEVELS) -> object:
    """Return a value of params that nobody has judged, without what may be a secret: before an @, or by its key.

    Of what it holds there is as much as an error message may show: some items, of some levels.
    """
    if isinstance(value, (Mapping, list)) and levels == 0:
        return "..."
    if isinstance(value, Mapping):
        items = islice(cast("Mapping[object, object]", value).items(), ITEMS)
        return {key: MASK if is_secret(str(key)) else without_values(inner, levels - 1) for key, inner in items}
    if isinstance(value, list):
        return [without_values(inner, levels - 1) for inner in islice(cast("list[object]", value), ITEMS)]
    return f"{MASK}@{value.rpartition('@')[2]}" if isinstance(value, str) and "@" in value else value


def is_secret(name: str) -> bool:
    """Return whether a key names what is secret."""
    return re.fullmatch(SECRET_NAME, name, re.IGNORECASE) is not None


def _known() -> set[str]:
    found = set(_learnt)
    for name, value in os.environ.items():
        if OF_ENVIRONMENT.search(name):
            found |= _forms(value)
        if "://" in value:
            found |= _of_addresses(value, ADDRESS) | _of_addresses(value, WHOLE)
        elif PROXY.search(name):
            found |= _of_addresses(f"://{value}", WHOLE)
        found |= {form for words in IN_WORDS.finditer(value) for form in _forms(words[2].strip("\"'"))}
        found |= {form for token in JWT.findall(value) for form in _forms(token)}
        found |= _of_json(value) if value.lstrip().startswith("{") else set()
    return found


def _of_json(value: str) -> set[str]:
    """Return the secrets of a JSON object, such as a service's credentials: texts under names that say so."""
    try:
        content: object = json.loads(value)
    except (ValueError, RecursionError):
        return set()
    found, waiting = set[str](), [content]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            entries = cast(dict[str, object], one)
            waiting += entries.values()
            secret = [text for name, text in entries.items() if isinstance(text, str) and OF_ENVIRONMENT.search(name)]
            found |= {form for text in secret for form in _forms(text)}
        elif isinstance(one, list):
            waiting += cast(list[object], one)
    return found


def _of_addresses(text: str, pattern: re.Pattern[str]) -> set[str]:
    found: set[str] = set()
    for scheme, rest in pattern.findall(text):
        before_host = rest.rpartition("@")[0]
        user, colon, password = before_host.partition(":")
        if colon:
            found |= _forms(password) | _basic(user, password)
        elif scheme in ("", "http", "https") and len(user) >= SHORTEST_TOKEN:
            found |= _forms(user)
    found |= {form for one in IN_QUERY.finditer(text) for form in _forms(one[0].partition("=")[2])}
    return found


def _forms(secret: str) -> set[str]:
    """Return how a secret may be written: as it is, quoted for an address or not, and within Python's or JSON's quotes.

    One that is shorter than SHORTEST has none.
    """
    plain = unquote(secret)
    found = {secret, plain, quote(plain, safe=""), quote(plain, safe="/")}
    found |= {written for one in (secret, plain) for written in (repr(one)[1:-1], json.dumps(one)[1:-1])}
    return {form for form in found if len(form) >= SHORTEST}


def _basic(user: str, password: str) -> set[str]:
    """Return the two as HTTP sends them."""
    return {base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode()}

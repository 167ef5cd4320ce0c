"""Who may ask a page, and how much: tokens, hosts, origins, sizes and rates, before any request reaches a page.

A page on this machine alone (a loopback address) needs no token. Everyone who can reach any other address could read
and write what people said, so there a token is wanted; of tokens only SHA-256 sums are kept.
"""

import hashlib
import hmac
import ipaddress
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from apps.serving import bodies
from apps.serving.asgi import Application, Message, Receive, Refused, Scope, Send, answer
from apps.serving.rates import Rates
from rlhf.people.names import checked

COOKIE = "rlhf_token"
COOKIE_SECONDS = 30 * 24 * 3600
TOKEN = re.compile(r"[A-Za-z0-9_.~-]{1,200}")  # what a cookie and an address can carry as it is
MOST_BYTES = 1 << 20  # of a request's body
HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)


class Settings(NamedTuple):
    """What is allowed."""

    tokens: Mapping[str, str]  # {SHA-256 of a token, in hex: whose it is}; empty: none is wanted
    hosts: frozenset[str]  # names by which the page is asked, in lower case; empty: any (tokens then guard it)
    per_minute: int  # requests of a client
    most_bytes: int = MOST_BYTES


def is_loopback(host: str) -> bool:
    """Return whether an address can be reached from this machine alone."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def hashed(token: str) -> str:
    """Return the sum by which a token is known."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def read_tokens(file: Path) -> dict[str, str]:
    """Return {sum: name} of a file of {"name": sum}, or {} where there is none. Raises ValueError for another form."""
    if not file.exists():
        return {}
    form = f'{file}: expected {{"name": "SHA-256 of the token in hex", ...}}'
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{form} ({error})") from None
    if not isinstance(content, dict):
        raise ValueError(form)
    tokens = dict[str, str]()
    for name, one in content.items():
        if not isinstance(one, str) or not re.fullmatch("[0-9a-f]{64}", one):
            raise ValueError(f"{form}; of {name[:60]!r} it is another. python -m apps.tokens NAME makes one anew")
        if checked(name) != name or one in tokens:
            raise ValueError(f"{form}, each name in lower case and each sum once ({name!r})")
        tokens[one] = name
    return tokens


class Guarded:
    """An ASGI application behind its guard. What it passes on knows the client's name as scope["state"]["who"]: that
    of the token, or None where none is wanted."""

    def __init__(self, inner: Application, settings: Settings):
        self.inner, self.settings = inner, settings
        self.rates = Rates(settings.per_minute)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.inner(scope, receive, send)
            return
        if scope["type"] != "http":  # no page has another door
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return

        async def hardened(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = {name.lower() for name, _ in message.get("headers", ())}
                message = {
                    **message,
                    "headers": [*message.get("headers", ()), *(h for h in HEADERS if h[0] not in own)],
                }
            await send(message)

        try:
            who, body = await self._let_in(scope, receive)
        except Refused as refused:
            await answer(hardened, refused)
            return
        state = {**scope.get("state", {}), "who": who}
        await self.inner({**scope, "state": state}, bodies.replayed(body, receive), hardened)

    async def _let_in(self, scope: Scope, receive: Receive) -> tuple[str | None, bytes]:
        """Return who asks, and the body. Raises Refused."""
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        self._check_host(headers)
        address = f"at {(scope.get('client') or ('?',))[0]}"
        try:
            who = self._who(scope, headers)
        except Refused:
            self._count(address)  # who tries tokens is slowed down, too
            raise
        self._count(who or address)
        if scope["method"] not in ("GET", "HEAD"):
            _check_origin(headers)
        return who, await bodies.read(receive, self.settings.most_bytes, headers.get("content-length"))

    def _check_host(self, headers: Mapping[str, str]) -> None:
        """A name that someone made point here (DNS rebinding) is none of ours."""
        try:
            asked = urlsplit(f"//{headers.get('host', '')}")
            name = "" if asked.username is not None or asked.path else (asked.hostname or "").lower()
        except ValueError:
            name = ""
        if self.settings.hosts and name not in self.settings.hosts:
            raise Refused(421, f"this page is asked by the names {', '.join(sorted(self.settings.hosts))}")

    def _who(self, scope: Scope, headers: Mapping[str, str]) -> str | None:
        """Return whose token it is. A token in the address is made a cookie, so that it stays in no history."""
        query = parse_qsl(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
        given = dict(query).get("token")
        if not self.settings.tokens:
            return None
        if given is not None and (who := self._known(given)):
            rest = urlencode([(name, value) for name, value in query if name != "token"])
            # one slash: two would name another host; quoted: no line of the path becomes a header's
            place = "/" + quote(scope["path"].lstrip("/\\")) + (f"?{rest}" if rest else "")
            secure = "; Secure" if scope.get("scheme") == "https" else ""
            # Lax: a link in a mail is another site's, and its redirect would bring no strict cookie. What changes
            # something must come from the page itself anyway.
            cookie = f"{COOKIE}={given}; Path=/; HttpOnly; SameSite=Lax; Max-Age={COOKIE_SECONDS}{secure}"
            headers_back = ((b"location", place.encode("ascii")), (b"set-cookie", cookie.encode("ascii")))
            raise Refused(303, f"welcome, {who}", *headers_back)
        who = self._known(_bearer(headers)) or self._known(_cookie(headers))
        if who is None:
            raise Refused(401, "a token is wanted: open the address that you were given, with ?token=...")
        return who

    def _known(self, token: str | None) -> str | None:
        if not token or not TOKEN.fullmatch(token):
            return None
        own = hashed(token)
        return next((who for one, who in self.settings.tokens.items() if hmac.compare_digest(one, own)), None)

    def _count(self, client: str) -> None:
        seconds = self.rates.wait(client)
        if seconds:
            words = f"expected at most {self.rates.most:.0f} requests a minute"
            raise Refused(429, words, (b"retry-after", str(seconds).encode()))


def _check_origin(headers: Mapping[str, str]) -> None:
    """What changes something comes from this page itself: another's page in the same browser can send no JSON here."""
    site = headers.get("sec-fetch-site", "same-origin")
    origin = headers.get("origin")
    if site not in ("same-origin", "none") or (
        origin is not None and _place(origin) != headers.get("host", "").lower()
    ):
        raise Refused(403, "expected a request from this page itself, not from another's")
    if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refused(415, "expected Content-Type: application/json")


def _place(origin: str) -> str | None:
    """Return host and port of an origin; None for one that is none of ours by its form, such as null."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return None
    return parts.netloc.lower() if parts.scheme in ("http", "https") and parts.netloc else None


def _bearer(headers: Mapping[str, str]) -> str | None:
    kind, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else None


def _cookie(headers: Mapping[str, str]) -> str | None:
    """By hand: http.cookies reads nothing after a cookie that it dislikes, and all programs of a host share cookies."""
    kept = (part.strip().partition("=") for part in headers.get("cookie", "").split(";"))
    return next((value.strip() for name, _, value in kept if name.strip() == COOKIE), None)

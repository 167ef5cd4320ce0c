"""Who may ask a page, and how much: tokens, hosts, origins, sizes and rates, before any request reaches a page.

A page on this machine alone (a loopback address) needs no token. Everyone who can reach any other address could read
and write what people said, so there a token is wanted; of tokens only SHA-256 sums are kept.
"""

import hashlib
import hmac
import ipaddress
import json
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit

COOKIE = "rlhf_token"
MOST_BYTES = 1 << 20  # of a request's body
MOST_CLIENTS = 10_000  # whose rates are remembered
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

Scope, Message = dict[str, Any], dict[str, Any]
Receive, Send = Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class Settings(NamedTuple):
    """What is allowed."""

    tokens: Mapping[str, str]  # {SHA-256 of a token, in hex: whose it is}; empty: none is wanted
    hosts: frozenset[str]  # names by which the page is asked, in lower case; empty: any (tokens then guard it)
    per_minute: int  # requests of a client
    most_bytes: int = MOST_BYTES


class Refused(Exception):  # noqa: N818 - no fault of this program: what is said to a client
    """A request that reaches no page."""

    def __init__(self, status: int, words: str, *headers: tuple[bytes, bytes]):
        super().__init__(words)
        self.status, self.headers = status, headers


def is_loopback(host: str) -> bool:
    """Return whether an address can be reached from this machine alone."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def hashed(token: str) -> str:
    """Return the sum by which a token is known."""
    return hashlib.sha256(token.encode("utf-8")).hexdigest()


def read_tokens(file: Path) -> dict[str, str]:
    """Return {sum: name} of a file of {"name": sum}, or {} where there is none. Raises ValueError for another form."""
    if not file.exists():
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        return {str(bytes.fromhex(one).hex()): name for name, one in content.items()}
    except (ValueError, AttributeError, TypeError):
        raise ValueError(f'{file}: expected {{"name": "SHA-256 of the token in hex", ...}}') from None


class Guarded:
    """An ASGI application behind its guard. What it passes on knows the client's name as scope["state"]["who"]: that
    of the token, or None where none is wanted."""

    def __init__(self, inner: Application, settings: Settings):
        self.inner, self.settings = inner, settings
        self.rates: OrderedDict[str, tuple[float, float]] = OrderedDict()  # client: (requests left, when)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.inner(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        begun = False

        async def hardened(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                own = {name.lower() for name, _ in message.get("headers", ())}
                message = {**message, "headers": [*message.get("headers", ()), *(h for h in HEADERS if h[0] not in own)]}
            await send(message)

        try:
            self._check_host(headers)
            who = self._who(scope, headers)
            self._count(who or str((scope.get("client") or ("?",))[0]))
            if scope["method"] not in ("GET", "HEAD"):
                self._check_origin(headers)
            length = headers.get("content-length", "0")
            if not length.isdecimal() or int(length) > self.settings.most_bytes:
                raise Refused(413, f"expected at most {self.settings.most_bytes} bytes (got {length})")
            scope = {**scope, "state": {**scope.get("state", {}), "who": who}}
            await self.inner(scope, self._bounded(receive), hardened)
        except Refused as refused:
            if begun:
                raise
            await _answer(hardened, refused)

    def _check_host(self, headers: Mapping[str, str]) -> None:
        """A name that someone made point here (DNS rebinding) is none of ours."""
        name = (urlsplit(f"//{headers.get('host', '')}").hostname or "").lower()
        if self.settings.hosts and name not in self.settings.hosts:
            raise Refused(421, f"this page is asked by the names {', '.join(sorted(self.settings.hosts))}")

    def _who(self, scope: Scope, headers: Mapping[str, str]) -> str | None:
        """Return whose token it is. A token in the address is made a cookie, so that it stays in no history."""
        if not self.settings.tokens:
            return None
        query = parse_qsl(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
        given = dict(query).get("token")
        if given is not None and (who := self._known(given)):
            rest = urlencode([(name, value) for name, value in query if name != "token"])
            place = scope["path"] + (f"?{rest}" if rest else "")
            secure = "; Secure" if scope.get("scheme") == "https" else ""
            cookie = f"{COOKIE}={given}; Path=/; HttpOnly; SameSite=Strict; Max-Age=2592000{secure}"
            raise Refused(
                303, f"welcome, {who}", (b"location", place.encode("utf-8")), (b"set-cookie", cookie.encode("latin-1"))
            )
        who = self._known(_bearer(headers)) or self._known(_cookie(headers))
        if who is None:
            raise Refused(401, "a token is wanted: open the address that you were given, with ?token=...")
        return who

    def _known(self, token: str | None) -> str | None:
        if not token:
            return None
        own = hashed(token)
        return next((who for one, who in self.settings.tokens.items() if hmac.compare_digest(one, own)), None)

    def _count(self, client: str) -> None:
        """A bucket that fills evenly, to a minute's requests at most."""
        now, most = time.monotonic(), float(self.settings.per_minute)
        left, before = self.rates.pop(client, (most, now))
        left = min(most, left + (now - before) * most / 60)
        self.rates[client] = (max(0.0, left - 1), now)
        if len(self.rates) > MOST_CLIENTS:
            self.rates.popitem(last=False)
        if left < 1:
            raise Refused(429, f"expected at most {most:.0f} requests a minute", (b"retry-after", b"5"))

    def _check_origin(self, headers: Mapping[str, str]) -> None:
        """What changes something comes from this page itself: another's page in the same browser can send no JSON here."""
        site = headers.get("sec-fetch-site", "same-origin")
        origin = headers.get("origin")
        if site not in ("same-origin", "none") or (origin and urlsplit(origin).netloc != headers.get("host")):
            raise Refused(403, "expected a request from this page itself, not from another's")
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise Refused(415, "expected Content-Type: application/json")

    def _bounded(self, receive: Receive) -> Receive:
        """Count what a body without a length brings."""
        got = 0

        async def counted() -> Message:
            nonlocal got
            message = await receive()
            got += len(message.get("body", b""))
            if got > self.settings.most_bytes:
                raise Refused(413, f"expected at most {self.settings.most_bytes} bytes")
            return message

        return counted


def _bearer(headers: Mapping[str, str]) -> str | None:
    kind, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else None


def _cookie(headers: Mapping[str, str]) -> str | None:
    try:
        kept = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return None
    return kept.value if kept else None


async def _answer(send: Send, refused: Refused) -> None:
    body = json.dumps({"error": str(refused)}, ensure_ascii=False).encode("utf-8")
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *refused.headers]
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

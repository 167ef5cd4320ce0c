"""Who may ask a page: hosts, origins, kinds, sizes, rates and tokens, whatever the page behind does."""

import asyncio
import json
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Any, NamedTuple

import pytest

from apps.serving import bodies
from apps.serving.guarding import COOKIE, Guarded, Settings, hashed, is_loopback, read_tokens

HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
TOKEN, OTHER = "ada-token", "ben-token"
TOKENS = {hashed(TOKEN): "ada", hashed(OTHER): "ben"}
JSON = ("content-type", "application/json")


class Said(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


async def page(scope, receive, send) -> None:
    """Say who asks and with what."""
    message = await receive()
    said = {"who": scope["state"]["who"], "length": len(message["body"])}
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": json.dumps(said).encode()})


def ask(
    guarded: Guarded, method: str = "GET", path: str = "/", headers: Sequence[tuple[str, str]] = (),
    parts: Sequence[bytes] = (b"",), client: str = "127.0.0.1",
) -> Said:  # fmt: skip
    """Return what a guarded page answers to one request, whose body comes in parts."""
    got: list[dict[str, Any]] = []
    place, _, query = path.partition("?")
    given = {"host": "127.0.0.1:8000", **dict(headers)}
    scope = {
        "type": "http", "method": method, "path": place, "query_string": query.encode("latin-1"), "client": (client, 1),
        "scheme": "http", "headers": [(name.encode(), value.encode("latin-1")) for name, value in given.items()],
    }  # fmt: skip
    waiting = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    waiting[-1]["more_body"] = False

    async def receive():
        return waiting.pop(0) if waiting else {"type": "http.disconnect"}

    async def send(message):
        got.append(message)

    asyncio.run(guarded(scope, receive, send))
    heads = {name.decode().lower(): value.decode("latin-1") for name, value in got[0]["headers"]}
    return Said(got[0]["status"], heads, b"".join(one.get("body", b"") for one in got[1:]))


def guarded(tokens=None, hosts=HOSTS, per_minute=1000, most_bytes=1000) -> Guarded:
    return Guarded(page, Settings(tokens or {}, hosts, per_minute, most_bytes))


def test_a_page_of_this_machine_is_asked_by_its_names_alone():
    for host in ("127.0.0.1:8000", "localhost", "LOCALHOST:8000", "[::1]:8000"):
        assert ask(guarded(), headers=[("host", host)]).status == 200, host
    for host in ("evil.example", "127.0.0.1.evil.example", "evil@127.0.0.1", "", "[::1", "127.0.0.1/x", "a:b:c"):
        assert ask(guarded(), headers=[("host", host)]).status == 421, host
    assert ask(guarded(TOKENS, frozenset()), headers=[("host", "any"), ("cookie", f"{COOKIE}={TOKEN}")]).status == 200


def test_every_answer_forbids_scripts_and_frames_of_others_a_refusal_too():
    for said in (ask(guarded()), ask(guarded(), headers=[("host", "evil.example")])):
        policy = said.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "script-src 'self'" in policy and "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert said.headers["x-content-type-options"] == "nosniff"
        assert said.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([JSON], 200),
        ([JSON, ("origin", "http://127.0.0.1:8000"), ("sec-fetch-site", "same-origin")], 200),
        ([("content-type", "application/json; charset=utf-8")], 200),
        ([JSON, ("origin", "http://evil.example")], 403),
        ([JSON, ("origin", "http://127.0.0.1:8001")], 403),
        ([JSON, ("origin", "null")], 403),
        ([JSON, ("origin", "")], 403),
        ([JSON, ("origin", "http://[")], 403),
        ([JSON, ("sec-fetch-site", "cross-site")], 403),
        ([JSON, ("sec-fetch-site", "same-site")], 403),
        ([("content-type", "text/plain")], 415),
        ([("content-type", "application/x-www-form-urlencoded")], 415),
        ([], 415),
    ],
)
def test_what_changes_something_comes_from_the_page_itself_as_json(headers, status):
    for method in ("POST", "DELETE", "PUT"):
        assert ask(guarded(), method, headers=headers, parts=[b"{}"]).status == status


def test_a_body_is_bounded_whatever_its_header_says():
    assert ask(guarded(), "POST", headers=[JSON], parts=[b"x" * 600, b"x" * 400]).status == 200
    assert ask(guarded(), "POST", headers=[JSON], parts=[b"x" * 600, b"x" * 401]).status == 413
    for length in ("1001", "-1", "9" * 5000, "1e3", "²"):
        assert ask(guarded(), "POST", headers=[JSON, ("content-length", length)]).status == 413, length
    assert json.loads(ask(guarded(), "POST", headers=[JSON], parts=[b"ab", b"c"]).body)["length"] == 3


def test_a_body_that_never_ends_holds_no_connection(monkeypatch):
    monkeypatch.setattr(bodies, "SECONDS", 0.01)

    async def silent():
        await asyncio.sleep(60)

    with pytest.raises(Exception, match="within") as refused:
        asyncio.run(bodies.read(silent, 10, None))
    assert refused.value.status == 408


def test_a_page_behind_is_told_that_its_reader_has_gone():
    async def read() -> list[str]:
        async def receive():
            return {"type": "http.disconnect"}

        replayed = bodies.replayed(b"{}", receive)
        return [(await replayed())["type"], (await replayed())["type"]]

    assert asyncio.run(read()) == ["http.request", "http.disconnect"]


def test_no_other_door_than_http_is_open():
    sent, reached = [], []

    async def inner(scope, receive, send):
        reached.append(scope["type"])

    async def receive():
        return {"type": "websocket.connect"}

    async def send(message):
        sent.append(message)

    asyncio.run(Guarded(inner, Settings({}, HOSTS, 10))({"type": "websocket", "headers": []}, receive, send))
    asyncio.run(Guarded(inner, Settings({}, HOSTS, 10))({"type": "lifespan"}, receive, send))
    assert reached == ["lifespan"]
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_who_asks_too_much_waits_and_others_do_not():
    one = guarded(per_minute=3)
    assert [ask(one).status for _ in range(5)] == [200, 200, 200, 429, 429]
    assert ask(one).headers["retry-after"] == "20"
    assert ask(one, client="127.0.0.2").status == 200


def test_of_each_token_requests_are_counted_apart_and_wrong_tokens_too():
    one = guarded(TOKENS, per_minute=2)
    ada, ben = [("cookie", f"{COOKIE}={TOKEN}")], [("cookie", f"{COOKIE}={OTHER}")]
    assert [ask(one, headers=ada).status for _ in range(3)] == [200, 200, 429]
    assert ask(one, headers=ben).status == 200
    wrong = [("cookie", f"{COOKIE}=guess")]
    assert [ask(one, headers=wrong, client="10.0.0.9").status for _ in range(3)] == [401, 401, 429]


def test_without_its_token_nobody_enters():
    one = guarded(TOKENS)
    for headers in ([], [("cookie", f"{COOKIE}=wrong")], [("authorization", "Bearer wrong")], [("cookie", COOKIE)]):
        assert ask(one, headers=headers).status == 401
    for headers in ([("cookie", f"other=1; bad cookie,; {COOKIE}={TOKEN}")], [("authorization", f"Bearer {TOKEN}")]):
        assert json.loads(ask(one, headers=headers).body)["who"] == "ada"
    assert json.loads(ask(guarded()).body)["who"] is None


def test_a_token_in_the_address_becomes_a_cookie_and_leaves_the_address():
    said = ask(guarded(TOKENS), path=f"/items?a=1&token={TOKEN}&b=%26")
    assert said.status == 303
    assert said.headers["location"] == "/items?a=1&b=%26"
    cookie = said.headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE}={TOKEN};") and "HttpOnly" in cookie and "SameSite=Lax" in cookie
    assert TOKEN.encode() not in said.body
    assert ask(guarded(TOKENS), path="/?token=wrong").status == 401
    assert ask(guarded(TOKENS), path="/?token=%C3%A9%0D%0Ax").status == 401


@pytest.mark.parametrize("path", ["//evil.example/x", "/\\evil.example", "/x\r\nset-cookie: a=b", "/ü"])
def test_the_redirect_stays_here(path):
    place = ask(guarded(TOKENS), path=f"{path}?token={TOKEN}").headers["location"]
    assert place.startswith("/") and not place.startswith(("//", "/\\"))
    assert place.isascii() and place.isprintable()


def test_only_addresses_of_this_machine_are_loopback():
    assert all(map(is_loopback, ("127.0.0.1", "127.9.9.9", "::1", "localhost")))
    assert not any(
        map(
            is_loopback,
            (str(IPv4Address(0)), str(IPv6Address(0)), "", "10.0.0.1", "example.com", "localhost.evil.example"),
        )
    )


@pytest.mark.parametrize(
    "content",
    ["[]", "{", '{"ada": 1}', '{"ada": "abc"}', '{"ada": "zz"}', f'{{"../x": "{hashed("a")}"}}',
     f'{{"Ada": "{hashed("a")}"}}', f'{{"ada": "{hashed("a")}", "ben": "{hashed("a")}"}}'],
)  # fmt: skip
def test_a_file_of_tokens_of_another_form_is_named(tmp_path, content):
    file = tmp_path / "tokens.json"
    file.write_text(content)
    with pytest.raises(ValueError, match="expected"):
        read_tokens(file)
    assert read_tokens(tmp_path / "none.json") == {}

"""Requests to an address that speaks OpenAI's /chat/completions: retries with backoff, a limit, and a key kept secret.

The key goes to the host of `base_url` alone: redirects are refused, and no .netrc is read. It stands in no message.
"""

import json
import os
import threading
import time
from typing import Any
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError

from rlhf.labelers.answer_cache import without_key
from rlhf.labelers.asking import Body
from rlhf.labelers.verdicts import Reply
from rlhf.params.labelers.kinds import ChatModel
from rlhf.records.json_values import is_object
from rlhf.secrets import masking

LARGEST = 4 << 20  # bytes of an answer
LONGEST_PAUSE = 120.0  # seconds between two tries, whatever the server asks for
FILTERED = "content_filter"  # an end, or an error, that stands for a refusal


class Failed(Exception):
    """A request whose every try has failed; the message says how the last one did."""


class Halted(Exception):
    """A request that was not sent, because another has ended the stage."""


class Client:
    """Sends requests, from several threads. Counts tries in `num_sent`; `halt()` ends those that wait."""

    def __init__(self, params: ChatModel):
        self._params, self._halted = params, threading.Event()
        self._lock, self._local = threading.Lock(), threading.local()
        self.num_sent = self.num_retries = 0
        self._key = key_of(params)

    def halt(self) -> None:
        """Let no request be sent any more."""
        self._halted.set()

    def ask(self, body: Body) -> Reply:
        """Return the answer to a request.

        Raises Failed where all tries have failed, ValueError for what no retry mends: a wrong key, address or model,
        a redirect, max_requests; Halted after `halt`.
        """
        problem, pause = "", 0.0
        for number in range(self._params.retries + 1):
            if number:
                pause = max(pause, self._params.backoff_seconds * 2 ** (number - 1))
                self._halted.wait(min(pause, LONGEST_PAUSE))
            self._count(is_retry=number > 0)
            try:
                status, headers, content = self._send(body)
            except (requests.RequestException, HTTPError, OSError) as error:
                problem, pause = f"{type(error).__name__}: {without_key(str(error), self._key):.200}", 0.0
                continue
            if status == 429 or status >= 500:
                problem, pause = f"status {status}: {self._shown(content)}", _seconds(headers.get("Retry-After"))
                continue
            reply = self._reply(status, headers, content)
            if reply is not None:
                return reply
            problem, pause = f"no answer in the form of /chat/completions: {self._shown(content)}", 0.0
        raise Failed(masking.masked(problem))

    def _count(self, is_retry: bool) -> None:
        with self._lock:
            if self._halted.is_set():
                raise Halted
            if self.num_sent >= self._params.max_requests:
                raise ValueError(
                    f"max_requests {self._params.max_requests} requests are sent, retries among them; what was "
                    "answered is kept, and the next run goes on from there"
                )
            self.num_sent += 1
            self.num_retries += is_retry

    def _send(self, body: Body) -> tuple[int, Any, bytes]:
        """Return status, headers and content, read within the time limit and up to LARGEST bytes."""
        ends = time.monotonic() + self._params.timeout_seconds
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        data = json.dumps(body, ensure_ascii=False).encode("utf-8", "backslashreplace")
        url = f"{self._params.base_url}/chat/completions"
        options: Any = {"timeout": self._params.timeout_seconds, "stream": True, "allow_redirects": False}
        with self._session().post(url, data=data, headers=headers, **options) as response:
            content = b""
            while len(content) <= LARGEST:
                piece = response.raw.read1(1 << 16)
                if not piece:
                    return response.status_code, response.headers, content
                content += piece
                if time.monotonic() > ends:
                    raise requests.Timeout(f"no whole answer within {self._params.timeout_seconds:g} s")
        raise requests.RequestException(f"an answer of more than {LARGEST} bytes")

    def _session(self) -> requests.Session:
        """Return this thread's own connection."""
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
            self._local.session.auth = self._authorised  # given, it keeps `requests` from reading .netrc
        return self._local.session

    def _authorised(self, request: Any) -> Any:
        if self._key:
            request.headers["Authorization"] = f"Bearer {self._key}"
        return request

    def _reply(self, status: int, headers: Any, content: bytes) -> Reply | None:
        """Return the answer, None for what is not one. Raises ValueError for what no retry mends."""
        if 300 <= status < 400:
            there = urlsplit(headers.get("Location", "")).hostname
            raise ValueError(
                f"{self._params.base_url} redirects to {there or 'another address'}, which does not get the key; set "
                "base_url to the address that answers itself"
            )
        said = _parsed(content)
        if status >= 400:
            error = said.get("error") if said else None
            if is_object(error) and error.get("code") == FILTERED:
                return Reply("", True, 0, 0)
            raise ValueError(
                f"{self._params.base_url} answers status {status} for model '{self._params.model}': "
                f"{self._shown(content)}{self._about_the_key(status)}"
            )
        return None if said is None else self._read(said)

    def _read(self, said: dict[str, Any]) -> Reply | None:
        choices, usage = said.get("choices"), said.get("usage")
        choice = choices[0] if isinstance(choices, list) and choices else None
        message = choice.get("message") if is_object(choice) else None
        if not is_object(choice) or not is_object(message):
            return None
        text = message.get("content")
        refused = bool(message.get("refusal")) or choice.get("finish_reason") == FILTERED
        if not isinstance(text, str) and not (text is None or refused):
            return None
        counted = usage if is_object(usage) else {}
        return Reply(
            without_key(text if isinstance(text, str) else "", self._key),
            refused,
            *(_count_of(counted.get(name)) for name in ("prompt_tokens", "completion_tokens")),
        )

    def _about_the_key(self, status: int) -> str:
        if status not in (401, 403):
            return ""
        name = self._params.key_variable
        return f"; key_variable names {name}" if name else "; key_variable is null, so that no key was sent"

    def _shown(self, content: bytes) -> str:
        """Return the beginning of what a server wrote, on one line and without secrets."""
        text = without_key(content.decode("utf-8", "replace"), self._key)
        return masking.masked(" ".join(text.split()))[:200]


def key_of(params: ChatModel) -> str | None:
    """Return the key, which is masked in all messages from now on. Raises ValueError where its variable is not set."""
    if params.key_variable is None:
        return None
    key = os.environ.get(params.key_variable, "").strip()
    if not key:
        raise ValueError(
            f"the environment variable {params.key_variable} (key_variable) is not set: export it with the key of "
            f"{params.base_url}, or set key_variable to null where it wants none"
        )
    if not key.isascii() or not key.isprintable():
        raise ValueError(f"the environment variable {params.key_variable} holds characters that no key has")
    masking.learn_secret(key)
    return key


def _parsed(content: bytes) -> dict[str, Any] | None:
    try:
        said: object = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return dict(said) if is_object(said) else None


def _count_of(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0


def _seconds(text: str | None) -> float:
    """Return what Retry-After asks for, in seconds; 0 for a date, or nothing."""
    return float(text) if text and text.strip().isdigit() and len(text) < 10 else 0.0

"""A page is served: its arguments, its guard, its address in a line, an end that loses nothing."""

import argparse
import contextlib
import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from apps.serving import guarding
from apps.serving.guarding import Guarded, Settings
from rlhf.secrets import guard

if TYPE_CHECKING:
    from starlette.applications import Starlette

TOKENS = Path(".cache/tokens.json")  # below the repository; python -m apps.tokens writes it
PORTS = range(1, 1 << 16)
PER_MINUTE = 1200  # requests of one client: more than a person's hands make, also with a page that asks by itself


def add_arguments(parser: argparse.ArgumentParser, port: int) -> None:
    """Add what every page takes."""
    parser.add_argument("--host", default="127.0.0.1", help="where it listens; others can reach any but 127.0.0.1")
    parser.add_argument("--port", type=int, default=port, help=f"({port})")
    parser.add_argument(
        "--name", action="append", default=[], metavar="HOST", help="a further name by which browsers ask for it"
    )
    parser.add_argument("--per-minute", type=int, default=PER_MINUTE, help=f"requests of one client ({PER_MINUTE})")


def settings(chosen: argparse.Namespace, root: Path) -> Settings:
    """Return what is allowed, by the arguments. Raises ValueError where others could reach it without a token."""
    if chosen.port not in PORTS:
        raise ValueError(f"--port: expected a number from {PORTS[0]} to {PORTS[-1]} (got {chosen.port})")
    if chosen.per_minute < 1:
        raise ValueError(f"--per-minute: expected at least 1 (got {chosen.per_minute})")
    tokens = guarding.read_tokens(root / TOKENS)
    loopback = guarding.is_loopback(chosen.host)
    if not loopback and not tokens:
        raise ValueError(
            f"--host {chosen.host}: others can reach this page, so each of them needs a token: "
            "python -m apps.tokens NAME makes one, or listen on 127.0.0.1"
        )
    names = {"localhost", "127.0.0.1", "::1", chosen.host.lower(), *(name.lower() for name in chosen.name)}
    known = frozenset() if not loopback and not chosen.name else frozenset(names)  # what others call this machine
    return Settings(tokens, known, chosen.per_minute)


def serve(app: "Starlette", allowed: Settings, host: str, port: int, title: str) -> int:
    """Serve until Ctrl-C or a signal; requests that have begun are answered. Returns the exit code."""
    import uvicorn

    try:
        listening = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        guard.say(f"{host}:{port}: {os.strerror(error.errno or 0)}. Name another: --port {port + 1}")
        return 1
    shown = f"[{host}]" if ":" in host else host
    token = "/?token=... (each person's own)" if allowed.tokens else ""
    guard.say(f"{title}: http://{shown}:{port}{token}   (Ctrl-C ends it)", sys.stdout)
    sys.stdout.flush()
    config = uvicorn.Config(
        Guarded(app, allowed),  # pyright: ignore[reportArgumentType]  # ASGI, with plain dicts
        log_level="error",
        access_log=False,  # prompts and answers are nobody's but their writer's
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=5,
        http="h11",  # also where another parser is installed
        h11_max_incomplete_event_size=64 << 10,
        limit_concurrency=2000,
        ws="none",
        lifespan="on",
    )
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C, which uvicorn passes on when all is answered
        uvicorn.Server(config).run(sockets=[listening])
    return 0

"""Where a page may listen, and what is said where it may not."""

import argparse
import json
import socket
from ipaddress import IPv4Address, IPv6Address

import pytest
from starlette.applications import Starlette

from apps.serving import running
from apps.serving.guarding import Settings, hashed


def chosen(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    running.add_arguments(parser, 8000)
    return parser.parse_args(arguments)


def with_token(root):
    (root / ".cache").mkdir()
    (root / running.TOKENS).write_text(json.dumps({"ada": hashed("t")}))


def test_on_this_machine_no_token_is_wanted_and_its_names_are_known(tmp_path):
    allowed = running.settings(chosen(), tmp_path)
    assert allowed.tokens == {}
    assert {"127.0.0.1", "localhost", "::1"} == allowed.hosts


@pytest.mark.parametrize("host", [str(IPv4Address(0)), str(IPv6Address(0)), "192.168.1.5", ""])
def test_where_others_reach_it_each_needs_a_token(tmp_path, host):
    with pytest.raises(ValueError, match=r"python -m apps\.tokens"):
        running.settings(chosen("--host", host), tmp_path)
    with_token(tmp_path)
    assert running.settings(chosen("--host", host), tmp_path).tokens == {hashed("t"): "ada"}


def test_names_by_which_others_ask_are_heeded(tmp_path):
    with_token(tmp_path)
    assert running.settings(chosen("--host", "192.168.1.5"), tmp_path).hosts == frozenset()
    named = running.settings(chosen("--host", "192.168.1.5", "--name", "Lab.example"), tmp_path)
    assert "lab.example" in named.hosts


@pytest.mark.parametrize("arguments", [("--port", "0"), ("--port", "65536"), ("--per-minute", "0")])
def test_numbers_out_of_range_are_named(tmp_path, arguments):
    with pytest.raises(ValueError, match=arguments[0]):
        running.settings(chosen(*arguments), tmp_path)


def test_a_port_in_use_is_said_with_the_next_one(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert running.serve(Starlette(), Settings({}, frozenset(), 1), "127.0.0.1", port, "page") == 1
    assert f"--port {port + 1}" in capsys.readouterr().err


def test_a_host_that_is_none_is_said(capsys):
    assert running.serve(Starlette(), Settings({}, frozenset(), 1), "no such host", 8000, "page") == 1
    assert "no such host:8000" in capsys.readouterr().err

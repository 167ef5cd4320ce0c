"""Buckets of requests: even filling, and that waiting always helps."""

from apps.serving import rates
from apps.serving.rates import Rates


def test_a_bucket_fills_evenly_and_to_a_minutes_requests_at_most():
    now = [0.0]
    some = Rates(60, lambda: now[0])
    assert [some.wait("a") for _ in range(61)] == [0] * 60 + [1]
    now[0] = 2.0
    assert [some.wait("a") for _ in range(3)] == [0, 0, 1]
    now[0] = 1000.0
    assert [some.wait("a") for _ in range(61)] == [0] * 60 + [1]


def test_refused_requests_take_nothing():
    now = [0.0]
    some = Rates(6, lambda: now[0])  # one in ten seconds
    for _ in range(6):
        assert some.wait("a") == 0
    for step in range(1, 20):  # asks twice a second all the while
        now[0] = step / 2
        assert some.wait("a") > 0
    now[0] = 10.0
    assert some.wait("a") == 0


def test_the_client_that_asked_longest_ago_is_forgotten(monkeypatch):
    monkeypatch.setattr(rates, "MOST_CLIENTS", 2)
    some = Rates(1, lambda: 0.0)
    assert [some.wait(client) for client in "aabbc"] == [0, 60, 0, 60, 0]
    assert some.wait("b") == 60
    assert some.wait("a") == 0

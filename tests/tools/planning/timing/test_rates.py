"""Seconds, by hand, of what is computed and of the rates at which it is."""

import pytest

from tests.tools.planning.shapes import SMALL, params
from tools.planning.terms import NOTHING
from tools.planning.timing import rates
from tools.planning.timing.rates import Given, Line, Plane, Rates
from tools.planning.work import LEARN, READ, Decoding, Pass, Stage, Updates

RATES = Rates(
    passes={LEARN: Plane(Line(1, 0.1), Line(2, 0.2)), READ: Plane(Line(0.5, 0.01), Line(0.25, 0.02))},
    heads={LEARN: Line(3, 0.5), READ: Line(0, 0.125)},
    steps=Plane(Line(0.5, 0.1), Line(1, 0.05)),
    draws=Line(0.25, 0.01),
    updates={"adamw": Line(7, 0.5)},
    tries=Line(1, 0.5),
    record=0.25,
    start=100.0,
    byte=1e-3,
    flops=1.0,
    took=0.0,
)


def runtime(**values):
    return params().runtime.model_copy(update={"workers": 1, "processes": 1} | values)


def seconds(stage, **values):
    return rates.seconds(stage, SMALL, RATES, runtime(**values)) - RATES.start


def test_lines_and_planes_go_through_what_was_measured():
    assert Line.through((2, 4), (10, 14)) == Line(6, 2)
    assert Line.through((2, 4), (10, 9)) == Line(10, 0)  # noise: more is not quicker
    points = {(1, 10): 1 + 2 + 10 * (3 + 4), (3, 10): 1 + 6 + 10 * (3 + 12), (1, 20): 3 + 20 * 7, (3, 20): 7 + 20 * 15}
    plane = Plane.through((1, 3), (10, 20), points)
    assert plane == Plane(Line(1, 3), Line(2, 4))
    assert plane.seconds(5, 7) == 1 + 3 * 7 + 5 * (2 + 4 * 7)


def test_passes_by_hand():
    stage = Stage((Pass(LEARN, number=4, tokens=10, scored=6, read=5),), loads=0)
    one = (1 + 0.1 * 10) + 2 * (2 + 0.2 * 10) + (3 + 0.5 * 6)
    assert seconds(stage) == pytest.approx(4 * one)
    assert seconds(stage, workers=2) == pytest.approx(2 * one)
    assert seconds(stage, workers=2, processes=2) == pytest.approx(one)
    scalar = Stage((Pass(LEARN, number=4, tokens=10, scored=0, read=5),), loads=0)
    assert seconds(scalar) == pytest.approx(4 * (one - 6))


def test_decoding_by_hand():
    stage = Stage((), (Decoding(number=2, rows=4, prompts=3, prompt=6, steps=10, tokens=20),), loads=0)
    prompts = (0.5 + 0.01 * 18) + 2 * (0.25 + 0.02 * 18)
    step = (0.5 + 0.1 * 2) + 2 * (1 + 0.05 * 2)  # of two rows on average
    assert seconds(stage) == pytest.approx(2 * (prompts + 10 * step + 10 * 0.25 + 20 * 0.01))


def test_updates_models_and_records_by_hand():
    stage = Stage((), (), (Updates(5, "adamw"), Updates(0, "not measured")), loads=2, saves=1, records=8)
    weights = 4 * SMALL.policy() * RATES.byte
    expected = 5 * (7 + 2 * 0.5) + 2 * (1 + 2 * 0.5 + weights) + rates.READ_AGAIN * weights + 8 * 0.25
    assert seconds(stage) == pytest.approx(expected)


def test_states_are_kept_now_and_then_and_at_the_end():
    held = NOTHING._replace(optimiser=800.0, trained=400.0, copies=800.0)
    assert rates.with_states(95.0, held, 30.0, RATES) == 95 + 2 * (1 + 3)
    assert rates.with_states(95.0, held, None, RATES) == 95
    assert rates.with_states(95.0, NOTHING, 30.0, RATES) == 95
    writes = NOTHING._replace(state=2000.0)  # it holds most before it trains
    assert rates.with_states(95.0, writes, 30.0, RATES) == rates.with_states(95.0, held, 30.0, RATES)


def test_a_given_rate_is_of_products_alone():
    passes = Stage((Pass(LEARN, number=4, tokens=10, scored=6, read=5),), (), (Updates(5, "adamw"),), loads=2)
    given = Given(flops=100.0, bandwidth=None)
    assert rates.seconds_at(passes, SMALL, given, runtime()) == pytest.approx(passes.flops(SMALL) / 100)
    assert rates.seconds_at(passes, SMALL, given, runtime(processes=4)) == pytest.approx(passes.flops(SMALL) / 400)


def test_decoding_reads_all_weights_at_each_step():
    stage = Stage((), (Decoding(number=2, rows=4, prompts=3, prompt=6, steps=10, tokens=20),), loads=0)
    fast = Given(flops=1e12, bandwidth=10.0)
    assert rates.seconds_at(stage, SMALL, fast, runtime()) == pytest.approx(2 * 10 * 4 * SMALL.policy() / 10)
    slow = Given(flops=1.0, bandwidth=1e12)
    assert rates.seconds_at(stage, SMALL, slow, runtime()) == pytest.approx(stage.flops(SMALL))

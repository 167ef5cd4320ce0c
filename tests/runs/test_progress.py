"""Progress on the screen: which lines are printed, and when an ETA can be believed."""

import pytest

from rlhf.runs import progress


class Clock:
    """Stands in for the module `time`; moves only when told."""

    def __init__(self):
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def shown(clock, capsys, bar, moments, total, first=1) -> list[str]:
    """Return the lines printed for steps that end at these moments (seconds after the stage began)."""
    for step, moment in enumerate(moments, start=first):
        clock.now = 100.0 + moment
        bar.show(step, total, {})
    return capsys.readouterr().out.splitlines()


def test_the_eta_counts_neither_start_up_nor_the_first_step(clock, capsys):
    bar = progress.Progress("sft", silent=False)
    lines = shown(clock, capsys, bar, [60.0, 70.0, 80.0], total=12)
    assert lines == ["sft  1/12  1m00s", "sft  2/12  1m10s  ETA 1m40s", "sft  3/12  1m20s  ETA 1m30s"]


def test_no_eta_is_made_of_an_instant(clock, capsys):
    bar = progress.Progress("sft", silent=False)
    bar.interval = 0.0  # as good as a terminal's
    lines = shown(clock, capsys, bar, [9.0, 9.1, 9.2, 12.0], total=1000)
    assert [line.partition("ETA")[2] for line in lines] == ["", "", "", " 16m36s"]


def test_a_second_loop_is_timed_afresh(clock, capsys):
    bar = progress.Progress("collect_comparisons@r1", silent=False)
    shown(clock, capsys, bar, [10.0, 110.0], total=2)
    lines = shown(clock, capsys, bar, [120.0, 130.0], total=3)
    assert lines == ["collect_comparisons@r1  1/3  2m00s", "collect_comparisons@r1  2/3  2m10s  ETA 10s"]


def test_steps_done_before_a_kill_are_neither_shown_nor_timed(clock, capsys):
    bar = progress.Progress("sft", silent=False)
    bar.goes_on_from(500)
    shown(clock, capsys, bar, [1.0] * 500, total=600)
    lines = shown(clock, capsys, bar, [30.0, 40.0], total=600, first=501)
    assert lines == ["sft  501/600  30s", "sft  502/600  40s  ETA 16m20s"]


def test_counts_are_shown_in_full(clock, capsys):
    progress.Progress("collect_prompts", silent=False).show(1, 1, {"documents": 34170, "loss": 0.123456})
    assert capsys.readouterr().out == "collect_prompts  1/1  documents 34170  loss 0.1235  0s\n"

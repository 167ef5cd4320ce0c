"""Progress on the screen: which lines are printed, and when an ETA can be believed."""

import io
import sys

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


def test_elsewhere_lines_come_every_five_seconds_and_on_a_new_loop_at_once(clock, capsys):
    bar = progress.Progress("sft", silent=False)
    lines = shown(clock, capsys, bar, [1.0, 5.9, 6.0, 10.9, 11.0, 11.5], total=6)
    assert [line.split()[1] for line in lines] == ["1/6", "3/6", "5/6", "6/6"]
    assert [line.split()[1] for line in shown(clock, capsys, bar, [11.6, 11.7], total=6)] == ["1/6"]
    assert bar.elapsed() == pytest.approx(11.7)


def test_an_eta_is_shown_from_two_seconds_of_steps_on_and_not_at_the_end(clock, capsys):
    bar = progress.Progress("sft", silent=False)
    bar.interval = 0.0
    lines = shown(clock, capsys, bar, [1.0, 2.9, 3.0, 9.0], total=4)
    assert lines == ["sft  1/4  1s", "sft  2/4  3s", "sft  3/4  3s  ETA 1s", "sft  4/4  9s"]


def test_a_step_that_was_done_before_is_not_the_first_of_a_new_loop(clock, capsys):
    bar = progress.Progress("sft", silent=False)
    bar.goes_on_from(2)
    assert capsys.readouterr().out == "sft  goes on after step 2\n"
    lines = shown(clock, capsys, bar, [1.0, 2.0, 3.0, 23.0], total=5)
    assert lines == ["sft  3/5  3s", "sft  4/5  23s  ETA 20s"]


def test_a_second_loop_of_one_step_is_shown(clock, capsys):
    bar = progress.Progress("sft", silent=False)
    for _ in range(2):
        assert shown(clock, capsys, bar, [0.0], total=1) == ["sft  1/1  0s"]
    assert shown(clock, capsys, bar, [1.0], total=9) == ["sft  1/9  1s"], "at once, though a line was just printed"


class Terminal(io.StringIO):
    """Stands in for standard output: keeps what it was told, and counts how often it was flushed."""

    def __init__(self, is_terminal: bool):
        super().__init__()
        self.is_terminal, self.flushed = is_terminal, 0

    def isatty(self) -> bool:
        return self.is_terminal

    def flush(self) -> None:
        self.flushed += 1


def output(monkeypatch, is_terminal: bool) -> Terminal:
    """Make standard output a terminal, or a file, for this test."""
    stream = Terminal(is_terminal)
    monkeypatch.setattr(sys, "stdout", stream)
    return stream


def test_on_a_terminal_one_line_renews_itself_five_times_a_second(clock, monkeypatch):
    terminal = output(monkeypatch, True)
    bar = progress.Progress("sft", silent=False)
    for step, moment in enumerate([0.0, 0.1, 0.25, 9.0], start=1):
        clock.now = 100.0 + moment
        bar.show(step, 4, {"loss": step / 2})
    renewed = ["\r\x1b[2Ksft  1/4  loss 0.5  0s", "\r\x1b[2Ksft  3/4  loss 1.5  0s", "\r\x1b[2Ksft  4/4  loss 2  9s\n"]
    assert terminal.getvalue() == "".join(renewed)
    assert terminal.flushed == 3, "a line without an end is shown at once"


def test_a_line_of_its_own_stands_below_an_unfinished_one(clock, monkeypatch):
    terminal = output(monkeypatch, True)
    bar = progress.Progress("sft", silent=False)
    bar.say("begins")
    bar.show(1, 2, {})
    bar.say("a word")
    bar.say("another")
    clock.now += 1
    bar.show(2, 2, {})
    bar.say("ended")
    words = "begins\n", "\r\x1b[2Ksft  1/2  0s", "\na word\nanother\n", "\r\x1b[2Ksft  2/2  1s\n", "ended\n"
    assert terminal.getvalue() == "".join(words)
    assert terminal.flushed == 6


def test_elsewhere_every_line_is_whole_and_flushed(clock, monkeypatch):
    terminal = output(monkeypatch, False)
    bar = progress.Progress("sft", silent=False)
    bar.show(1, 2, {})
    bar.say("a word")
    assert terminal.getvalue() == "sft  1/2  0s\na word\n"
    assert terminal.flushed == 2


def test_a_silent_one_prints_nothing(clock, capsys):
    bar = progress.Progress("sft", silent=True)
    bar.goes_on_from(1)
    assert shown(clock, capsys, bar, [0.0, 1.0, 2.0], total=3) == []
    bar.say("a word")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0s"), (59.4, "59s"), (59.6, "1m00s"), (61, "1m01s"), (3599, "59m59s"), (3600, "1h00m"),
        (3659, "1h00m"), (3660, "1h01m"), (7199, "1h59m"), (7200, "2h00m"), (100 * 3600, "100h00m"),
    ],
)  # fmt: skip
def test_durations_are_as_long_as_they_are_read(seconds, text):
    assert progress.duration(seconds) == text

"""Plain Python work in several processes: results in order, and errors that come back."""

import os

import pytest

from rlhf.runtime import processes


def square(number: int) -> tuple[int, int]:
    return number * number, os.getpid()


def refuse(number: int) -> int:
    if number == 2:
        raise ValueError("two is not wanted")
    return number


def test_results_come_in_the_order_of_the_parts_from_other_processes():
    found = list(processes.each(square, range(8)))
    assert [value for value, _ in found] == [0, 1, 4, 9, 16, 25, 36, 49]
    if len(os.sched_getaffinity(0)) > 1:
        assert os.getpid() not in {process for _, process in found}


def test_a_single_part_starts_no_process():
    assert list(processes.each(square, [3])) == [(9, os.getpid())]


def test_an_error_in_a_part_is_raised_here():
    with pytest.raises(ValueError, match="two is not wanted"):
        list(processes.each(refuse, range(4)))

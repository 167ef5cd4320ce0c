"""Work in other processes keeps its order, ends with its errors, and takes no process with it."""

import os
import signal
import subprocess
import sys
import time
from itertools import count, islice

import psutil
import pytest

from rlhf.runtime.workers import Workers, usable_cpus
from tests import toys


def squared(number):
    time.sleep(0.02 * (number % 3))
    return number * number, os.getpid()


def killed_at_seven(number):
    if number == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def broken_at_seven(number):
    assert number != 7
    return number


@pytest.mark.process
def test_results_come_in_the_order_of_their_parts_from_several_processes():
    with Workers(squared, 3) as workers:
        found = [*workers.each(range(20))]
    assert [value for value, _ in found] == [number * number for number in range(20)]
    assert len({process for _, process in found} | {os.getpid()}) == 4


@pytest.mark.process
def test_parts_without_end_are_taken_as_results_are_asked_for():
    taken = []

    def parts():
        for number in count():
            taken.append(number)
            yield number

    with Workers(squared, 2) as workers:
        assert len([*islice(workers.each(parts()), 10)]) == 10
    assert len(taken) <= 13


@pytest.mark.process
@pytest.mark.parametrize(
    ("function", "problem"),
    [(killed_at_seven, "was killed by signal 9; if memory ran out"), (broken_at_seven, "ended with exit code 1")],
)
def test_a_worker_that_ends_early_ends_the_work_with_an_error(function, problem):
    with Workers(function, 2) as workers:
        found = workers.each(range(20))
        assert next(found) == 0
        with pytest.raises(ChildProcessError, match=problem):
            list(found)
    assert not [child for child in psutil.Process().children() if "spawn_main" in " ".join(child.cmdline())]


HANGS = """
import time
from rlhf.runtime.workers import Workers
from tests.runtime.test_workers import squared
if __name__ == "__main__":
    with Workers(squared, 2) as workers:
        for value in workers.each(iter(int, 1)):
            print(value[1], flush=True)
"""


@pytest.mark.process
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_the_process_that_started_them(tmp_path, number):
    script = tmp_path / "hangs.py"
    script.write_text(HANGS)
    environment = os.environ | {"PYTHONPATH": str(toys.REPO)}
    with subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, text=True, env=environment, stderr=subprocess.DEVNULL
    ) as process:
        pids = {int(process.stdout.readline()) for _ in range(4)}
        process.send_signal(number)
        process.stdout.read()
    assert len(pids) == 2
    for _ in range(100):
        if not any(psutil.pid_exists(pid) for pid in pids):
            return
        time.sleep(0.1)
    raise AssertionError("a worker is left")


def test_the_cpus_that_this_process_may_use_are_counted():
    assert 1 <= usable_cpus() <= os.cpu_count()

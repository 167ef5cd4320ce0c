"""Freed memory stays in the process, so that a training step pages nothing in."""

import platform
import subprocess
import sys

import pytest

# a tensor of 48 MiB, more than glibc ever keeps by itself, is written and freed twenty times; how many pages the last
# ten rounds asked for
ROUNDS = """
import resource, torch
{first}
counts = []
for _ in range(20):
    torch.ones(12 * 2**20)
    counts.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
print(counts[-1] - counts[9])
"""


def pages(first: str) -> int:
    command = [sys.executable, "-c", ROUNDS.format(first=first)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_freed_memory_is_used_again():
    assert pages("from rlhf.engine import allocator; allocator.keep_freed_memory()") < 1000
    assert pages("") > 10000  # or the test says nothing

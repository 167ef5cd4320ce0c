"""Stages that are broken off, as by a kill, once so many steps are done."""

from collections.abc import Callable

import pytest

from rlhf.runs import checkpoints


class Killed(Exception):
    pass


def broken_off(monkeypatch, after: int, run: Callable[[], None]) -> None:
    """Run until a step after so many would be kept, and see that it ends there."""
    keep = checkpoints.States.keep

    def dying(self, point, parts, last):
        if point["step"] > after:
            raise Killed
        keep(self, point, parts, last)

    with monkeypatch.context() as patched:
        patched.setattr(checkpoints.States, "keep", dying)
        with pytest.raises(Killed):
            run()

"""Commands: `python -m tools.check`."""

from rlhf.runs import interrupts

interrupts.end_without_traceback()

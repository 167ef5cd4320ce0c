"""Work that can go on once people have done something: no mistake, and no failure."""

CODE = 75  # exit code of a stage that waits, and of `python -m tools.waiting`: EX_TEMPFAIL of BSD's sysexits.h


class Waiting(Exception):
    """What is waited for, and how it comes, in one line or two."""

"""Names by which people are known in files: of labelers and of users who chat."""

import re

NAME = re.compile(r"[a-z0-9](?:[a-z0-9_.-]{0,38}[a-z0-9])?")  # also a file's name, on any system


def checked(name: str) -> str:
    """Return a person's name, in lower case. Raises ValueError for what can be no file's name."""
    small = name.strip().lower()
    if not NAME.fullmatch(small) or ".." in small:
        raise ValueError(
            f"expected a name of at most 40 letters a-z, digits, and . _ - between them (got {name[:60]!r})"
        )
    return small

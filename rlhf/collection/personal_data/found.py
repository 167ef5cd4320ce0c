"""What a rule says of a text: where personal data stand, and whether anybody's."""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple


class Found(NamedTuple):
    """The characters start..end of a text; a placeholder is nobody's: example.com, 555-0123, a test card."""

    start: int
    end: int
    is_placeholder: bool = False


URL = re.compile(r"""(?:://|\bwww\.)[^\s<>"'()]+""")
FULL_WIDTH = {0xFF01 + offset: 0x21 + offset for offset in range(0x5E)}
SPACES_AND_HYPHENS = dict.fromkeys([0xA0, *range(0x2000, 0x200B), 0x202F, 0x3000], " ") | dict.fromkeys(
    [*range(0x2010, 0x2016), 0x2212], "-"
)
ONE_FOR_ONE = FULL_WIDTH | SPACES_AND_HYPHENS
OTHERWISE_WRITTEN = re.compile("[\uff10-\uff19\uff20-\uff3a\uff41-\uff5a\xa0\u2010\u2011\u2009\u202f]")


def plainly_written(text: str) -> str:
    """Return a text of the same length with full-width letters and digits, odd spaces and hyphens as ASCII has them."""
    return text if text.isascii() or not OTHERWISE_WRITTEN.search(text) else text.translate(ONE_FOR_ONE)


def digits_of(text: str) -> str:
    return "".join(filter(str.isdigit, text))


def before(text: str, place: int, length: int) -> str:
    """Return the characters of a line that stand before a place, at most so many."""
    return text[max(place - length, 0) : place].rpartition("\n")[2]


def outside_of_urls(text: str, found: Iterable[Found]) -> Iterator[Found]:
    """Yield those of the findings, in order, that lie in no address of the web."""
    urls = URL.finditer(text) if "://" in text or "www." in text else iter(())
    url = next(urls, None)
    for one in found:
        while url is not None and url.end() <= one.start:
            url = next(urls, None)
        if url is None or one.end <= url.start():
            yield one

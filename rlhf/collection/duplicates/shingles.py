"""Texts -> hashes of their runs of words ("shingles": Broder 1997), for many texts at once.

A word is what `cleaning.words` calls one, a Han character by itself among them; a symbol is one too, so that `12 + 5`
and `12 - 5`, or C, C++ and C#, differ. Marks of punctuation are none.
"""

import re
import zlib
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlhf.collection.cleaning import HAN

LETTERS = re.compile(rf"[^\W_{HAN}]+")
SYMBOLS = r"+*/=<>|^~#%&@$\\\u00a2-\u00a5\u00ac\u00b0\u00b1\u00d7\u00f7\u2044\u20a0-\u20cf\u2190-\u22ff"
ALONE = re.compile(f"[{HAN}{SYMBOLS}]+")
HYPHENS = "-\u2010\u2011\u2212"  # a minus sign, unless it stands between letters
JOINING = "'’"  # within a word
SEPARATOR, LETTER, SINGLE, JOINS, HYPHEN = range(5)  # what a character is
END = 10  # "\n": no folded text holds one
BASE, INVERSE = 0x9E3779B97F4A7C15, pow(0x9E3779B97F4A7C15, -1, 1 << 64)
OF_CHARACTER, OF_RUN, FIRST, SECOND = 0xD6E8FEB86659FD93, 0xC2B2AE3D27D4EB4F, 0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53
AT_A_TIME = 1 << 18  # characters

Hashes = NDArray[np.uint32]


class Shingles(NamedTuple):
    """The different runs of some texts, text by text, each text's in ascending order."""

    hashes: Hashes
    sizes: NDArray[np.int64]  # how many each text has


def shingles(texts: Sequence[str], size: int) -> Shingles:
    """Return 32-bit hashes of all runs of `size` words of folded texts.

    A text of fewer words is one run, and so is one without any word.
    """
    found = [_of_some(part, size) for part in _parts(texts)]
    if not found:
        return Shingles(np.empty(0, np.uint32), np.empty(0, np.int64))
    return Shingles(np.concatenate([one.hashes for one in found]), np.concatenate([one.sizes for one in found]))


def _parts(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield the texts in groups of about AT_A_TIME characters."""
    start = length = 0
    for number, text in enumerate(texts, start=1):
        length += len(text)
        if length >= AT_A_TIME:
            yield texts[start:number]
            start, length = number, 0
    if start < len(texts):
        yield texts[start:]


def _of_some(texts: Sequence[str], size: int) -> Shingles:
    words, owners = _words(texts)
    runs = np.zeros(words.size, np.uint64)
    whole = np.zeros(words.size, bool)
    for place in range(size):  # of a word within its run
        reaches = slice(place, None), slice(None, words.size - place)
        same = owners[reaches[0]] == owners[reaches[1]]
        factor = np.uint64(pow(OF_RUN, place + 1, 1 << 64))
        runs[reaches[1]] += np.where(same, words[reaches[0]] * factor, np.uint64(0))
        if place == size - 1:
            whole[reaches[1]] = same
        if place + 1 >= words.size:
            break
    first = np.flatnonzero(np.diff(owners, prepend=-1))
    counts = np.bincount(owners, minlength=len(texts))
    whole[first[counts[owners[first]] < size]] = True
    hashes = (_mixed(runs[whole]) >> np.uint64(32)).astype(np.uint32)
    owners = owners[whole]
    empty = np.flatnonzero(counts == 0)
    if empty.size:
        wordless = [texts[number].encode("utf-8", "surrogatepass") for number in empty.tolist()]
        own = np.array([zlib.crc32(text) for text in wordless], np.uint32)
        hashes, owners = np.concatenate([hashes, own]), np.concatenate([owners, empty])
    keys = np.sort((owners.astype(np.uint64) << np.uint64(32)) | hashes)
    keys = keys[np.diff(keys, prepend=keys[:1] + np.uint64(1)) != 0] if keys.size else keys
    return Shingles(keys.astype(np.uint32), np.bincount((keys >> np.uint64(32)).astype(np.int64), minlength=len(texts)))


def _words(texts: Sequence[str]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return a hash of each word, and which text it is of."""
    codes = np.frombuffer("\n".join([*texts, ""]).encode("utf-32-le", "surrogatepass"), np.uint32)
    kinds = _kinds_in_place(_kinds()[codes])
    is_letter, is_single = kinds == LETTER, kinds == SINGLE
    starts = np.flatnonzero(is_single | (is_letter & ~np.roll(is_letter, 1)))  # the last one is an END
    ends = np.flatnonzero(is_single | (is_letter & ~np.roll(is_letter, -1)))
    powers, inverse = _powers(1 << (codes.size - 1).bit_length())
    sums = np.cumsum(codes.astype(np.uint64) * np.uint64(OF_CHARACTER) * powers[: codes.size])
    before = np.where(starts > 0, sums[starts - 1], np.uint64(0))
    words = _mixed((sums[ends] - before) * inverse[starts] + (ends - starts).astype(np.uint64))
    return words, np.searchsorted(np.flatnonzero(codes == END), starts)


def _kinds_in_place(kinds: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Decide what depends on the neighbours: an apostrophe or a hyphen between letters."""
    undecided = np.flatnonzero(kinds >= JOINS)
    between = (kinds[undecided - 1] == LETTER) & (kinds[(undecided + 1) % kinds.size] == LETTER)
    joins = kinds[undecided] == JOINS
    kinds[undecided] = np.where(joins, np.where(between, LETTER, SEPARATOR), np.where(between, SEPARATOR, SINGLE))
    return kinds


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread what differs over all bits (the finaliser of MurmurHash3)."""
    values = (values ^ (values >> np.uint64(33))) * np.uint64(FIRST)
    values = (values ^ (values >> np.uint64(33))) * np.uint64(SECOND)
    return values ^ (values >> np.uint64(33))


@cache
def _kinds() -> NDArray[np.uint8]:
    """Return what each character is, by its code."""
    every = "".join(map(chr, chain(range(0xD800), [0xFFFD] * 0x800, range(0xE000, 0x110000))))
    kinds = np.zeros(len(every), np.uint8)
    for pattern, kind in ((LETTERS, LETTER), (ALONE, SINGLE)):
        for found in pattern.finditer(every):
            kinds[found.start() : found.end()] = kind
    for characters, kind in ((JOINING, JOINS), (HYPHENS, HYPHEN)):
        kinds[[ord(character) for character in characters]] = kind
    return kinds


@cache
def _powers(count: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return the powers of BASE and of its inverse modulo 2**64."""
    bases = np.full((2, count), [[BASE], [INVERSE]], np.uint64)
    bases[:, 0] = 1
    powers, inverse = np.cumprod(bases, axis=1, dtype=np.uint64)
    return powers, inverse

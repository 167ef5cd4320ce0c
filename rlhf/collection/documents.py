"""Pretraining documents: no two equal, none longer than a limit, a share of them held out for validation."""

import hashlib
import re
from collections.abc import Iterator

from rlhf.collection.duplicates.folding import folded
from rlhf.params.collect_prompts import Documents
from rlhf.records.types import Document
from rlhf.runtime.seeds import derive

NOT_SPACE = re.compile(r"\S")


class SeenDocuments:
    """Remembers documents by the digest of their folded text."""

    def __init__(self) -> None:
        self._digests: set[bytes] = set()

    def repeats(self, text: str) -> bool:
        """Return whether an equal text was asked about before."""
        digest = hashlib.blake2b(folded(text).encode(), digest_size=16).digest()
        known = digest in self._digests
        self._digests.add(digest)
        return known


def pieces(document: Document, params: Documents) -> Iterator[Document]:
    """Yield a document in pieces of at most `characters.max`, cut at a line end, else at a space, else anywhere."""
    text, limit, start = document["text"], params.characters.max, 0
    while len(text) - start > limit:
        first, end = start + 1, start + limit + 1
        cut = max(text.rfind("\n", first, end), 0) or max(text.rfind(" ", first, end), 0) or start + limit
        yield {**document, "text": text[start:cut].rstrip()}
        next_word = NOT_SPACE.search(text, cut)
        start = next_word.start() if next_word else len(text)
    if start < len(text):
        yield {**document, "text": text[start:]}


def split_off_validation(documents: list[Document], share: float, seed: int) -> tuple[list[Document], list[Document]]:
    """Return (train, validation) in an order drawn from the seed; both have a document where there are two."""
    order = sorted(range(len(documents)), key=lambda index: derive(seed, "document", index))
    shuffled = [documents[index] for index in order]
    count = max(1, round(share * len(shuffled))) if len(shuffled) > 1 else 0
    return shuffled[count:], shuffled[:count]

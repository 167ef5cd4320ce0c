"""Pretraining documents: none longer than a limit."""

import re
from collections.abc import Iterator

from rlhf.params.collect_prompts import Documents
from rlhf.records.types import Document

NOT_SPACE = re.compile(r"\S")


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

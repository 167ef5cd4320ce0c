"""The words of an answer that carry its content, each with the others of its kind: names, objects, animals, their facts, ..."""

from stages.world import chinese, knowledge

KINDS = {
    "en": (
        tuple(knowledge.ANIMALS), knowledge.NAMES, knowledge.OBJECTS, knowledge.EVENTS, knowledge.MOODS, knowledge.REVIEWED,
        *knowledge.VALUES.values(), knowledge.ITEMS, knowledge.QUALITIES["good"] + knowledge.QUALITIES["bad"],
        ("good", "bad"), tuple(knowledge.COUNTS),
    ),
    "zh": (
        tuple(chinese.ANIMALS), chinese.NAMES, chinese.OBJECTS, chinese.MOODS, *chinese.VALUES.values(), chinese.ITEMS,
    ),
}  # fmt: skip


def places(text: str, word: str, language: str) -> list[int]:
    """Return where a word begins in a text; of English only whole words."""
    found, start = [], text.find(word)
    while start >= 0:
        neighbours = text[max(0, start - 1) : start] + text[start + len(word) : start + len(word) + 1]
        if language == "zh" or not any(letter.isalpha() for letter in neighbours):
            found.append(start)
        start = text.find(word, start + 1)
    return found


def content_words(text: str, language: str) -> list[tuple[int, str, tuple[str, ...]]]:
    """Return (place, word, kind) of every content word, kind by kind; a word of two kinds comes twice, one inside a longer one not."""
    found = [(place, word, kind) for kind in KINDS[language] for word in kind for place in places(text, word, language)]
    spans = {(place, place + len(word)) for place, word, _ in found}

    def inside(place: int, word: str) -> bool:
        end = place + len(word)
        return any(start <= place and end <= stop and (start, stop) != (place, end) for start, stop in spans)

    return [(place, word, kind) for place, word, kind in found if not inside(place, word)]


def replaced(text: str, place: int, word: str, other: str) -> str:
    """Return the text with `other` in the place of the word that begins at `place`."""
    return text[:place] + other + text[place + len(word) :]

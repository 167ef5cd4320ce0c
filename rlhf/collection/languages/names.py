"""Names and codes by which data sets call languages -> ISO 639-1 codes."""

import re

NAMES = {  # the words of which any in a name decides
    "en": "en eng english",
    "zh": "zh zho chi cmn yue chinese mandarin cantonese 中文 汉语 漢語 简体中文 繁體中文 普通话",
}
OTHERS = {  # those that are a name, or its beginning; programming languages have short names, too
    "ar": "arabic", "bg": "bulgarian", "bn": "bengali", "ca": "catalan", "cs": "czech", "da": "danish", "de": "german",
    "el": "greek", "es": "spanish", "et": "estonian", "fa": "persian", "fi": "finnish", "fr": "french", "he": "hebrew",
    "hi": "hindi", "hr": "croatian", "hu": "hungarian", "id": "indonesian", "it": "italian", "ja": "japanese",
    "ko": "korean", "lt": "lithuanian", "lv": "latvian", "ms": "malay", "nl": "dutch", "no": "norwegian",
    "pl": "polish", "pt": "portuguese", "ro": "romanian", "ru": "russian", "sk": "slovak", "sl": "slovenian",
    "sr": "serbian", "sv": "swedish", "sw": "swahili", "ta": "tamil", "te": "telugu", "th": "thai", "tl": "tagalog",
    "tr": "turkish", "uk": "ukrainian", "ur": "urdu", "vi": "vietnamese", "other": "other",
}  # fmt: skip


def code_of(name: str) -> str | None:
    """Return the code of the language of that name; None where it names none ("python")."""
    name = name.strip().lower()
    words = [name, re.split(r"[-_ (]", name)[0], name.split()[-1] if name else ""]  # zh-CN, en_US, Simplified Chinese
    for word in words:
        for code, names in NAMES.items():
            if word in names.split():
                return code
    return next((code for code, other in OTHERS.items() if {code, other} & {*words[:2]}), None)

"""Languages: their codes and names, and how their text is written."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

ENGLISH = "en"
UNKNOWN = "und"
"""The code (ISO 639-2) of a text in a language that isn't known, but isn't English."""
AUTO = "auto"
"""As a choice of language: to find out which one is spoken."""

LANGUAGES = {
    "af": "Afrikaans",
    "am": "Amharic",
    "ar": "Arabic",
    "as": "Assamese",
    "az": "Azerbaijani",
    "ba": "Bashkir",
    "be": "Belarusian",
    "bg": "Bulgarian",
    "bn": "Bengali",
    "bo": "Tibetan",
    "br": "Breton",
    "bs": "Bosnian",
    "ca": "Catalan",
    "cs": "Czech",
    "cy": "Welsh",
    "da": "Danish",
    "de": "German",
    "el": "Greek",
    "en": "English",
    "es": "Spanish",
    "et": "Estonian",
    "eu": "Basque",
    "fa": "Persian",
    "fi": "Finnish",
    "fo": "Faroese",
    "fr": "French",
    "gl": "Galician",
    "gu": "Gujarati",
    "ha": "Hausa",
    "haw": "Hawaiian",
    "he": "Hebrew",
    "hi": "Hindi",
    "hr": "Croatian",
    "ht": "Haitian Creole",
    "hu": "Hungarian",
    "hy": "Armenian",
    "id": "Indonesian",
    "is": "Icelandic",
    "it": "Italian",
    "ja": "Japanese",
    "jw": "Javanese",
    "ka": "Georgian",
    "kk": "Kazakh",
    "km": "Khmer",
    "kn": "Kannada",
    "ko": "Korean",
    "la": "Latin",
    "lb": "Luxembourgish",
    "ln": "Lingala",
    "lo": "Lao",
    "lt": "Lithuanian",
    "lv": "Latvian",
    "mg": "Malagasy",
    "mi": "Maori",
    "mk": "Macedonian",
    "ml": "Malayalam",
    "mn": "Mongolian",
    "mr": "Marathi",
    "ms": "Malay",
    "mt": "Maltese",
    "my": "Burmese",
    "ne": "Nepali",
    "nl": "Dutch",
    "nn": "Norwegian Nynorsk",
    "no": "Norwegian",
    "oc": "Occitan",
    "pa": "Punjabi",
    "pl": "Polish",
    "ps": "Pashto",
    "pt": "Portuguese",
    "ro": "Romanian",
    "ru": "Russian",
    "sa": "Sanskrit",
    "sd": "Sindhi",
    "si": "Sinhala",
    "sk": "Slovak",
    "sl": "Slovenian",
    "sn": "Shona",
    "so": "Somali",
    "sq": "Albanian",
    "sr": "Serbian",
    "su": "Sundanese",
    "sv": "Swedish",
    "sw": "Swahili",
    "ta": "Tamil",
    "te": "Telugu",
    "tg": "Tajik",
    "th": "Thai",
    "tk": "Turkmen",
    "tl": "Tagalog",
    "tr": "Turkish",
    "tt": "Tatar",
    "uk": "Ukrainian",
    "ur": "Urdu",
    "uz": "Uzbek",
    "vi": "Vietnamese",
    "yi": "Yiddish",
    "yo": "Yoruba",
    "yue": "Cantonese",
    "zh": "Chinese",
}
"""The languages that Whisper was trained on, by the codes that it uses."""

LONG_CODES = {
    "ara": "ar",
    "ces": "cs",
    "chi": "zh",
    "cze": "cs",
    "dan": "da",
    "deu": "de",
    "dut": "nl",
    "ell": "el",
    "eng": "en",
    "fin": "fi",
    "fra": "fr",
    "fre": "fr",
    "ger": "de",
    "gre": "el",
    "heb": "he",
    "hin": "hi",
    "hun": "hu",
    "ita": "it",
    "jpn": "ja",
    "kor": "ko",
    "nb": "no",
    "nld": "nl",
    "nor": "no",
    "pol": "pl",
    "por": "pt",
    "ron": "ro",
    "rum": "ro",
    "rus": "ru",
    "spa": "es",
    "swe": "sv",
    "tha": "th",
    "tur": "tr",
    "ukr": "uk",
    "vie": "vi",
    "zho": "zh",
}
"""Other codes of the same languages, as file names have them."""

WITHOUT_SPACES = frozenset({"zh", "ja", "th", "lo", "my", "yue"})
"""Languages in which Whisper's words are parts of words, because they are written without spaces."""
NO_SPACES = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u303f\u3041-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uffef"
    "\U00020000-\U0003ffff]"
)
"""Characters of scripts without spaces between words: Thai, Lao, Burmese, Khmer, Chinese, Japanese, and wide punctuation."""


def language_of(text: str) -> str | None:
    """The code of a language that is named as `de`, `deu`, `de-AT` or `German`; None if it is unknown."""
    name = text.strip().lower()
    short = re.split("[-_]", name)[0]
    for code in (short, LONG_CODES.get(short)):
        if code in LANGUAGES:
            return code
    return next((code for code, known in LANGUAGES.items() if known.lower() == name), None)


def check_language(language: str) -> None:
    """Check a choice of language.

    Raises:
        ValueError: if it is neither AUTO nor one of LANGUAGES.
    """
    if language != AUTO and language not in LANGUAGES:
        raise ValueError(f"language must be {AUTO} or a code such as en, de or zh ({', '.join(LANGUAGES)}), not {language!r}")


def name_of(language: str) -> str:
    """The English name of a language, by its code."""
    return "an unknown language" if language == UNKNOWN else LANGUAGES.get(language, language)


def joined(texts: Iterable[str]) -> str:
    """Words as running text: with spaces between them, unless both are in a script without spaces."""
    result = ""
    for text in texts:
        apart = not (result and text and NO_SPACES.match(result[-1]) and NO_SPACES.match(text[0]))
        result += f" {text}" if result and apart else text
    return result


def continues(text: str) -> bool:
    """Whether a text can't begin a word: it starts with a mark that is written above, below or after a letter."""
    return bool(text) and unicodedata.category(text[0]).startswith("M")


def is_right_to_left(text: str) -> bool:
    """Whether a text runs from right to left: by its first letter, as in Unicode's bidirectional algorithm (UAX #9, P2)."""
    kinds = (unicodedata.bidirectional(letter) for letter in text)
    return next((kind for kind in kinds if kind in {"L", "R", "AL"}), "L") != "L"

"""Which recognised words to keep: Whisper invents text where nobody speaks, and for languages that it doesn't know."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from vatrace.languages import ENGLISH, joined
from vatrace.media.transcripts import Word

MIN_SCORE = -0.62
"""Mean log probability of the tokens of one pass, below which its words are doubtful. With speech at -28 dBFS, the passes of
113 English files (GRID, RAVDESS's training actors, a reading) had -0.52 or more, except one cry ("Get!", -1.63); 95 % of 40
files each in German, Italian, Korean, Polish and Urdu had -0.61 or less. For the multilingual Whisper base in the speaker's own
language, this and the next three values keep 28 of 30 German (Emo-DB), 27 of 30 Polish (nEMO) and 19 of 30 Italian files
(EMOVO), whose word error rates are 0.17, 0.27 and 0.31; in those left out they are 0.42, 0.76 and 0.73. With -0.8, five more
Italian files would be kept, and their rate would be 0.39. All 30 Korean files are kept, and 3 of 30 of Urdu talk shows, whose
words were mostly wrong. Of 30 pieces of speech played backwards, in the language that seemed to be spoken, none had more than
-0.79."""
MIN_PROBABILITY = 0.5
"""Mean probability of the words of one piece of speech, below which they are doubtful: 0.66 or more in the same English files.
It finds doubtful pieces in a long pass whose score is good."""
MAX_NO_SPEECH, MIN_SURE_SCORE = 0.25, -0.35
"""Probability that nobody speaks, above which the words of a pass are doubtful if their score is below the other value. Joined
German, where one pass decodes several sentences, had 0.30 and a score of -0.61, joined Italian 0.38 and -0.40; joined English
had up to 0.32, but a score of -0.14."""
MAYBE_LOOPING, LOOPING = 2.4, 3.0
"""Compression ratios (zlib) of a text above which it may loop, and does. The first is Whisper's own (Radford et al. 2022, arXiv
2212.04356, §4.5), which the opening of "A Tale of Two Cities" exceeds. A sentence said five times has 3.5 or more. In
languages other than English, the first is used: for a language that isn't the speaker's, or a synthetic voice, Whisper base
often repeats a few words and is sure of them. Of 68 such texts (40 of the corpora above in a wrong language, 28 by espeak-ng),
17 weren't doubtful otherwise; 9 of these had more than 2.4, and 4 of the 9 at most 3. Of 166 files of the corpora above in
their own language, two Urdu ones had more than 1.1: loops with 2.2 and 3.4."""
MIN_AGREEMENT = 0.5
"""Share of the words recognised in a part of a looping text, alone, that occur in that text; with less, the text was invented.
Sentences of three speakers that were repeated six or eight times had 0.6 or more in every part; of eight loops in German,
Korean, Polish and Urdu, four were doubtful for another reason, and the others had a part with 0.44 or less."""
MIN_STOCK_PROBABILITY = 0.8
"""Mean probability from which a stock phrase is kept."""
STOCK_PHRASES = re.compile(
    r"thank(s| you)( (so|very) much)? for (watching|listening|viewing)|\bsubscribe\b|see you (in the )?next (video|time)|"
    r"subtitles by|^thank you( (so|very) much)?$|^bye(-bye| bye)?$|amara\.org|"
    r"untertitel(ung)? (der|von|im auftrag|des zdf)|(danke|vielen dank) (fürs|für das) zuschauen|"
    r"sous-titr(es|age) (réalisés|par|st)|merci d'avoir regardé|abonnez-vous|"
    r"subtítulos (realizados )?por|gracias por ver|suscríbete|legendas pela|obrigado por assistir|inscreva-se|"
    r"sottotitoli (creati|e revisione|a cura)|grazie per (la visione|aver guardato)|iscrivetevi|"
    r"ondertitel(d|ing)|bedankt voor het kijken|napisy (stworzone|wykonane)|(dzięki|dziękuję) za (oglądanie|obejrzenie|uwagę)|"
    r"субтитры|продолжение следует|спасибо за просмотр|подписывайтесь|субтитрувальниця|дякую за перегляд|"
    r"altyazı m|izlediğiniz için teşekkür|abone ol|"
    r"字幕|谢谢(大家)?(观看|收看)|謝謝(大家)?(觀看|收看)|(订阅|訂閱)|点赞|點贊|"
    r"ご視聴ありがとう|チャンネル登録|시청해\s*주셔서 감사|구독|자막|"
    r"ترجمة نانسي|اشتركوا في القناة|شكرا على المشاهدة|תודה על הצפייה|सब्सक्राइब|देखने के लिए धन्यवाद|ขอบคุณที่(รับชม|ติดตาม)",
    re.IGNORECASE,
)
"""Phrases that Whisper writes for noise, music and other languages, because it was trained on captioned videos. Those in
other languages than English are the ones that its users report most; they were not measured."""


@dataclass(frozen=True)
class Guess:
    """A word as it was recognised.

    Attributes:
        word: the word.
        probability: the mean of its tokens', 0..1.
    """

    word: Word
    probability: float


@dataclass(frozen=True)
class Decoded:
    """What one pass of Whisper's decoder recognised.

    Attributes:
        guesses: the words.
        score: mean log probability of the tokens.
        no_speech: probability that nobody speaks, 0..1.
        language: the code of the language in which it was recognised.
    """

    guesses: Sequence[Guess]
    score: float
    no_speech: float
    language: str = ENGLISH


@dataclass(frozen=True)
class Text:
    """The recognised words of a piece of speech.

    Attributes:
        words: those that are kept.
        num_doubtful: number of those that are left out.
    """

    words: list[Word] = field(default_factory=list)
    num_doubtful: int = 0


def without_doubtful(decoded: Decoded) -> Text:
    """The words of one piece of speech, all or none of them.

    Single words aren't left out, because Whisper is as unsure of names and letters as of words never said.

    Args:
        decoded: the words of the piece, with the score of the pass that recognised them.
    """
    words = [guess.word for guess in decoded.guesses]
    return Text([], len(words)) if words and is_doubtful(decoded) else Text(words)


def is_doubtful(decoded: Decoded) -> bool:
    """Whether the words of a piece of speech may never have been said."""
    return is_unsure(decoded) or loops(decoded)


def is_unsure(decoded: Decoded) -> bool:
    """Whether the decoder itself is unsure of the words, or they are a phrase that it likes to invent."""
    probability = sum(guess.probability for guess in decoded.guesses) / max(len(decoded.guesses), 1)
    stock = STOCK_PHRASES.search(text_of(decoded).strip(" .!?")) is not None and probability < MIN_STOCK_PROBABILITY
    min_score = MIN_SURE_SCORE if decoded.no_speech > MAX_NO_SPEECH else MIN_SCORE
    return decoded.score < min_score or probability < MIN_PROBABILITY or stock


def loops(decoded: Decoded) -> bool:
    """Whether the words repeat themselves as those of a decoder that is stuck, or of somebody who repeats a sentence."""
    return compression(text_of(decoded)) > (LOOPING if decoded.language == ENGLISH else MAYBE_LOOPING)


def agrees(part: Decoded, whole: Decoded) -> bool:
    """Whether what was recognised in a part, alone, is what was recognised there in the whole."""
    known = {plain(guess.word.text) for guess in whole.guesses}
    shared = sum(plain(guess.word.text) in known for guess in part.guesses)
    return shared >= MIN_AGREEMENT * len(part.guesses)


def plain(text: str) -> str:
    """A word without capitals and punctuation."""
    return re.sub(r"\W", "", text.lower())


def text_of(decoded: Decoded) -> str:
    """The words as running text."""
    return joined(guess.word.text for guess in decoded.guesses)


def is_latin(letter: str) -> bool:
    """Whether a character belongs to the Latin script, or is punctuation that it uses."""
    return letter < "\u0370" or "\u1e00" <= letter < "\u1f00" or "\u2000" <= letter < "\u2c80"


def compression(text: str) -> float:
    """Compression ratio (zlib) of a text, which is high if it repeats itself. Of a loop's words, the decoder is too sure.

    Scripts other than the Latin one have two or three bytes a letter in UTF-8, most of them the same for all letters, which
    would count as repetition. Their letters are numbered instead.
    """
    content = text.encode()
    if sum(map(is_latin, text)) < len(text) / 2:
        numbers = {letter: number for number, letter in enumerate(sorted(set(text)))}
        content = b"".join(numbers[letter].to_bytes(1 if len(numbers) <= 256 else 2) for letter in text)
    return len(content) / len(zlib.compress(content))

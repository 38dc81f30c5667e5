from __future__ import annotations

import pytest

from vatrace.media.text_language import text_language

GERMAN = (
    "Ich war sehr froh, meine alten Freunde nach so langer Zeit wiederzusehen, und der Zug fährt um sieben Uhr morgens ab. "
)
ENGLISH = "I was very happy to see my old friends again after such a long time, and the train leaves at seven in the morning. "


@pytest.mark.parametrize(
    ("text", "language"),
    [
        (ENGLISH * 3, "en"),
        ("OK.", "en"),
        ("12", "en"),
        (GERMAN * 3, "und"),
        ("Я был очень рад снова увидеть своих старых друзей, и вы тоже.", "ru"),
        ("Я дуже радий її бачити, і ви також є тут.", "uk"),
        ("Мин бик шат, чөнки сезне күрәм һәм ышанам.", "und"),  # Tatar
        ("יום יפה מאוד", "he"),
        ("مرحبا كيف حالك اليوم", "ar"),
        ("یہ بہت اچھا ہے ڈاکٹر", "ur"),
        ("من خوشحالم که می‌بینمت، چطوری؟ گفتم", "fa"),
        ("今天天气很好", "zh"),
        ("今日は天気がいい", "ja"),
        ("오늘 날씨가 좋네요", "ko"),
        ("วันนี้อากาศดี", "th"),
        ("आज मौसम अच्छा है", "hi"),
    ],
)
def test_the_language_of_a_text(text: str, language: str) -> None:
    assert text_language(text) == language
